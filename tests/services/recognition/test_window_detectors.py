"""YuNet, CenterFace, BlazeFace and MTCNN, beside the code that they were published with."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from services.errors import BadInput
from services.recognition import catalog
from services.recognition.detect import Detections, Detector
from services.recognition.networks.blazeface import FULL, SHORT, framed
from services.recognition.networks.mtcnn import FLOOR, Mtcnn

Pixels = NDArray[np.uint8]
Float = NDArray[np.float32]

# What float32 sums in another order come to: measured 9e-7 and 8e-5 at most, on other pictures, too.
SCORE_TOLERANCE = 3e-6
PIXEL_TOLERANCE = 5e-4

PROBABILITIES = ("yunet", "centerface", FULL, SHORT)
NAMES = (*PROBABILITIES, "mtcnn")


@pytest.fixture(scope="module")
def machine() -> Callable[[str], Detector]:
    made: dict[str, Detector] = {}

    def get(name: str) -> Detector:
        if name not in made:
            made[name] = catalog.detector(name)
        return made[name]

    return get


@pytest.fixture(scope="module")
def sets(photo_crops: Pixels, renders: Any, astronaut: Pixels) -> list[Pixels]:
    """Photographs at many scales, renders, a large photograph, and one whose sides are no multiple of 32."""
    odd = np.ascontiguousarray(astronaut[None, :233, 100:341])
    return [photo_crops, renders.images.numpy(), astronaut[None], odd]


def file_of(name: str) -> str:
    return str(catalog.verify(catalog.model_info(name)))


def agree(found: Detections, k: int, score: float, box: Any, points: Any) -> None:
    assert float(found.score[k]) == pytest.approx(score, abs=SCORE_TOLERANCE)
    np.testing.assert_allclose(found.box_px[k].numpy(), box, atol=PIXEL_TOLERANCE)
    assert found.points_px is not None
    np.testing.assert_allclose(found.points_px[k].numpy(), points, atol=PIXEL_TOLERANCE)


def test_yunet_is_opencvs_own(machine: Callable[[str], Detector], sets: list[Pixels]) -> None:
    for images in sets:
        found = machine("yunet").score(torch.from_numpy(images))
        height, width = images.shape[1:3]
        theirs = cv2.FaceDetectorYN.create(file_of("yunet"), "", (width, height), 1e-6, 1.0, 5000)
        for k, image in enumerate(images):
            faces = theirs.detect(np.ascontiguousarray(image[..., ::-1]))[1]
            face = faces[np.argmax(faces[:, 14])]
            box = np.concatenate([face[:2], face[:2] + face[2:4]])
            agree(found, k, face[14], box, face[4:14].reshape(5, 2) + 0.5)


def centerface_by_hand(heat: Float, size: Float, offset: Float, marks: Float, side: tuple[int, int]) -> Any:
    """Score, box and landmarks of the highest peak, one number at a time as its authors' code has it."""
    row, column = np.unravel_index(np.argmax(heat[0]), heat.shape[1:])
    high, wide = np.exp(size[:, row, column]) * 4
    left = max(0, (column + offset[1, row, column] + 0.5) * 4 - wide / 2)
    top = max(0, (row + offset[0, row, column] + 0.5) * 4 - high / 2)
    left, top = min(left, side[1]), min(top, side[0])
    box = [left, top, min(left + wide, side[1]), min(top + high, side[0])]
    y, x = marks[0::2, row, column] * high + top, marks[1::2, row, column] * wide + left
    return heat[0, row, column], box, np.stack([x, y], axis=1)


def test_centerface_is_its_network_in_opencv(machine: Callable[[str], Detector], sets: list[Pixels]) -> None:
    for images in sets:
        found = machine("centerface").score(torch.from_numpy(images))
        down, right = (-side % 32 for side in images.shape[1:3])
        padded = np.pad(images, ((0, 0), (0, down), (0, right), (0, 0)))
        theirs = cv2.dnn.readNetFromONNX(file_of("centerface"))  # anew: OpenCV's keeps a first picture's size
        for k, image in enumerate(padded):
            theirs.setInput(cv2.dnn.blobFromImage(image))
            answers = [answer[0] for answer in theirs.forward(["537", "538", "539", "540"])]
            agree(found, k, *centerface_by_hand(*answers, image.shape[:2]))


