"""Color genes: smooth painted regions of a face, each with one gene.

A shape-only mask has one color, and machines see it by its shadows alone. Paint is what a color printer, or a
brush, can add: darker brows, irises, lips, the shadow of an eye socket. A region is a soft ellipse on the
neutral head, seen from the front, around landmarks of the basis. A gene of weight w multiplies its region's
color by 1 + |w| / 2 * change, on its positive or its negative side; beyond 2 it changes nothing more.

Only additions, multiplications, comparisons: colors are the same bits on every device.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

SUFFIX = "+paint-1"
"""Ends the id of a basis with paint: ``makehuman-mask-1+paint-1``."""

SKIN_SRGB = (0.86, 0.72, 0.64)  # what a mask without paint is rendered in
FULL = 2.0  # weights beyond it change nothing more
DARKEST = 0.03

Array = TypeVar("Array", bound=Any)
Color = tuple[float, float, float]
DARK: Color = (-0.8, -0.8, -0.8)
DIM: Color = (-0.45, -0.45, -0.45)
LIGHT: Color = (0.3, 0.35, 0.4)
RED: Color = (0.05, -0.4, -0.35)
PALE: Color = (0.05, 0.2, 0.25)
WARM: Color = (0.05, -0.08, -0.25)
COOL: Color = (-0.2, -0.05, 0.1)


@dataclass(frozen=True)
class Region:
    """A soft ellipse for each landmark: its center is ``shift_mm`` from it, mirrored on the right side (+X).

    radii_mm: half axes, where the paint ends; the inner third is painted in full. No landmark: everywhere.
    """

    landmarks: tuple[str, ...] = ()
    shift_mm: tuple[float, float] = (0.0, 0.0)
    radii_mm: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Paint:
    """One gene: the change of its region's color at -FULL and at +FULL, each (3,) of the linear share."""

    name: str
    region: Region
    negative: Color
    positive: Color


_EVERYWHERE = Region()
_LIPS = Region(("mouth_left", "mouth_right"), (13.0, 0.0), (22.0, 12.0))
_BROWS = Region(("brow_left", "brow_right"), (3.0, -1.0), (26.0, 9.0))
_IRISES = Region(("left_pupil", "right_pupil"), (0.0, 0.0), (9.0, 9.0))
_EYES = Region(("left_pupil", "right_pupil"), (0.0, 0.0), (20.0, 11.0))
_SOCKETS = Region(("left_pupil", "right_pupil"), (2.0, 4.0), (30.0, 24.0))
_NOSTRILS = Region(("left_nostril", "right_nostril"), (1.0, -1.0), (9.0, 7.0))
_BRIDGE = Region(("nose_tip",), (0.0, 16.0), (12.0, 32.0))
_CHEEKS = Region(("mouth_left", "mouth_right"), (-17.0, 26.0), (38.0, 36.0))
_UNDERLIP = Region(("chin",), (0.0, 24.0), (24.0, 11.0))
_FOREHEAD = Region(("brow_left", "brow_right"), (22.0, 28.0), (46.0, 28.0))

PAINTS = (
    Paint("paint-skin-dark|light", _EVERYWHERE, DIM, (0.14, 0.2, 0.25)),
    Paint("paint-skin-cool|warm", _EVERYWHERE, COOL, WARM),
    Paint("paint-lips-light|dark", _LIPS, LIGHT, DIM),
    Paint("paint-lips-pale|red", _LIPS, PALE, RED),
    Paint("paint-brows-light|dark", _BROWS, LIGHT, DARK),
    Paint("paint-irises-light|dark", _IRISES, LIGHT, DARK),
    Paint("paint-eyes-dark|light", _EYES, DIM, LIGHT),
    Paint("paint-sockets-light|dark", _SOCKETS, LIGHT, DIM),
    Paint("paint-nostrils-light|dark", _NOSTRILS, LIGHT, DARK),
    Paint("paint-bridge-dark|light", _BRIDGE, DIM, LIGHT),
    Paint("paint-cheeks-light|dark", _CHEEKS, LIGHT, DIM),
    Paint("paint-cheeks-pale|red", _CHEEKS, PALE, RED),
    Paint("paint-underlip-light|dark", _UNDERLIP, LIGHT, DIM),
    Paint("paint-forehead-dark|light", _FOREHEAD, DIM, LIGHT),
)


