"""One forest of dlib's landmark predictor for CPU cores, compiled: each face walks down its trees.

The same roundings as in :mod:`landmarks`, which answers all splits of all faces at once for a GPU's sake.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from services.compiled import compiled

_HALF, _NOTHING = np.float64(0.5), np.float32(0)


@compiled
def grow(
    gray: NDArray[np.float32],
    shape: NDArray[np.float32],
    turn: NDArray[np.float32],
    box: NDArray[np.float64],
    anchors: NDArray[np.int64],
    deltas: NDArray[np.float32],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    thresholds: NDArray[np.float32],
    leaves: NDArray[np.float32],
) -> None:
    """Add to each shape what the forest's trees say.

    ``gray`` (n, H, W). ``shape`` (n, 2 p): x and y of each point, changed. ``turn`` (n, 2), see
    align.similarity. ``box`` (n, 4): left, top, width and height in pixel indices. ``anchors`` (k,) and
    ``deltas`` (2, k): places around the shape. ``first``, ``second`` and ``thresholds`` (trees, splits): what
    places a split compares, and its threshold; the children of split i are 2 i + 1 (left) and 2 i + 2.
    ``leaves`` (trees, splits + 1, 2 p).
    """
    height, width = gray.shape[1:]
    trees, inner = first.shape
    pixels = np.empty(len(anchors), np.float32)
    for n in range(len(gray)):
        a, b = turn[n, 0], turn[n, 1]
        for k in range(len(anchors)):
            x0, y0 = shape[n, 2 * anchors[k]], shape[n, 2 * anchors[k] + 1]
            x = np.float64(a * deltas[0, k] - b * deltas[1, k] + x0) * box[n, 2] + box[n, 0]
            y = np.float64(b * deltas[0, k] + a * deltas[1, k] + y0) * box[n, 3] + box[n, 1]
            column, row = math.floor(x + _HALF), math.floor(y + _HALF)
            inside = 0 <= column < width and 0 <= row < height
            pixels[k] = gray[n, row, column] if inside else _NOTHING
        for tree in range(trees):
            node = 0
            while node < inner:
                left = pixels[first[tree, node]] - pixels[second[tree, node]] > thresholds[tree, node]
                node = 2 * node + 2 - int(left)
            said = leaves[tree, node - inner]
            for k in range(len(said)):
                shape[n, k] += said[k]
