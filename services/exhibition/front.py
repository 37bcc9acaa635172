"""One mask from the front, for its record."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from services.exhibition.lineup import FRONT, shared_field_mm
from services.exhibition.palette import Image
from services.exhibition.studio import LitMask
from services.rendering.beauty import DISTANCE_M, Shot, beauty_shot

_SIZE_PX = 800


def portrait(
    mask: LitMask,
    vertices: NDArray[np.float32],
    triangles: NDArray[np.int32],
    size_px: int = _SIZE_PX,
    colors: NDArray[np.uint8] | None = None,
) -> Image:
    """A square picture uint8 (size, size, 3) of a mask from the front, drawn with OpenGL where there is one.

    vertices: (V, 3) in meters. triangles: (T, 3). colors: (V, 3), sRGB; None: nylon's. OpenGL draws in
    threads of its own: two pictures of one mask may differ in single bits.
    """
    field = shared_field_mm([mask], [FRONT], DISTANCE_M)
    shot = Shot(size_px=size_px, field_mm=field, center_m=mask.center_m)
    own = None if colors is None else colors.astype(np.float32) / 255.0
    return beauty_shot(vertices, triangles, shot, own)
