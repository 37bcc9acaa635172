"""The elites as a line-up: one row a mask, turned under one light before a ruler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from PIL import Image as Pillow

from services.errors import BadInput
from services.exhibition import palette
from services.exhibition.palette import Image
from services.exhibition.studio import Pose, Sitting, one_by_one
from services.rendering.camera import CENTER_M

POSES = (Pose(-38.0), Pose(0.0), Pose(38.0), Pose(78.0))
_NAMES = ("three-quarter left", "front", "three-quarter right", "profile")
_CELL_PX = 440
_GAP_PX = 40
_CAPTION_PX = 270
_RULER_PX = 64
_HEAD_PX = 96
_FOOT_PX = 64
_FIELD_MM = 232.0
_AIR = 1.08


@dataclass(frozen=True)
class Caption:
    """What stands beside a picture. title: one line, larger. rows: (name, value) pairs."""

    title: str
    rows: tuple[tuple[str, str], ...] = ()


def shared_field_mm(masks: Sequence[Sitting]) -> float:
    """One field of view that holds every mask, so that sizes can be compared."""
    return max([_FIELD_MM, *(2.0 * _AIR * mask.reach_mm for mask in masks)])


def lineup(
    masks: Sequence[Sitting], captions: Sequence[Caption] | None = None, title: str = "Line-up"
) -> Image:
    """A picture uint8 (H, W, 3) of every mask from four sides, all to one scale.

    :param captions: one a mask, or None for pictures alone.
    :raises BadInput: where there is no mask, or not one caption each.
    """
    if not masks:
        raise BadInput("line-up: there is no mask to show; evolve longer, or choose masks by their ids")
    if captions is not None and len(captions) != len(masks):
        raise BadInput(f"line-up: {len(captions)} captions for {len(masks)} masks, expected one each")
    field = shared_field_mm(masks)
    margin, words = palette.MARGIN_PX, _CAPTION_PX if captions is not None else 0
    left = margin + words + _RULER_PX
    width = left + len(POSES) * _CELL_PX + margin
    height = _HEAD_PX + len(masks) * (_CELL_PX + _GAP_PX) - _GAP_PX + _FOOT_PX + margin
    page = palette.backdrop(width, height)
    palette.spaced(page, (margin, margin), title, 20, palette.TEXT)
    for k, name in enumerate(_NAMES):
        palette.write(page, (left + (k + 0.5) * _CELL_PX, margin), name, 16, palette.QUIET, "ms")
    shots = one_by_one(lambda what: what[0].shoot(what[1], _CELL_PX, field), list(product(masks, POSES)))
    for row in range(len(masks)):
        top = _HEAD_PX + row * (_CELL_PX + _GAP_PX)
        _ruler(page, left, top, field)
        for k in range(len(POSES)):
            palette.hang(page, shots[row * len(POSES) + k], (left + k * _CELL_PX, top))
        if captions is not None:
            write_caption(page, captions[row], (margin, top + _eye_line(field)), _CAPTION_PX - 44)
    note = "Centimeters above and below the eyes. Every mask to one scale, under one light."
    palette.write(page, (left, height - margin), note, 15, palette.QUIET, "ls")
    return palette.pixels(page)


def write_caption(page: Pillow.Image, caption: Caption, at: tuple[float, float], width: float) -> None:
    """Set a caption: its title on a baseline at ``at``, the rows below it."""
    x, y = at
    palette.write(page, (x, y), palette.fitted(caption.title, 24, width), 24, palette.TEXT, "ls")
    for k, (name, value) in enumerate(caption.rows):
        line = y + 36 + k * 25
        room = width - palette.font(16).getlength(value) - 12
        palette.write(page, (x, line), palette.fitted(name, 16, room), 16, palette.QUIET, "ls")
        palette.write(page, (x + width, line), value, 16, palette.TEXT, "rs")


def _eye_line(field_mm: float) -> float:
    """Rows below a cell's top at which the eyes of the neutral mask are."""
    return _CELL_PX / 2 + CENTER_M[1] * 1e3 * _CELL_PX / field_mm


def _ruler(page: Pillow.Image, left: int, top: int, field_mm: float) -> None:
    """Hairlines every 5 cm behind the row, ticks every centimeter beside it."""
    per_cm = 10.0 * _CELL_PX / field_mm
    eyes = top + _eye_line(field_mm)
    first = -int((_CELL_PX - _eye_line(field_mm)) // per_cm)
    for cm in range(first, int(_eye_line(field_mm) // per_cm) + 1):
        y = round(eyes - cm * per_cm)
        major = cm % 5 == 0
        palette.line(
            page, (left - (22 if major else 9), y), (left, y), palette.QUIET if major else palette.HAIR
        )
        if major:
            palette.line(page, (left, y), (left + len(POSES) * _CELL_PX, y), palette.HAIR)
            palette.write(page, (left - 30, y), palette.signed(cm, 0), 14, palette.QUIET, "rm")
    palette.line(page, (left, top), (left, top + _CELL_PX), palette.HAIR)