@pytest.mark.parametrize(("name", "side"), [(FULL, 192), (SHORT, 128)])
def test_blazeface_is_its_network_in_litert(
    machine: Callable[[str], Detector], sets: list[Pixels], name: str, side: int
) -> None:
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="pip install ai-edge-litert")
    theirs = litert.Interpreter(file_of(name), num_threads=1)
    theirs.allocate_tensors()
    given = theirs.get_input_details()[0]["index"]
    numbers, scores = (d["index"] for d in theirs.get_output_details())
    cells = [(4, 1)] if name == FULL else [(8, 2), (16, 6)]
    anchors = np.array(
        [
            ((x + 0.5) * stride, (y + 0.5) * stride)
            for stride, each in cells
            for y, x, _ in itertools.product(range(side // stride), range(side // stride), range(each))
        ]
    )
    for images in sets:
        pixels = torch.from_numpy(images)
        found = machine(name).score(pixels)
        pictures, enlarged, left, top = framed(pixels, side)
        for k, picture in enumerate(pictures.permute(0, 2, 3, 1).numpy()):
            theirs.set_tensor(given, np.ascontiguousarray(picture[None] / np.float32(127.5) - 1))
            theirs.invoke()
            odds = theirs.get_tensor(scores)[0, :, 0]
            best = int(np.argmax(odds))
            center, size, *marks = theirs.get_tensor(numbers)[0, best].reshape(8, 2)
            corner = anchors[best] + center - size / 2 - (left, top)
            box = np.concatenate([corner, corner + size]) / enlarged
            eyes_nose_mouth = (anchors[best] + np.array(marks[:4]) - (left, top)) / enlarged
            assert found.points_px is not None
            ours = found.points_px[k].numpy()
            ours = np.concatenate([ours[:3], ours[3:].mean(axis=0, keepdims=True)])
            np.testing.assert_allclose(ours, eyes_nose_mouth, atol=PIXEL_TOLERANCE)
            assert float(found.score[k]) == pytest.approx(1 / (1 + np.exp(-odds[best])), abs=SCORE_TOLERANCE)
            np.testing.assert_allclose(found.box_px[k].numpy(), box, atol=PIXEL_TOLERANCE)


@pytest.mark.parametrize("side", [128, 192])
def test_a_picture_is_brought_to_size_as_opencv_does_it(astronaut: Pixels, side: int) -> None:
    """MediaPipe enlarges and shrinks without smoothing; whole levels may round differently by one."""
    for image in (astronaut, astronaut[:160, 140:300]):
        ours = framed(torch.from_numpy(image.copy())[None], side)[0][0].permute(1, 2, 0).numpy()
        theirs = cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)
        assert np.abs(ours - theirs).max() <= 1


def test_mtcnn_is_facenet_pytorchs(machine: Callable[[str], Detector], sets: list[Pixels]) -> None:
    package = pytest.importorskip(
        "facenet_pytorch", reason="pip install --no-deps facenet-pytorch torchvision", exc_type=ImportError
    )
    theirs = package.MTCNN(keep_all=True)
    for images in sets:
        found = machine("mtcnn").score(torch.from_numpy(images))
        for k, image in enumerate(images):
            boxes, scores, points = theirs.detect(image, landmarks=True)
            assert (boxes is not None) == (float(found.score[k]) > 0), k
            if boxes is None:
                continue
            best = int(np.argmax(scores))
            sure = float(np.clip(scores[best], 1e-6, 1 - 1e-6))
            margin = max(1e-3, (np.log(sure / (1 - sure)) - np.log(0.7 / 0.3)) / 2)
            # Near 1 a step of float32 is a large step of odds.
            assert float(found.score[k]) == pytest.approx(margin, abs=1e-4 + 1e-6 / (1 - sure))
            np.testing.assert_allclose(found.box_px[k].numpy(), boxes[best].astype(float), atol=1e-2)
            assert found.points_px is not None
            np.testing.assert_allclose(
                found.points_px[k].numpy(), points[best].astype(float) + 0.5, atol=1e-2
            )


@pytest.mark.parametrize("name", NAMES)
def test_landmarks_lie_on_the_face(machine: Callable[[str], Detector], renders: Any, name: str) -> None:
    """Within a tenth of the picture of the mask's own vertices (dlib's eye corners, and the nose's base)."""
    found = machine(name).score(renders.images[:2], renders.box_px[:2])
    assert found.points_px is not None
    own = renders.points_px[:2]
    eyes = torch.stack([own[:, :2].mean(dim=1), own[:, 2:4].mean(dim=1)], dim=1)
    assert float((found.points_px[:, :2] - eyes).abs().max()) < 8
    assert float((found.points_px[:, 2] - own[:, 4]).abs().max()) < 16
    left, right = found.points_px[:, 3], found.points_px[:, 4]
    assert bool((left[:, 0] < right[:, 0]).all())
    assert bool((left[:, 1] > own[:, 4, 1]).all())


@pytest.mark.parametrize("name", NAMES)
def test_neighbors_in_the_batch_change_nothing(
    machine: Callable[[str], Detector], photo_crops: Pixels, name: str
) -> None:
    images = torch.from_numpy(photo_crops)
    together = machine(name).score(images)
    alone = [machine(name).score(images[k : k + 1]) for k in range(len(images))]
    for part in ("score", "box_px", "points_px"):
        assert torch.equal(getattr(together, part), torch.cat([getattr(one, part) for one in alone])), part


@pytest.mark.parametrize("name", NAMES)
def test_only_windows_centered_in_the_region_count(
    machine: Callable[[str], Detector], photo_crops: Pixels, name: str
) -> None:
    info = catalog.model_info(name)
    floor = FLOOR if name == "mtcnn" else 0.0
    images = torch.from_numpy(photo_crops[3:4]).repeat(4, 1, 1, 1)
    anywhere = machine(name).score(images[:1])
    x, y = ((anywhere.box_px[0, :2] + anywhere.box_px[0, 2:]) / 2).tolist()
    regions = torch.tensor(
        [[x - 1, y - 1, x + 1, y + 1], [0, 0, 160, 160], [0, 0, 20, 20], [-500, -500, -400, -400]]
    )
    found = machine(name).score(images, regions)
    assert anywhere.score[0] > info.threshold
    assert found.score[0] == anywhere.score[0]
    assert found.score[1] == anywhere.score[0]
    assert floor < found.score[2] < info.threshold
    assert found.score[3] == floor
    assert found.box_px[3].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_face_yet_is_graded(
    machine: Callable[[str], Detector], photo_crops: Pixels, name: str
) -> None:
    """As a face comes out of plain gray scores rise from well below the threshold, and cross it."""
    threshold = catalog.model_info(name).threshold
    mixes = np.linspace(0.0, 0.3, 40)[:, None, None, None]
    images = (photo_crops[3] * mixes + 128.0 * (1 - mixes)).round().astype(np.uint8)
    scores = machine(name).score(torch.from_numpy(images)).score.numpy()
    assert scores[0] < threshold < scores[-1]
    below = scores[: int(np.argmax(scores > threshold))]
    assert len(np.unique(below)) >= 3
    assert np.diff(below).min() > -0.1
    assert below[-1] > below.min()


def test_no_face_stays_on_its_stage_of_the_cascade(machine: Callable[[str], Detector]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 160, 160, 3)).astype(np.uint8)
    scores = machine("mtcnn").score(torch.from_numpy(noise)).score
    assert bool((scores < 0).all())
    assert bool((scores > FLOOR).all())


