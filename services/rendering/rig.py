"""The one light rig of all pictures that people look at, and what a mask can be made of.

Both studios take their lamps from here: the OpenGL beauty shots of :mod:`services.rendering.beauty` and the
exhibition's own studio with its soft shadows. The page's 3D view (``exhibition/assets/viewer.js``) stands
under the
same three, as far as WebGL lights can.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.errors import BadInput

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Light:
    """A light in the camera's frame. spread: 0 is a point, 1 a wide sky. power: linear RGB."""

    toward: Color
    spread: float
    power: Color

    @property
    def direction(self) -> NDArray[np.float32]:
        """Unit vector (3,) to where it comes from."""
        toward = np.asarray(self.toward, np.float64)
        return np.asarray(toward / np.linalg.norm(toward), np.float32)


# One key light tells the story; the others only keep the dark side legible.
KEY = Light((-0.80, 0.62, 0.50), 0.055, (1.06, 1.00, 0.92))
FILL = Light((0.85, 0.00, 0.50), 0.25, (0.040, 0.050, 0.068))
RIM = Light((0.80, 0.42, -0.48), 0.10, (0.50, 0.55, 0.64))
LIGHTS = (KEY, FILL, RIM)
SKY: Color = (0.068, 0.072, 0.082)


@dataclass(frozen=True)
class Material:
    """What a mask is made of. albedo: linear RGB. gloss: strength of highlights.

    gloss_power: how small they are. mirror: share of the light that comes back as a reflection of the studio.
    """

    name: str
    albedo: Color
    gloss: float
    gloss_power: float
    mirror: float = 0.0


NYLON = Material("nylon", (0.80, 0.765, 0.715), 0.10, 22.0)  # sintered: white, a little warm, matt
PLASTER = Material("plaster", (0.84, 0.83, 0.81), 0.015, 8.0)
MIRROR = Material("mirror", (0.93, 0.92, 0.90), 0.5, 240.0, 0.94)
COLOR = Material("color", (1.0, 1.0, 1.0), 0.05, 18.0)  # its color comes from its vertices
MATERIALS = {material.name: material for material in (NYLON, PLASTER, MIRROR, COLOR)}


def material_named(name: str) -> Material:
    """:raises BadInput: for an unknown name."""
    if name not in MATERIALS:
        raise BadInput(f"material {name!r}: expected one of {', '.join(MATERIALS)}")
    return MATERIALS[name]
