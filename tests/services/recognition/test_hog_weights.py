"""The serialized detector: what is in it, and that nothing else passes for it."""

from __future__ import annotations

import dlib
import numpy as np
import pytest

from services.errors import CorruptData
from services.recognition.dlib import hog_weights


@pytest.fixture(scope="module")
def state() -> bytes:
    (data,) = dlib.get_frontal_face_detector().__getstate__()
    return bytes(data)


def test_five_filters_of_ten_by_ten_cells(state: bytes) -> None:
    weights = hog_weights.parse(state)
    assert weights.filters.shape == (5, 31, 10, 10)
    assert weights.filters.dtype == np.float32
    # The frontal filter comes first; then come two pairs, turned and rolled to either side.
    np.testing.assert_allclose(weights.thresholds[0], 3.27, atol=0.01)
    energy = np.abs(weights.filters).sum(axis=(1, 2, 3))
    assert energy[1] == pytest.approx(energy[2], rel=0.1)
    assert energy[3] == pytest.approx(energy[4], rel=0.1)


def test_handed_out_weights_are_read_only(state: bytes) -> None:
    with pytest.raises(ValueError, match="read-only"):
        hog_weights.parse(state).filters[0, 0, 0, 0] = 1


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: data[:-1], "ends inside"),
        (lambda data: data + b"\x01\x00", "left over"),
        (lambda data: b"", "ends inside"),
        (lambda data: b"\x01\x03" + data[2:], "version is 3, expected 2"),
        (lambda data: b"\x09" + data[1:], "control byte"),
    ],
)
def test_anything_else_is_refused(state: bytes, spoil, message: str) -> None:
    with pytest.raises(CorruptData, match=message):
        hog_weights.parse(spoil(state))
