from __future__ import annotations

from typing import Any

import dlib
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from services.recognition import catalog
from services.recognition.dlib.mmod import FLOOR, MmodDetector

# What the contract allows, and what dlib's stride of 8 pixels is at the first level.
SCORE_TOLERANCE = 0.01
CELL_PX = 8.0


@pytest.fixture(scope="module")
def detector() -> MmodDetector:
    return MmodDetector("cpu")


@pytest.fixture(scope="module")
def dlib_mmod() -> Any:
    return dlib.cnn_face_detection_model_v1(str(catalog.verify(catalog.model_info("dlib-mmod"))))


def agree(detector: MmodDetector, dlib_mmod: Any, images: NDArray[np.uint8], at_least: int) -> None:
    """Ours equals dlib's best answer on every image; at_least of them hold a detection."""
    ours = detector.score(torch.from_numpy(np.ascontiguousarray(images)))
    detected = 0
    for index, image in enumerate(images):
        hits = sorted(dlib_mmod(image, 0), key=lambda hit: -hit.confidence)
        score, box = float(ours.score[index]), ours.box_px[index].numpy()
        if not hits:
            assert score <= SCORE_TOLERANCE, index
            continue
        detected += 1
        assert score == pytest.approx(hits[0].confidence, abs=SCORE_TOLERANCE / 10), index
        rect = hits[0].rect
        theirs = np.array([rect.left(), rect.top(), rect.right() + 1, rect.bottom() + 1])
        np.testing.assert_allclose(box, theirs, atol=1.0)
    assert detected >= at_least


def test_photographs_at_many_scales_score_as_in_dlib(
    detector: MmodDetector, dlib_mmod: Any, photo_crops: NDArray[np.uint8]
) -> None:
    agree(detector, dlib_mmod, photo_crops, at_least=7)


def test_renders_score_as_in_dlib(detector: MmodDetector, dlib_mmod: Any, renders: Any) -> None:
    agree(detector, dlib_mmod, renders.images.numpy(), at_least=4)


@pytest.mark.parametrize("shape", [(224, 224), (130, 190), (201, 120)])
def test_other_sizes_score_as_in_dlib(
    detector: MmodDetector, dlib_mmod: Any, astronaut: NDArray[np.uint8], shape: tuple[int, int]
) -> None:
    height, width = shape
    top, left = 120 - min(height, 220) // 2, 222 - width // 2
    agree(detector, dlib_mmod, astronaut[None, top : top + height, left : left + width], at_least=1)


def test_negative_scores_are_graded_and_continuous(
    detector: MmodDetector, dlib_mmod: Any, photo_crops: NDArray[np.uint8]
) -> None:
    """As a face fades to plain gray the score falls in small steps and crosses 0 where dlib's does."""
    face = photo_crops[3].astype(np.float64)
    mixes = np.linspace(0.85, 0.97, 24)[:, None, None, None]
    images = (face * (1 - mixes) + 128.0 * mixes).round().astype(np.uint8)
    scores = detector.score(torch.from_numpy(images)).score.numpy()
    assert scores[0] > 0.5
    assert scores[-1] < -0.5
    assert np.abs(np.diff(scores)).max() < 0.4
    crossing = int(np.argmax(scores < 0))
    assert len(dlib_mmod(images[crossing - 1], 0)) == 1
    assert len(dlib_mmod(images[crossing], 0)) == 0


def test_only_windows_centered_in_the_region_count(
    detector: MmodDetector, photo_crops: NDArray[np.uint8]
) -> None:
    images = torch.from_numpy(photo_crops[3:4]).repeat(4, 1, 1, 1)
    anywhere = detector.score(images[:1])
    x, y = (anywhere.box_px[0, :2] + anywhere.box_px[0, 2:]).tolist()
    x, y = x / 2, y / 2
    regions = torch.tensor(
        [[x - 1, y - 1, x + 1, y + 1], [0, 0, 160, 160], [0, 0, 30, 30], [-500, -500, -400, -400]]
    )
    found = detector.score(images, regions)
    assert found.score[0] == anywhere.score[0]
    assert found.score[1] == anywhere.score[0]
    assert found.score[2] < anywhere.score[0] - 0.5
    assert found.score[3] == FLOOR
    assert found.box_px[3].tolist() == [0, 0, 0, 0]
    corner = (found.box_px[2, :2] + found.box_px[2, 2:]) / 2
    assert (corner >= 0).all()
    assert (corner <= 30).all()


def test_neighbors_in_the_batch_change_nothing(
    detector: MmodDetector, photo_crops: NDArray[np.uint8]
) -> None:
    images = torch.from_numpy(photo_crops[:6])
    together = detector.score(images)
    alone = [detector.score(images[index : index + 1]) for index in range(6)]
    assert torch.equal(together.score, torch.cat([one.score for one in alone]))
    assert torch.equal(together.box_px, torch.cat([one.box_px for one in alone]))


def test_no_images_give_no_scores(detector: MmodDetector) -> None:
    assert detector.score(torch.zeros((0, 160, 160, 3), dtype=torch.uint8)).score.shape == (0,)


def test_tiny_images_are_refused(detector: MmodDetector) -> None:
    with pytest.raises(ValueError, match="too few"):
        detector.score(torch.zeros((1, 5, 5, 3), dtype=torch.uint8))


def test_float_images_are_refused(detector: MmodDetector) -> None:
    with pytest.raises(ValueError, match="uint8"):
        detector.score(torch.zeros((1, 160, 160, 3)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_cpu(detector: MmodDetector, photo_crops: NDArray[np.uint8]) -> None:
    images = torch.from_numpy(photo_crops)
    there = MmodDetector("cuda").score(images.cuda()).score.cpu()
    torch.testing.assert_close(there, detector.score(images).score, atol=SCORE_TOLERANCE, rtol=0)
