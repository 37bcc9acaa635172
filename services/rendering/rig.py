"""The one light rig of all pictures that people look at, and what a mask can be made of.

Both studios take their lamps from here: the OpenGL beauty shots of :mod:`services.rendering.beauty` and the
exhibition's own studio with its soft shadows. The page's 3D view (``exhibition/assets/viewer.js``) stands
under the same three, as far as WebGL lights can. What masks are made of is listed in
:mod:`services.rendering.materials`; here it is in linear light.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.errors import BadInput
from services.rendering.materials import FINISHED, Finish, Shown
from services.srgb import srgb_to_linear

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
    """What a mask is made of. albedo: linear RGB of :data:`services.rendering.materials.FINISHED`.

    finish: how it shines.
    """

    name: str
    albedo: Color
    finish: Finish


def _made(shown: Shown, finish: Finish) -> Material:
    red, green, blue = (float(channel) for channel in srgb_to_linear(np.array(shown.srgb)))
    return Material(shown.name, (red, green, blue), finish)


MATERIALS = {name: _made(shown, shown.finish) for name, shown in FINISHED.items() if shown.finish is not None}
NYLON, COLOR = MATERIALS["nylon"], MATERIALS["color"]  # of COLOR the vertices have the colors


def material_named(name: str) -> Material:
    """:raises BadInput: for an unknown name."""
    if name not in MATERIALS:
        raise BadInput(f"material {name!r}: expected one of {', '.join(MATERIALS)}")
    return MATERIALS[name]
