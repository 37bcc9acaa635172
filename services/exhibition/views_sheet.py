"""What the machine received: the scored pixels themselves, and beside them what it found, drawn on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from services.errors import BadInput
from services.exhibition import palette
from services.exhibition.palette import Color, Image

SCALE = 2
_COLUMNS = 4
_GAP_PX = 36
_HEAD_PX = 60


@dataclass(frozen=True)
class Seen:
    """One view as a machine saw it. image: uint8 (S, S, 3). box_px: where it found a face, or None.

    region_px: the projected mask's box. words: short lines, the score first.
    """

    image: Image
    box_px: tuple[float, float, float, float] | None
    region_px: tuple[float, float, float, float] | None
    words: tuple[str, ...]


def contact_sheet(views: Sequence[Seen], title: str, note: str = "") -> Image:
    """A sheet uint8 (H, W, 3): every picture untouched at twice its size, beside it once more with its boxes.

    :raises BadInput: where there is no view.
    """
    if not views:
        raise BadInput("contact sheet: there is no view to show; set [verify] views to at least 1")
    size = views[0].image.shape[0]
    picture, frame = size * SCALE, size
    columns = min(_COLUMNS, len(views))
    cell = picture + 12 + frame + _GAP_PX
    row = picture + _GAP_PX
    margin = palette.MARGIN_PX
    width = 2 * margin + columns * cell - _GAP_PX
    height = margin + _HEAD_PX + -(-len(views) // columns) * row - _GAP_PX + margin
    page = palette.sheet(max(width, 2 * margin + 620), height)
    palette.spaced(page, (margin, margin), palette.fitted(title, 16, width - 2 * margin), 20, palette.TEXT)
    palette.write(
        page, (margin, margin + 28), palette.fitted(note, 16, width - 2 * margin), 16, palette.QUIET, "ls"
    )
    for k, view in enumerate(views):
        x = margin + (k % columns) * cell
        y = margin + _HEAD_PX + (k // columns) * row
        page.paste(Pillow.fromarray(np.repeat(np.repeat(view.image, SCALE, 0), SCALE, 1)), (x, y))
        _beside(page, view, k, (x + picture + 12, y), frame)
    return palette.pixels(page)


def _beside(page: Pillow.Image, view: Seen, number: int, at: tuple[int, int], side: int) -> None:
    """A view at its own size with its boxes drawn on it, and its score."""
    x, y = at
    pen = ImageDraw.Draw(page)
    page.paste(Pillow.fromarray(view.image), (x, y))
    if view.region_px is not None:
        _box(pen, at, view.region_px, side, palette.NO, 1)
    if view.box_px is not None:
        _box(pen, at, view.box_px, side, palette.YES, 2)
    color = palette.YES if view.box_px is not None else palette.NO
    palette.write(page, (x, y + side + 28), f"{number + 1:02d}", 15, palette.QUIET, "ls")
    for k, words in enumerate(view.words):
        tone = color if k == 0 else palette.QUIET
        palette.write(page, (x, y + side + 54 + k * 23), palette.fitted(words, 17, side), 17, tone, "ls")


def _box(
    pen: ImageDraw.ImageDraw,
    at: tuple[int, int],
    box: tuple[float, float, float, float],
    side: int,
    color: Color,
    width: int,
) -> None:
    left, top, right, bottom = (min(max(round(edge), 0), side - 1) for edge in box)
    if right > left and bottom > top:
        pen.rectangle([at[0] + left, at[1] + top, at[0] + right, at[1] + bottom], outline=color, width=width)
