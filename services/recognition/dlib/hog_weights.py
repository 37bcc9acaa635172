"""The linear filters inside dlib's frontal face detector, read from the detector's own serialized state.

The state is that of dlib's ``serialize(object_detector)``. Sources: dlib
``image_processing/object_detector.h`` and ``scan_fhog_pyramid.h``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from services.recognition import catalog
from services.recognition.dlib.numbers import Numbers

CELL_PX = 8
WINDOW_CELLS = 10
CHANNELS = 31
MIN_LEVEL_PX = 64


@dataclass(frozen=True)
class HogWeights:
    """filters: float32 (5, 31, 10, 10), row major windows of cells, as dlib applies them (read-only).

    thresholds: float64 (5,), taken off each filter's response, so that 0 is dlib's own threshold (read-only).
    """

    filters: NDArray[np.float32]
    thresholds: NDArray[np.float64]


@cache
def load_frontal_face() -> HogWeights:
    """The five filters (front, turned left and right, rolled left and right) of the installed dlib.

    dlib takes 0.4 s to unpack them, so each process asks once. CorruptData if that dlib has others than the
    catalog pins.
    """
    import dlib

    state: bytes
    (state,) = dlib.get_frontal_face_detector().__getstate__()
    catalog.check_bytes(catalog.model_info("dlib-hog"), state, "dlib.get_frontal_face_detector()")
    return parse(state)


def parse(state: bytes) -> HogWeights:
    """Reads a serialized detector. CorruptData if it is not laid out as the frontal face detector is."""
    reader = Numbers(state, "dlib's frontal face detector", "reinstall dlib-bin >= 20")
    reader.expect(2, "object_detector version")
    reader.expect(1, "scan_fhog_pyramid version")
    reader.integer("capacity of the empty feature list")
    reader.expect(0, "number of stored features")
    reader.expect(CELL_PX, "cell size")
    reader.expect(0, "window padding")
    reader.expect(CELL_PX * WINDOW_CELLS, "window width")
    reader.expect(CELL_PX * WINDOW_CELLS, "window height")
    reader.integer("maximum of pyramid levels")  # 1000: never reached
    reader.expect(MIN_LEVEL_PX, "smallest level's width")
    reader.expect(MIN_LEVEL_PX, "smallest level's height")
    reader.real("nuclear norm regularization")  # these three matter in training and suppression only
    size = CHANNELS * WINDOW_CELLS * WINDOW_CELLS
    reader.expect(size, "number of dimensions")
    reader.real("overlap threshold")
    reader.real("covered threshold")
    count = reader.count("number of filters", 1, 64)

    filters = np.empty((count, CHANNELS, WINDOW_CELLS, WINDOW_CELLS), dtype=np.float32)
    thresholds = np.empty(count)
    for index in range(count):
        reader.expect(-(size + 1), "rows of a filter")  # negative sizes mark dlib's newer matrix format
        reader.expect(-1, "columns of a filter")
        weights = reader.reals(size + 1, "weights")
        filters[index] = weights[:size].reshape(filters.shape[1:])
        thresholds[index] = weights[size]
    reader.expect_end()
    filters.flags.writeable = False
    thresholds.flags.writeable = False
    return HogWeights(filters, thresholds)
