"""Who stands before a mask: a plain figure of a visitor, for scale and to be reflected in a mirror.

The face is the neutral head that masks are measured against, nobody in particular; the rest are bones with
something around them, run into one another (smooth unions of distances, Quilez 2008). Meters, feet on the
floor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.measure import marching_cubes

from services.shape.basis import load_basis

EYES_M = 1.58
_GRID_M = 0.015
_BLEND_M = 0.03  # how far parts run into one another

Float = NDArray[np.float32]
Ints = NDArray[np.int64]
Point = tuple[float, float, float]
Bone = tuple[Point, Point, float]  # both ends and the radius

_HAIR: tuple[Bone, ...] = (((0.0, EYES_M + 0.045, 0.075), (0.0, EYES_M - 0.01, 0.10), 0.082),)
_SIDE: tuple[Bone, ...] = (
    ((0.0, 1.37, 0.085), (0.155, 1.335, 0.085), 0.055),
    ((0.165, 1.33, 0.085), (0.205, 1.06, 0.095), 0.052),
    ((0.205, 1.06, 0.095), (0.205, 0.84, 0.05), 0.044),
    ((0.075, 1.28, 0.08), (0.06, 1.05, 0.08), 0.105),
    ((0.06, 1.05, 0.08), (0.075, 0.80, 0.085), 0.110),  # a coat, down to the knees
    ((0.075, 0.80, 0.085), (0.095, 0.50, 0.085), 0.115),
    ((0.095, 0.50, 0.085), (0.105, 0.08, 0.09), 0.060),
    ((0.105, 0.05, 0.10), (0.115, 0.04, -0.06), 0.045),
)
_SKIN: tuple[Bone, ...] = (
    ((0.0, 1.36, 0.085), (0.0, 1.50, 0.07), 0.058),
    ((0.205, 0.80, 0.045), (0.197, 0.72, 0.03), 0.034),
    ((-0.205, 0.80, 0.045), (-0.197, 0.72, 0.03), 0.034),
)


@dataclass(frozen=True)
class Shape:
    """A part of the figure. points: float32 (V, 3). triangles: (T, 3)."""

    points: Float
    triangles: Ints


def visitor() -> dict[str, Shape]:
    """The parts, ``face``, ``skin``, ``hair``, ``cloth``: the eyes at (0, EYES_M, 0), the face toward -Z."""
    basis = load_basis("makehuman-mask-1")
    face = np.asarray(basis.neutral, np.float64) * (-1, 1, -1) + (0, EYES_M, 0)  # turned by half a circle
    other = tuple(((-a[0], *a[1:]), (-b[0], *b[1:]), radius) for a, b, radius in _SIDE)
    return {
        "face": Shape(np.asarray(face, np.float32), np.asarray(basis.triangles, np.int64)),
        "skin": _around(_SKIN),
        "hair": _around(_HAIR),
        "cloth": _around((*_SIDE, *other)),
    }


def _around(bones: Sequence[Bone]) -> Shape:
    """The surface around bones."""
    ends = np.array([(a, b) for a, b, _ in bones])
    reach = max(radius for *_, radius in bones) + 2 * _GRID_M + _BLEND_M
    low, high = ends.min(axis=(0, 1)) - reach, ends.max(axis=(0, 1)) + reach
    axes = [np.arange(start, end, _GRID_M) for start, end in zip(low, high, strict=True)]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    near = np.zeros(places.shape[:3])
    for a, b, radius in bones:
        way = np.subtract(b, a)
        along = np.clip((places - a) @ way / (way @ way), 0, 1)
        far = np.linalg.norm(places - a - along[..., None] * way, axis=-1) - radius
        near += np.exp(-far / _BLEND_M)
    distance = -_BLEND_M * np.log(np.maximum(near, 1e-30))
    points, corners, _, _ = marching_cubes(distance, 0.0, spacing=(_GRID_M,) * 3)
    return Shape(np.asarray(points + low, np.float32), np.asarray(corners, np.int64))
