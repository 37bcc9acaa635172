"""The cascade as a critic: OpenCV's own yes or no, by region."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

from services.errors import BadInput
from services.recognition.classical.cascade import MIN_NEIGHBORS, MIN_SIZE_PX, SCALE_FACTOR, ViolaJones


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.ascontiguousarray(data.astronaut()[20:180, 140:300])


@pytest.fixture(scope="module")
def critic() -> ViolaJones:
    return ViolaJones()


def test_a_photographed_face_is_accepted_where_opencv_sees_it(photo: np.ndarray, critic: ViolaJones) -> None:
    (verdict,) = critic.detect(photo[None])
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    gray = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    ((x, y, width, height),) = cascade.detectMultiScale(
        gray, SCALE_FACTOR, MIN_NEIGHBORS, minSize=(MIN_SIZE_PX, MIN_SIZE_PX)
    )
    assert verdict.accepted
    assert verdict.box_px == (x, y, x + width, y + height)
    assert verdict.stages == 25
    assert verdict.level_weight > 1


def test_even_gray_is_no_face(critic: ViolaJones) -> None:
    (verdict,) = critic.detect(np.full((1, 160, 160, 3), 128, dtype=np.uint8))
    assert not verdict.accepted
    assert verdict.box_px is None
    assert (verdict.stages, verdict.level_weight) == (0, 0.0)


def test_a_face_outside_the_region_does_not_count(photo: np.ndarray, critic: ViolaJones) -> None:
    (seen,) = critic.detect(photo[None])
    assert seen.box_px is not None
    left, top, right, bottom = seen.box_px
    around = np.array([[left, top, right, bottom]], dtype=np.float32)
    elsewhere = np.array([[0, bottom, 160, 160]], dtype=np.float32)
    both = critic.detect(np.stack((photo, photo)), np.concatenate((around, elsewhere)))
    assert both[0] == seen
    assert not both[1].accepted


@pytest.mark.parametrize(
    "images",
    [np.zeros((160, 160, 3), np.uint8), np.zeros((1, 9, 9, 3), np.float32), np.zeros((1, 9, 9, 1), np.uint8)],
)
def test_other_arrays_are_refused(critic: ViolaJones, images: np.ndarray) -> None:
    with pytest.raises(BadInput, match="expected uint8"):
        critic.detect(images)


def test_regions_must_match_the_images(photo: np.ndarray, critic: ViolaJones) -> None:
    with pytest.raises(BadInput, match="expected \\(1, 4\\)"):
        critic.detect(photo[None], np.zeros((2, 4), dtype=np.float32))
