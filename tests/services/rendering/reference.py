"""A slow, plain rasterizer in Python and float64: what the fast one is held against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def visibility(
    pixels: Floats, depth: Floats, triangles: NDArray[np.int64], size: int
) -> tuple[NDArray, Floats]:
    """Winning triangle (S, S), -1 where none, and its depth; every center against every triangle, in order."""
    owner = np.full((size, size), -1)
    nearest = np.full((size, size), np.inf)
    for number, (i, j, k) in enumerate(triangles):
        for row in range(size):
            for column in range(size):
                weights = barycentric(pixels[[i, j, k]], np.array([column + 0.5, row + 0.5]))
                if weights is None or weights.min() < 0:
                    continue
                z = 1 / (weights / depth[[i, j, k]]).sum()
                if z < nearest[row, column]:
                    nearest[row, column], owner[row, column] = z, number
    return owner, nearest


def barycentric(corners: Floats, point: Floats) -> Floats | None:
    """Weights of a point in a triangle of the picture plane; None for a triangle without area."""
    a, b, c = corners
    area = cross(b - a, c - a)
    if abs(area) < 1e-12:
        return None
    return (
        np.array([cross(b - point, c - point), cross(c - point, a - point), cross(a - point, b - point)])
        / area
    )


def cross(u: Floats, v: Floats) -> float:
    return float(u[0] * v[1] - u[1] * v[0])
