"""What machines make of one ordinary picture: a copy of it for each, with what it reports drawn on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

from services.errors import BadInput
from services.exhibition import palette
from services.exhibition.palette import Color, Image

_LEAST_PX, _MOST_PX = 480, 640  # of a copy's longer side
_COLUMNS = 3
_GAP_PX = 36
_HEAD_PX = 64
_WORDS_PX = 66
_DARK: Color = (12, 12, 13)


@dataclass(frozen=True)
class Mark:
    """One place. box_px: left, top, right, bottom, and points_px: landmarks (k, 2), in the picture's pixels.
    faint: where no face was reported, but where the machine came nearest to one.
    """

    box_px: tuple[float, float, float, float]
    points_px: NDArray[np.float32]
    words: str = ""
    faint: bool = False


@dataclass(frozen=True)
class Panel:
    """One machine. seen: whether it reports a face at all. words: what it says, in a line."""

    machine: str
    seen: bool
    words: str
    marks: tuple[Mark, ...]


def look_sheet(picture: Image, panels: Sequence[Panel], title: str, note: str = "") -> Image:
    """A sheet uint8 (H, W, 3) of copies of a picture uint8 (H, W, 3), one for each machine.

    :raises BadInput: where no machine was asked.
    """
    if not panels:
        raise BadInput("look: no machine was asked; name one that is installed (datamask models)")
    longest = max(picture.shape[:2])
    scale = min(max(longest, _LEAST_PX), _MOST_PX) / longest
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    copy = Pillow.fromarray(picture).resize((width, height), Pillow.Resampling.LANCZOS)
    columns = min(_COLUMNS, len(panels))
    cell = max(width, 300)  # a narrow picture's words need as much
    row = height + _WORDS_PX
    margin = palette.MARGIN_PX
    rows = -(-len(panels) // columns)
    page = palette.sheet(
        2 * margin + columns * (cell + _GAP_PX) - _GAP_PX, 2 * margin + _HEAD_PX + rows * row - _GAP_PX // 2
    )
    room = page.width - 2 * margin
    palette.write(page, (margin, margin), palette.fitted(title, 22, room), 22, anchor="ls")
    palette.write(page, (margin, margin + 28), palette.fitted(note, 16, room), 16, palette.QUIET, "ls")
    for k, panel in enumerate(panels):
        x = margin + (k % columns) * (cell + _GAP_PX)
        y = margin + _HEAD_PX + (k // columns) * row
        page.paste(_drawn(copy, panel, scale), (x, y))
        tone = palette.YES if panel.seen else palette.NO
        palette.spaced(page, (x, y + height + 24), panel.machine, 14, tone)
        palette.write(
            page, (x, y + height + 46), palette.fitted(panel.words, 16, cell), 16, palette.QUIET, "ls"
        )
    return palette.pixels(page)


def _drawn(copy: Pillow.Image, panel: Panel, scale: float) -> Pillow.Image:
    shown = copy.copy()
    pen = ImageDraw.Draw(shown)
    for mark in panel.marks:
        color = palette.TEXT if mark.faint else palette.YES
        box = [edge * scale for edge in mark.box_px]
        if mark.faint:
            _dashed(pen, box, color)
        else:
            pen.rectangle(
                [edge + d for edge, d in zip(box, (-1, -1, 1, 1), strict=True)], outline=_DARK, width=5
            )
            pen.rectangle(box, outline=color, width=3)
        for x, y in mark.points_px * scale:
            pen.ellipse([x - 4, y - 4, x + 4, y + 4], fill=color, outline=_DARK)
        if mark.words:
            _label(pen, shown, mark.words, box, color)
    return shown


def _label(
    pen: ImageDraw.ImageDraw, page: Pillow.Image, words: str, box: Sequence[float], color: Color
) -> None:
    """A score above its box, or inside where there is no room, on dark."""
    wide = palette.font(14).getlength(words) + 8
    x = min(max(0.0, box[0]), max(0.0, page.width - wide))
    y = box[1] - 20 if box[1] >= 20 else min(max(0.0, box[1] + 3), page.height - 18.0)
    pen.rectangle([x, y, x + wide, y + 18], fill=_DARK)
    palette.write(page, (x + 4, y + 14), words, 14, color, "ls")


def _dashed(pen: ImageDraw.ImageDraw, box: Sequence[float], color: Color) -> None:
    left, top, right, bottom = box
    for (x0, y0), (x1, y1) in (
        ((left, top), (right, top)),
        ((right, top), (right, bottom)),
        ((right, bottom), (left, bottom)),
        ((left, bottom), (left, top)),
    ):
        length = max(abs(x1 - x0), abs(y1 - y0))
        steps = max(1, round(length / 6))
        for k in range(0, steps, 2):
            a, b = k / steps, min(1.0, (k + 1) / steps)
            start = (x0 + (x1 - x0) * a, y0 + (y1 - y0) * a)
            end = (x0 + (x1 - x0) * b, y0 + (y1 - y0) * b)
            pen.line([start, end], fill=_DARK, width=3)
            pen.line([start, end], fill=color, width=1)