def shape_basis(basis_id: str) -> str:
    """The id of the basis whose shape a painted one has; any other's own id."""
    return basis_id.removesuffix(SUFFIX)


def is_painted(basis_id: str) -> bool:
    """Whether genomes of this basis end with color genes."""
    return basis_id.endswith(SUFFIX)


def paint_sha256(shape_sha256: str) -> str:
    """What a painted basis's content is known by: that of its shape and of the table of paints."""
    table = json.dumps([SKIN_SRGB, FULL, DARKEST, [asdict(p) for p in PAINTS]], sort_keys=True)
    return hashlib.sha256(f"{shape_sha256}\n{table}".encode()).hexdigest()


def region_weights(neutral: npt.NDArray[np.float32], landmarks: Mapping[str, int]) -> npt.NDArray[np.float32]:
    """How much each paint covers each vertex, ``(P, V)`` float32 in 0..1. neutral: ``(V, 3)`` in meters."""
    front_mm = neutral[:, :2].astype(np.float64) * 1e3
    found = [_weights(paint.region, front_mm, landmarks) for paint in PAINTS]
    return np.stack(found).astype(np.float32)


def _weights(
    region: Region, front_mm: npt.NDArray[np.float64], landmarks: Mapping[str, int]
) -> npt.NDArray[np.float64]:
    if not region.landmarks:
        return np.ones(len(front_mm))
    covered = np.zeros(len(front_mm))
    for name in region.landmarks:
        at = front_mm[landmarks[name]]
        side = 1.0 if at[0] < 0 else -1.0
        center = at + np.array(region.shift_mm) * (side, 1.0)
        away = np.sqrt((((front_mm - center) / region.radii_mm) ** 2).sum(axis=1))
        share = np.clip((1.0 - away) * 1.5, 0.0, 1.0)
        covered = np.maximum(covered, share * share * (3.0 - 2.0 * share))
    return covered


def blend(
    skin: Array,
    cover: Sequence[Array],
    up: Array,
    down: Array,
    positive: Sequence[Array],
    negative: Sequence[Array],
) -> Array:
    """Paint over a skin, one region after the other; of numpy or of torch arrays alike.

    skin: ``(n, V, 3)``. cover: P of ``(1, V, 1)``. up, down: ``(n, P)`` in 0..1, how far each gene goes to
    its sides. positive, negative: the changes at +FULL and -FULL, P of ``(3,)``.
    """
    for gene, over in enumerate(cover):
        change = up[:, gene, None] * positive[gene] + down[:, gene, None] * negative[gene]
        skin = skin * (over * change[:, None] + 1.0)
    return skin


def display_colors(
    genomes: npt.NDArray[np.float32], cover: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Colors ``(n, V, 3)`` float32 in 0..1 (sRGB) of genomes ``(n, G)`` that end with color genes.

    cover: ``(P, V)`` of :func:`region_weights`. The same as services.shape.decode.Decoder.colors, in numpy.
    """
    share = np.clip(np.nan_to_num(genomes[:, -len(cover) :], nan=0.0) / FULL, -1.0, 1.0).astype(np.float32)
    skin = np.broadcast_to(np.array(SKIN_SRGB, np.float32), (len(genomes), cover.shape[1], 3))
    up, down = np.maximum(share, 0.0), np.maximum(-share, 0.0)
    positive, negative = changes()
    blended = blend(skin, list(cover[:, None, :, None]), up, down, list(positive), list(negative))
    return np.asarray(np.clip(blended, DARKEST, 1.0), np.float32)


def bytes_of(colors: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Colors in 0..1 as files keep them."""
    return (colors * 255.0 + 0.5).astype(np.uint8)


def changes() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The changes at +FULL and at -FULL, ``(P, 3)`` float32 each."""
    return (
        np.array([paint.positive for paint in PAINTS], np.float32),
        np.array([paint.negative for paint in PAINTS], np.float32),
    )
