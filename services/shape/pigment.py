"""Color genes of a blank: fields of lightness and of two opponent colors on its lowest modes.

No region knows what an eye is. A gene of weight w multiplies the color at each vertex by 1 + w / 2 * change
* wave, where the waves of one field, squared, add up to 1 at every vertex, as the relief's do. Blended as
paint is: services/shape/paint.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.shape.basis_file import PackedWaves
from services.shape.paint import Color, ColorGenes, frozen


@dataclass(frozen=True)
class Field:
    """One quantity of color on the lowest ``modes``, and the change of it at a weight of +FULL."""

    name: str
    modes: int
    change: Color


# Noise of the usual spread then varies by about 0.3 in lightness and 0.12 along each opponent color.
FIELDS = (
    Field("light", 24, (0.55, 0.55, 0.55)),
    Field("red", 12, (0.2, -0.2, -0.05)),
    Field("yellow", 12, (0.1, 0.1, -0.3)),
)


def pigment(packed: PackedWaves) -> ColorGenes:
    """The color genes of a blank."""
    names: list[str] = []
    cover, changes, sign = [], [], []
    for field in FIELDS:
        heights = packed.heights[: field.modes].astype(np.float64)
        cover.append(heights / np.sqrt((heights**2).sum(axis=0)))
        changes += [field.change] * field.modes
        sign += packed.header["facts"]["sign"][: field.modes]
        names += [f"{field.name}-{gene}" for gene in packed.header["genes"][: field.modes]]
    change = np.array(changes, np.float32)
    whole: npt.NDArray[np.float32] = np.concatenate(cover).astype(np.float32)
    return frozen(ColorGenes(tuple(names), whole, change, -change, np.array(sign, np.float64)))
