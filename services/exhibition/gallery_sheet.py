"""The poster of a gallery of machines: a row a machine, with its mask, how others see it, and its gaze."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image as Pillow
from PIL import ImageDraw

from services.errors import BadInput
from services.exhibition import palette
from services.exhibition.lineup import shared_field_mm
from services.exhibition.palette import Image
from services.exhibition.studio import LitMask, Pose

_POSE = Pose(-14.0, -2.0)
_MASK, _SEEN, _GAP, _HEAD, _WORDS, _NAME = 380, 240, 26, 120, 56, 230  # pixels


@dataclass(frozen=True)
class Received:
    """The picture uint8 (S, S, 3) that a machine received, and its box there, left, top, right, bottom in
    pixels, where it sees a face.
    """

    pixels: Image
    box_px: tuple[float, float, float, float] | None


@dataclass(frozen=True)
class Row:
    """A machine's mask. received: by machine. hits: in how many held-out views each machine sees a face.
    gaze: uint8 (H, H, 3), the machine's own gaze from the front.
    """

    machine: str
    mask: str
    lit: LitMask
    received: Mapping[str, Received]
    hits: Mapping[str, int]
    gaze: Image


def gallery_sheet(
    rows: Sequence[Row], machines: Sequence[str], views: int, controls: Mapping[str, Mapping[str, Any]]
) -> Image:
    """A picture uint8 (H, W, 3): bred for the row's machine, seen by the column's.

    :param machines: of the columns. views: held-out ones that are counted. controls: by what they are called,
        in how many (``hits``) of how many (``of``) views each machine sees a face, by its name.
    :raises BadInput: where there is no row.
    """
    if not rows:
        raise BadInput("gallery: there is no mask to hang")
    field = shared_field_mm([row.lit for row in rows], [_POSE])
    margin = palette.MARGIN_PX
    left = margin + _NAME + _MASK + _GAP
    gaze_at = left + len(machines) * (_SEEN + _GAP)
    width = gaze_at + _MASK + margin
    top = margin + _HEAD
    foot = top + len(rows) * (_MASK + _GAP)
    height = foot + len(controls) * 30 + 60 + margin
    page = palette.backdrop(width, height)
    palette.spaced(page, (margin, margin), "What each machine sees", 22, palette.TEXT)
    palette.write(page, (margin, top - 24), "bred for", 16, palette.QUIET, "ls")
    palette.write(page, (left, top - 54), "seen by", 16, palette.QUIET, "ls")
    for k, name in enumerate(machines):
        palette.write(page, (left + k * (_SEEN + _GAP), top - 24), name, 19, palette.TEXT, "ls")
    palette.write(page, (gaze_at, top - 24), "what its own machine looks at", 16, palette.QUIET, "ls")
    for k, row in enumerate(rows):
        y = top + k * (_MASK + _GAP)
        palette.write(
            page, (margin, y + 30), palette.fitted(row.machine, 22, _NAME - 12), 22, palette.TEXT, "ls"
        )
        palette.write(page, (margin, y + 56), row.mask, 14, palette.QUIET, "ls")
        palette.mount(page, row.lit.shoot(_POSE, _MASK, field), (margin + _NAME, y))
        for column, name in enumerate(machines):
            at = (left + column * (_SEEN + _GAP), y + (_MASK - _SEEN - _WORDS) // 2)
            _cell(page, row, name, at, views)
        gaze = Pillow.fromarray(row.gaze).resize((_MASK, _MASK), Pillow.Resampling.LANCZOS)
        page.paste(gaze, (gaze_at, y))
    for k, (subject, said) in enumerate(controls.items()):
        y = foot + 24 + k * 30
        palette.write(page, (margin, y), f"control: {subject}", 16, palette.QUIET, "ls")
        for column, name in enumerate(machines):
            words = f"{said[name]['hits']} of {said[name]['of']}" if name in said else "not asked"
            palette.write(page, (left + column * (_SEEN + _GAP), y), words, 16, palette.QUIET, "ls")
    note = (
        f"Every mask was bred for one machine, from the same noise. Numbers: in how many of {views} "
        "held-out views a machine sees a face; gold: at least half. Pictures: one of these, with its box."
    )
    palette.write(
        page, (margin, height - margin), palette.fitted(note, 16, width - 2 * margin), 16, palette.QUIET, "ls"
    )
    return palette.pixels(page)


def _cell(page: Pillow.Image, row: Row, name: str, at: tuple[int, int], views: int) -> None:
    """What one machine received of a mask, its box, and how often it sees a face."""
    x, y = at
    pen = ImageDraw.Draw(page)
    seen = row.received.get(name)
    if seen is not None:
        picture = Pillow.fromarray(seen.pixels).resize((_SEEN, _SEEN), Pillow.Resampling.BICUBIC)
        if seen.box_px is not None:
            scale = _SEEN / seen.pixels.shape[0]
            edges = [min(max(edge * scale, 1), _SEEN - 2) for edge in seen.box_px]
            ImageDraw.Draw(picture).rectangle(edges, outline=palette.YES, width=2)
        page.paste(picture, at)
    if name == row.machine:  # the one that it was bred for
        pen.rectangle((x - 4, y - 4, x + _SEEN + 3, y + _SEEN + 3), outline=palette.TEXT, width=1)
    hits = row.hits.get(name)
    words = "not asked" if hits is None else f"{hits} of {views}"
    color = palette.YES if hits is not None and 2 * hits >= views else palette.QUIET
    palette.write(page, (x, y + _SEEN + 32), words, 22, color, "ls")
