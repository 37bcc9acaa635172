"""Cutting faces out for CPU cores, compiled: the bilinear sampling of :mod:`align`, from bytes to bytes."""

from __future__ import annotations

import numpy as np
from numba import float32, uint8, uint32
from numpy.typing import NDArray

from services.compiled import compiled

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)


@compiled
def cut(
    images: NDArray[np.uint8],
    origin: NDArray[np.float32],
    along: NDArray[np.float32],
    across: NDArray[np.float32],
    steps: NDArray[np.float32],
    softly: np.float32,
    chips: NDArray[np.uint8],
) -> None:
    """Fill ``chips`` uint8 (n, k, k, 3) from ``images`` uint8 (n, H, W, 3).

    ``origin``, ``along`` and ``across`` (n, 2): middle, x axis and y axis of each chip, in the units of
    grid_sample: -1 at the first and 1 at the last pixel's center. ``steps`` (k,), from -0.5 to 0.5.
    ``softly`` is added before fractions are cut off. Black where one of the four neighbors lies outside of
    the image.
    """
    height, width = images.shape[1:3]
    wide, high = float32(width - 1) * _HALF, float32(height - 1) * _HALF
    # Unsigned, for a signed index is looked at whether it counts from the end.
    next_row, next_column = uint32(3 * width), uint32(3)
    for n in range(len(images)):
        image = images[n].ravel()
        for row in range(len(steps)):
            x_row = origin[n, 0] + across[n, 0] * steps[row]
            y_row = origin[n, 1] + across[n, 1] * steps[row]
            line = chips[n, row].ravel()
            for column in range(len(steps)):
                x, y = x_row + along[n, 0] * steps[column], y_row + along[n, 1] * steps[column]
                inside = -_ONE <= x < _ONE and -_ONE <= y < _ONE
                x, y = (x + _ONE) * wide if inside else _ZERO, (y + _ONE) * high if inside else _ZERO
                left, top = min(int(x), width - 2), min(int(y), height - 2)
                right_part, lower_part = x - float32(left), y - float32(top)
                left_part, upper_part = _ONE - right_part, _ONE - lower_part
                at = uint32(3 * (top * width + left))
                for channel in range(3):
                    here = at + uint32(channel)
                    value = float32(image[here]) * (left_part * upper_part)
                    value += float32(image[here + next_column]) * (right_part * upper_part)
                    value += float32(image[here + next_row]) * (left_part * lower_part)
                    value += float32(image[here + next_row + next_column]) * (right_part * lower_part)
                    line[3 * column + channel] = uint8(value + softly) if inside else uint8(0)
