"""The linear filters inside dlib's frontal face detector, read from the detector's own serialized state.

The state is that of dlib's ``serialize(object_detector)``. An integer is one control byte (low four bits:
how many bytes follow; top bit: sign) and then its bytes, lowest first; a float is two integers, mantissa and
exponent (value = mantissa * 2**exponent). Sources: dlib ``serialize.h``, ``float_details.h``,
``image_processing/object_detector.h`` and ``scan_fhog_pyramid.h``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.errors import CorruptData
from services.recognition import catalog

CELL_PX = 8
WINDOW_CELLS = 10
CHANNELS = 31
MIN_LEVEL_PX = 64

_SPECIAL_EXPONENT = 32000
"""dlib writes infinities and nan as exponents from here on; no weight may be one."""


@dataclass(frozen=True)
class HogWeights:
    """filters: float32 (5, 31, 10, 10), row major windows of cells, as dlib applies them (read-only).

    thresholds: float64 (5,), taken off each filter's response, so that 0 is dlib's own threshold (read-only).
    """

    filters: NDArray[np.float32]
    thresholds: NDArray[np.float64]


def load_frontal_face() -> HogWeights:
    """The five filters (front, turned left and right, rolled left and right) of the installed dlib.

    CorruptData if that dlib has others than the catalog pins.
    """
    import dlib

    state: bytes
    (state,) = dlib.get_frontal_face_detector().__getstate__()
    catalog.check_bytes(catalog.model_info("dlib-hog"), state, "dlib.get_frontal_face_detector()")
    return parse(state)


def parse(state: bytes) -> HogWeights:
    """Reads a serialized detector. CorruptData if it is not laid out as the frontal face detector is."""
    reader = _Reader(state)
    reader.expect("object_detector version", 2)
    reader.expect("scan_fhog_pyramid version", 1)
    reader.integer("capacity of the empty feature list")
    reader.expect("number of stored features", 0)
    reader.expect("cell size", CELL_PX)
    reader.expect("window padding", 0)
    reader.expect("window width", CELL_PX * WINDOW_CELLS)
    reader.expect("window height", CELL_PX * WINDOW_CELLS)
    reader.integer("maximum of pyramid levels")  # 1000: never reached
    reader.expect("smallest level's width", MIN_LEVEL_PX)
    reader.expect("smallest level's height", MIN_LEVEL_PX)
    reader.real("nuclear norm regularization")  # these three matter in training and suppression only
    size = CHANNELS * WINDOW_CELLS * WINDOW_CELLS
    reader.expect("number of dimensions", size)
    reader.real("overlap threshold")
    reader.real("covered threshold")
    count = reader.integer("number of filters")
    if not 0 < count <= 64:
        raise _corrupt(f"number of filters is {count}, expected 5 or so")

    filters = np.empty((count, CHANNELS, WINDOW_CELLS, WINDOW_CELLS), dtype=np.float32)
    thresholds = np.empty(count)
    for index in range(count):
        reader.expect("rows of a filter", -(size + 1))  # negative sizes mark dlib's newer matrix format
        reader.expect("columns of a filter", -1)
        weights = np.array([reader.real("weight") for _ in range(size + 1)])
        filters[index] = weights[:size].reshape(filters.shape[1:])
        thresholds[index] = weights[size]
    reader.expect_end()
    filters.flags.writeable = False
    thresholds.flags.writeable = False
    return HogWeights(filters, thresholds)


def _corrupt(what: str) -> CorruptData:
    return CorruptData(f"dlib's frontal face detector cannot be read: {what}; reinstall dlib-bin >= 20")


class _Reader:
    """Takes one number after another off the serialized bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def integer(self, what: str) -> int:
        start = self._at
        control = self._data[start] if start < len(self._data) else 0
        count = control & 0x0F
        end = start + 1 + count
        if not 1 <= count <= 8 or control & 0x70 or end > len(self._data):
            raise _corrupt(f"no integer for {what} at byte {start} of {len(self._data)}")
        self._at = end
        value = int.from_bytes(self._data[start + 1 : end], "little")
        return -value if control & 0x80 else value

    def real(self, what: str) -> float:
        mantissa, exponent = self.integer(what), self.integer(what)
        if not -_SPECIAL_EXPONENT < exponent < _SPECIAL_EXPONENT:
            raise _corrupt(f"{what} is not finite")
        return math.ldexp(mantissa, exponent)

    def expect(self, what: str, value: int) -> None:
        found = self.integer(what)
        if found != value:
            raise _corrupt(f"{what} is {found}, expected {value}")

    def expect_end(self) -> None:
        if self._at != len(self._data):
            rest = len(self._data) - self._at
            raise _corrupt(f"{rest} bytes left over")
