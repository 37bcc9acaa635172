"""A gaze map to look at: the colored mask from three sides, whose gaze it is, and what its colors mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from services.exhibition import palette
from services.exhibition.palette import Image

_HEAD_PX, _FOOT_PX = 46, 86
_RAMP_PX = 14


def gaze_sheet(
    sides: Sequence[Image], machine: str, mask: str, note: str, ramp: NDArray[np.uint8], reach: float
) -> Image:
    """A sheet uint8 (H, W, 3). sides: pictures uint8 (S, S, 3).

    ramp: the scale's colors uint8 (n, 3) from against to for. reach: the score that its ends stand for.
    """
    size, margin = sides[0].shape[0], palette.MARGIN_PX
    width = 2 * margin + len(sides) * size
    page = palette.sheet(width, margin + _HEAD_PX + size + _FOOT_PX + margin)
    palette.spaced(
        page, (margin, margin), palette.fitted(f"Where {machine} looks", 16, 800), 20, palette.TEXT
    )
    palette.write(page, (width - margin, margin), mask, 20, palette.TEXT, "rs")
    for k, side in enumerate(sides):
        page.paste(Pillow.fromarray(side), (margin + k * size, margin + _HEAD_PX))
    line = margin + _HEAD_PX + size + 34
    ends = f"gains {reach:.2f}", f"costs {reach:.2f}"
    palette.write(page, (margin, line), ends[0], 16, palette.QUIET, "lm")
    left = margin + round(palette.font(16).getlength(ends[0])) + 14
    page.paste(Pillow.fromarray(np.repeat(ramp[None], _RAMP_PX, axis=0)), (left, line - _RAMP_PX // 2))
    words = f"{ends[1]} of the score, if this place is not seen"
    palette.write(page, (left + len(ramp) + 14, line), words, 16, palette.QUIET, "lm")
    told = palette.fitted(note, 16, width - 2 * margin)
    palette.write(page, (margin, line + 34), told, 16, palette.QUIET, "lm")
    return palette.pixels(page)


def middle(sheet: Image, sides: int = 3) -> Image:
    """The picture uint8 (S, S, 3) in the middle of a sheet of so many."""
    size, top = (sheet.shape[1] - 2 * palette.MARGIN_PX) // sides, palette.MARGIN_PX + _HEAD_PX
    left = palette.MARGIN_PX + sides // 2 * size
    return sheet[top : top + size, left : left + size]
