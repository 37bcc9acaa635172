"""One mask from the front, for its record."""

from __future__ import annotations

from services.exhibition import palette
from services.exhibition.lineup import shared_field_mm
from services.exhibition.palette import Image
from services.exhibition.studio import Pose, Sitting

_SIZE_PX = 800


def portrait(mask: Sitting, size_px: int = _SIZE_PX) -> Image:
    """A square picture uint8 (size, size, 3) of a mask from the front, alone on the wall."""
    page = palette.backdrop(size_px, size_px)
    palette.hang(page, mask.shoot(Pose(), size_px, shared_field_mm([mask])), (0, 0))
    return palette.pixels(page)
