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
class ColorGenes:
    """The genes of a basis that are colors: ``names`` (P,), the last ones of a genome; none: no color.

    cover: how much each covers each vertex, ``(P, V)`` float32, signed where a gene is a wave. positive,
    negative: the color's change at +FULL and at -FULL, ``(P, 3)`` float32. sign: ``(P,)``, -1 for a gene
    whose mirror image is its own with the other sign, else 1.
    """

    names: tuple[str, ...]
    cover: npt.NDArray[np.float32]
    positive: npt.NDArray[np.float32]
    negative: npt.NDArray[np.float32]
    sign: npt.NDArray[np.float64]

    @classmethod
    def none(cls, vertices: int) -> ColorGenes:
        """No color genes."""
        nothing = np.zeros((0, 3), np.float32)
        return frozen(cls((), np.zeros((0, vertices), np.float32), nothing, nothing.copy(), np.ones(0)))

    def __len__(self) -> int:
        return len(self.names)


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


def colors_sha256(shape_sha256: str, genes: Sequence[Any]) -> str:
    """What a basis with color genes is known by: its shape's content and the table of the genes."""
    table = json.dumps([SKIN_SRGB, FULL, DARKEST, [asdict(gene) for gene in genes]], sort_keys=True)
    return hashlib.sha256(f"{shape_sha256}\n{table}".encode()).hexdigest()


def frozen(genes: ColorGenes) -> ColorGenes:
    """The same, read-only."""
    for array in (genes.cover, genes.positive, genes.negative, genes.sign):
        array.setflags(write=False)
    return genes


def paint(neutral: npt.NDArray[np.float32], landmarks: Mapping[str, int]) -> ColorGenes:
    """The color genes of a head. neutral: ``(V, 3)`` in meters."""
    front_mm = neutral[:, :2].astype(np.float64) * 1e3
    cover = np.stack([_weights(each.region, front_mm, landmarks) for each in PAINTS]).astype(np.float32)
    return frozen(
        ColorGenes(
            tuple(each.name for each in PAINTS),
            cover,
            np.array([each.positive for each in PAINTS], np.float32),
            np.array([each.negative for each in PAINTS], np.float32),
            np.ones(len(PAINTS)),
        )
    )


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


def display_colors(genomes: npt.NDArray[np.float32], genes: ColorGenes) -> npt.NDArray[np.float32]:
    """Colors ``(n, V, 3)`` float32 in 0..1 (sRGB) of genomes ``(n, G)`` that end with color genes.

    The same as services.shape.decode.Decoder.colors, in numpy.
    """
    share = np.clip(np.nan_to_num(genomes[:, -len(genes) :], nan=0.0) / FULL, -1.0, 1.0).astype(np.float32)
    skin = np.broadcast_to(np.array(SKIN_SRGB, np.float32), (len(genomes), genes.cover.shape[1], 3))
    up, down = np.maximum(share, 0.0), np.maximum(-share, 0.0)
    cover = list(genes.cover[:, None, :, None])
    blended = blend(skin, cover, up, down, list(genes.positive), list(genes.negative))
    return np.asarray(np.clip(blended, DARKEST, 1.0), np.float32)


def bytes_of(colors: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Colors in 0..1 as files keep them."""
    return (colors * 255.0 + 0.5).astype(np.uint8)
