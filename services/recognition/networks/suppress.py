"""The suppression of overlapping boxes, compiled."""

from __future__ import annotations

import numpy as np
from numba import float32
from numpy.typing import NDArray

from services.compiled import compiled


def suppressed(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    groups: NDArray[np.int64],
    overlap: float,
    of_smaller: bool,
) -> NDArray[np.bool_]:
    """Which boxes stay, bool (k,): from the best on, each removes those of its group that overlap too much.

    boxes: float32 (k, 4), left, top, right, bottom. overlap: the shared area over that of both together; with
    of_smaller over that of the smaller box, and pixels counted to the last. Among equals the first is better.
    """
    order = np.lexsort((np.arange(len(scores)), -scores, groups))
    kept = np.ones(len(scores), np.bool_)
    _suppress(boxes, groups, order, np.float32(overlap), of_smaller, kept)
    return kept


@compiled
def _suppress(
    boxes: NDArray[np.float32],
    groups: NDArray[np.int64],
    order: NDArray[np.int64],
    overlap: np.float32,
    of_smaller: bool,
    kept: NDArray[np.bool_],
) -> None:
    zero, one = float32(0), float32(1) if of_smaller else float32(0)
    for first in range(len(order)):
        a = order[first]
        if not kept[a]:
            continue
        area = (boxes[a, 2] - boxes[a, 0] + one) * (boxes[a, 3] - boxes[a, 1] + one)
        for second in range(first + 1, len(order)):
            b = order[second]
            if groups[b] != groups[a]:
                break
            wide = max(zero, min(boxes[a, 2], boxes[b, 2]) - max(boxes[a, 0], boxes[b, 0]) + one)
            high = max(zero, min(boxes[a, 3], boxes[b, 3]) - max(boxes[a, 1], boxes[b, 1]) + one)
            other = (boxes[b, 2] - boxes[b, 0] + one) * (boxes[b, 3] - boxes[b, 1] + one)
            shared = wide * high
            whole = min(area, other) if of_smaller else area + other - shared
            if shared / whole > overlap:
                kept[b] = False
