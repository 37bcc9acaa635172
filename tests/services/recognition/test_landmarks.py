from __future__ import annotations

from typing import Any

import dlib
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from services.errors import CorruptData
from services.recognition import catalog
from services.recognition.dlib import landmark_weights
from services.recognition.dlib.hog import HogDetector
from services.recognition.dlib.landmarks import LandmarkPredictor

# dlib's five parts in the order of align.POINT_NAMES.
DLIB_ORDER = (2, 3, 1, 0, 4)


@pytest.fixture(scope="module")
def predictor() -> LandmarkPredictor:
    return LandmarkPredictor()


@pytest.fixture(scope="module")
def theirs() -> Any:
    return dlib.shape_predictor(str(catalog.verify(catalog.model_info("dlib-landmarks-5"))))


def dlib_points(theirs: Any, image: NDArray[np.uint8], box: list[float]) -> NDArray[np.float32]:
    """dlib's own answer for one image and one box in continuous pixel coordinates."""
    left, top, right, bottom = (round(edge) for edge in box)
    shape = theirs(image, dlib.rectangle(left, top, right - 1, bottom - 1))
    return np.array([[shape.part(k).x, shape.part(k).y] for k in DLIB_ORDER], np.float32) + 0.5


def assert_same(predictor: LandmarkPredictor, theirs: Any, images: torch.Tensor, boxes: torch.Tensor) -> None:
    """Equal everywhere but where a processor rounds a sum to the pixel on the other side."""
    ours = predictor.find(images, boxes).numpy()
    expected = np.stack(
        [dlib_points(theirs, image, box) for image, box in zip(images.numpy(), boxes.tolist(), strict=True)]
    )
    assert np.abs(ours - expected).max() <= 1.0
    assert (ours == expected).mean() >= 0.99


def test_photographs_get_dlibs_points(
    predictor: LandmarkPredictor, theirs: Any, photo_crops: NDArray[np.uint8]
) -> None:
    images = torch.from_numpy(photo_crops)
    found = HogDetector().score(images)
    assert (found.score > 0).all()
    assert_same(predictor, theirs, images, found.box_px)


def test_renders_get_dlibs_points(predictor: LandmarkPredictor, theirs: Any, renders: Any) -> None:
    boxes = HogDetector().score(renders.images, renders.box_px).box_px
    assert_same(predictor, theirs, renders.images, boxes)


def test_boxes_anywhere_even_over_the_border(predictor: LandmarkPredictor, theirs: Any, renders: Any) -> None:
    rng = np.random.default_rng(3)
    corner = rng.integers(-60, 120, (40, 2))
    boxes = np.concatenate([corner, corner + rng.integers(20, 160, (40, 1))], axis=1).astype(np.float32)
    images = renders.images[torch.arange(40) % len(renders.images)]
    assert_same(predictor, theirs, images, torch.from_numpy(boxes))


@torch.inference_mode()
def test_cpu_cores_and_gpus_go_the_same_way(predictor: LandmarkPredictor, renders: Any) -> None:
    gray = renders.images.float().mean(dim=3).floor()
    generator = torch.Generator().manual_seed(5)
    corner = torch.rand(len(gray), 2, generator=generator).double() * 180 - 60
    extent = torch.rand(len(gray), 2, generator=generator).double() * 140 + 20
    at_once, one_by_one = (
        way(gray, corner, extent) for way in (predictor._all_at_once, predictor._one_by_one)
    )
    assert torch.equal(at_once, one_by_one)


def test_an_image_does_not_depend_on_its_neighbors(predictor: LandmarkPredictor, renders: Any) -> None:
    boxes = HogDetector().score(renders.images, renders.box_px).box_px
    alone = [predictor.find(renders.images[k : k + 1], boxes[k : k + 1]) for k in range(len(boxes))]
    assert torch.equal(predictor.find(renders.images, boxes), torch.cat(alone))


def test_no_image_gives_no_points(predictor: LandmarkPredictor) -> None:
    nothing = predictor.find(torch.zeros((0, 96, 96, 3), dtype=torch.uint8), torch.zeros((0, 4)))
    assert nothing.shape == (0, 5, 2)


def test_wrong_shapes_are_refused(predictor: LandmarkPredictor, renders: Any) -> None:
    with pytest.raises(ValueError, match="boxes_px"):
        predictor.find(renders.images, renders.box_px[:2])
    with pytest.raises(ValueError, match="uint8"):
        predictor.find(renders.images.float(), renders.box_px)


@pytest.fixture(scope="module")
def data() -> bytes:
    return catalog.read_verified(catalog.model_info("dlib-landmarks-5"))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda d: d[:-1], "ends inside"),
        (lambda d: d[:-2], "ends inside"),
        (lambda d: d + b"\x01\x00", "left over"),
        (lambda d: b"\x01\x02" + d[2:], "version"),
        (lambda d: b"\x41" + d[1:], "control byte"),
        (lambda d: b"", "ends inside"),
    ],
)
def test_damaged_files_are_refused(data: bytes, damage: Any, says: str) -> None:
    with pytest.raises(CorruptData, match=says):
        landmark_weights.parse(damage(data), "weights")