def test_pictures_too_small_for_a_face_get_the_floor(machine: Callable[[str], Detector]) -> None:
    found = machine("mtcnn").score(torch.zeros((2, 15, 40, 3), dtype=torch.uint8))
    assert found.score.tolist() == [FLOOR, FLOOR]


@pytest.mark.parametrize("name", NAMES)
def test_no_images_give_no_scores(machine: Callable[[str], Detector], name: str) -> None:
    found = machine(name).score(torch.zeros((0, 160, 160, 3), dtype=torch.uint8))
    assert found.score.shape == (0,)
    assert found.box_px.shape == (0, 4)


@pytest.mark.parametrize("name", NAMES)
def test_other_pictures_are_refused_in_one_line(machine: Callable[[str], Detector], name: str) -> None:
    with pytest.raises(BadInput, match=r"expected torch\.uint8 \(n, H, W, 3\)"):
        machine(name).score(torch.zeros((1, 160, 160, 3)))
    with pytest.raises(BadInput, match="regions are"):
        machine(name).score(torch.zeros((2, 160, 160, 3), dtype=torch.uint8), torch.zeros((1, 4)))


@pytest.mark.parametrize("name", PROBABILITIES)
def test_half_precision_says_about_the_same(photo_crops: Pixels, name: str) -> None:
    images = torch.from_numpy(photo_crops[:3])
    halved: Any = catalog.detector(name)
    full = halved.score(images).score
    halved.halve()
    half = halved.score(images).score
    assert half.dtype == torch.float32
    assert 0 < float((half - full).abs().max()) < 0.02


def test_the_short_range_is_a_critic_only() -> None:
    assert catalog.model_info(SHORT).roles == ("critic",)
    for name in ("yunet", "centerface", FULL, Mtcnn.name):
        assert catalog.model_info(name).roles == ("objective", "critic")
