"""dlib's image pyramid: each level is 5/6 of the one before, resampled exactly as dlib does it.

dlib resamples 8-bit color images in single precision, four columns at a time, and cuts fractions off
instead of rounding. The errors of that arithmetic show: an even patch of gray can come out one step darker
in some columns, and a gradient detector sees those steps. So the same sums are made here in the same order,
and the levels agree with ``dlib.pyramid_down(6)`` bit for bit.

Sources: dlib ``image_transforms/image_pyramid.h`` (sizes, coordinates) and ``interpolation.h`` (bilinear
``resize_image`` for color images).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

RATE = 6
"""N of dlib's ``pyramid_down<N>``: a level is (N-1)/N of the one before. Both of its face detectors use 6."""

_LANES = 4
"""dlib's columns go through SIMD registers of four floats; the rest of a row is done in double precision."""

_CORNERS = 4


def size_down(size_px: int) -> int:
    """Rows (or columns) of the level below one with `size_px` of them."""
    return (RATE - 1) * size_px // RATE


def points_up(points_px: np.ndarray, levels: int) -> np.ndarray:
    """Coordinates on the level `levels` below an image, taken to the image itself.

    points_px: float64, any shape, dlib's pixel coordinates (a pixel's center is a whole number). The 0.3 px
    is dlib's own correction for its resampling.
    """
    up = np.asarray(points_px, dtype=np.float64)
    for _ in range(levels):
        up = up * (RATE / (RATE - 1)) + 0.3
    return up


def shrink(image: torch.Tensor) -> torch.Tensor:
    """The next level of the pyramid.

    image: float32 (H, W, ...), whole values 0 to 255 of a color image; what follows the first two axes
    (channels, a batch) is resampled alike, and the longer it is, the faster. Returns float32
    (5H//6, 5W//6, ...), again whole values.
    """
    rows, columns = image.shape[:2]
    rest = image.shape[2:]
    plan = _plan(rows, columns, image.device)
    flat = image.reshape(rows * columns, -1)

    # Four products and three sums as single operations: a fused multiply-add would round differently.
    single = flat.index_select(0, plan.corners[0]).mul_(plan.weights[0])
    for corner in range(1, _CORNERS):
        single += flat.index_select(0, plan.corners[corner]).mul_(plan.weights[corner])
    single = single.trunc_().reshape(plan.rows, plan.single_columns, flat.shape[1])

    top_left, top_right, bottom_left, bottom_right = (
        flat.index_select(0, corner).double() for corner in plan.tail_corners
    )
    top = top_left * plan.tail_left + top_right * plan.tail_right
    bottom = bottom_left * plan.tail_left + bottom_right * plan.tail_right
    double = (top * plan.tail_top + bottom * plan.tail_bottom).trunc_().float()
    double = double.reshape(plan.rows, plan.columns - plan.single_columns, flat.shape[1])
    return torch.cat((single, double), dim=1).reshape(plan.rows, plan.columns, *rest)


@dataclass(frozen=True)
class _Resampling:
    """Which pixels make which, for one image size.

    corners: int64 (4, rows*single_columns), indices of the top left, top right, bottom left and bottom right
    source pixel; weights: float32 (4, rows*single_columns, 1). The tail_* are the same for the remaining
    columns, the weights factored as dlib multiplies them there: float64 (rows*tail_columns, 1).
    """

    rows: int
    columns: int
    single_columns: int
    corners: torch.Tensor
    weights: torch.Tensor
    tail_corners: torch.Tensor
    tail_top: torch.Tensor
    tail_bottom: torch.Tensor
    tail_left: torch.Tensor
    tail_right: torch.Tensor


@lru_cache(maxsize=64)
def _plan(rows: int, columns: int, device: torch.device) -> _Resampling:
    out_rows, out_columns = size_down(rows), size_down(columns)
    y_scale = (rows - 1) / max(out_rows - 1, 1)
    x_scale = (columns - 1) / max(out_columns - 1, 1)

    # dlib adds the step up instead of multiplying it, so its coordinates carry the errors of those additions.
    y = np.cumsum(np.concatenate(([-y_scale], np.full(out_rows, y_scale))))[1:]
    top = np.floor(y).astype(np.int64)
    bottom = np.minimum(top + 1, rows - 1)
    down = y - top

    left, right_share, single_columns = _single_precision_columns(columns, x_scale)
    tail_start = single_columns * x_scale - x_scale
    tail_columns = out_columns - single_columns
    x = np.cumsum(np.concatenate(([tail_start], np.full(tail_columns, x_scale))))[1:]
    tail_left = np.floor(x).astype(np.int64)
    tail_right = np.minimum(tail_left + 1, columns - 1)
    tail_share = x - tail_left

    def corners(lefts: np.ndarray, rights: np.ndarray) -> torch.Tensor:
        pairs = [(top, lefts), (top, rights), (bottom, lefts), (bottom, rights)]
        indices = [(row[:, None] * columns + column).reshape(-1) for row, column in pairs]
        return torch.from_numpy(np.stack(indices)).to(device)

    def per_pixel(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.array(values).reshape(-1, 1)).to(device)

    bottom_share, top_share = down.astype(np.float32), (1 - down).astype(np.float32)
    left_share = np.float32(1) - right_share
    weights = [
        np.multiply.outer(vertical, horizontal)
        for vertical in (top_share, bottom_share)
        for horizontal in (left_share, right_share)
    ]
    tail_shape = (out_rows, tail_columns)
    return _Resampling(
        rows=out_rows,
        columns=out_columns,
        single_columns=single_columns,
        corners=corners(left, left + 1),
        weights=torch.stack([per_pixel(weight) for weight in weights]),
        tail_corners=corners(tail_left, tail_right),
        tail_top=per_pixel(np.broadcast_to((1 - down)[:, None], tail_shape)),
        tail_bottom=per_pixel(np.broadcast_to(down[:, None], tail_shape)),
        tail_left=per_pixel(np.broadcast_to(1 - tail_share, tail_shape)),
        tail_right=per_pixel(np.broadcast_to(tail_share, tail_shape)),
    )


def _single_precision_columns(columns: int, x_scale: float) -> tuple[np.ndarray, np.ndarray, int]:
    """Source column left of each output column, share of the one right of it, how many are done this way.

    The registers step on in single precision until one of their four columns would read past the row's end.
    """
    first = -_LANES * x_scale
    x = np.array([first + lane * x_scale for lane in range(_LANES)], dtype=np.float32)
    step = np.float32(_LANES * x_scale)
    lefts: list[np.ndarray] = []
    shares: list[np.ndarray] = []
    while True:
        x = x + step
        left = x.astype(np.int64)
        if left[-1] + 1 >= columns:
            break
        lefts.append(left)
        shares.append(x - left.astype(np.float32))
    if not lefts:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32), 0
    return np.concatenate(lefts), np.concatenate(shares), _LANES * len(lefts)
