"""The elites as a line-up: turned under one light before a ruler, one row a mask; many of them side by
side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image as Pillow

from services.errors import BadInput
from services.exhibition import palette
from services.exhibition.palette import Image
from services.exhibition.studio import DISTANCE_M, LitMask, Pose
from services.rendering.rig import NYLON, Material

FRONT = Pose(0.0)
POSES = (Pose(-38.0), FRONT, Pose(38.0), Pose(78.0))
MOST_ROWS = 6  # more masks stand side by side, from the front only
WIDEST_PX = 8192
_LARGEST_PX = 120e6  # pixels of a picture, 360 MB of memory; a grid that would be larger is made narrower
_NAMES = ("three-quarter left", "front", "three-quarter right", "profile")
_FIELD_MM = 232.0
_AIR = 1.08  # so much more than the mask alone takes is shown
_BESIDE = 0.09  # of a cell, between the widest masks of a wall

# All in pixels of a line-up at its natural size.
_CELL, _GAP, _CAPTION, _RULER, _HEAD, _FOOT = 440, 40, 270, 64, 96, 64


@dataclass(frozen=True)
class Caption:
    """What stands beside a picture. title: one line, larger. rows: (name, value) pairs."""

    title: str
    rows: tuple[tuple[str, str], ...] = ()


def shared_field_mm(
    masks: Sequence[LitMask], poses: Sequence[Pose] = (FRONT,), distance_m: float = DISTANCE_M
) -> float:
    """One field of view that holds every mask in every pose, with a border left free, so that sizes can be
    compared.
    """
    return max([_FIELD_MM, *(_AIR * mask.least_field_mm(poses, distance_m) for mask in masks)])


def lineup(
    masks: Sequence[LitMask],
    captions: Sequence[Caption] | None = None,
    title: str = "Line-up",
    *,
    level: str = "the eyes",
    width_px: int | None = None,
    material: Material = NYLON,
    columns: int | None = None,
) -> Image:
    """A picture uint8 (H, W, 3) of every mask, all to one scale: from four sides, or many from the front.

    :param captions: one a mask, or None for pictures alone. level: what lies at the origin of the masks'
        basis, where the ruler starts. width_px: up to 8192; None: the natural size. Pictures are made in
        tiles and hung one by one, so that memory holds the sheet and little more. columns: of many masks;
        None: as fills the sheet.
    :raises BadInput: where there is no mask, not one caption each, or the width cannot be had.
    """
    if not masks:
        raise BadInput("line-up: there is no mask to show; evolve longer, or choose masks by their ids")
    if captions is not None and len(captions) != len(masks):
        raise BadInput(f"line-up: {len(captions)} captions for {len(masks)} masks, expected one each")
    if width_px is not None and not 600 <= width_px <= WIDEST_PX:
        raise BadInput(f"line-up: a width of {width_px} pixels; expected 600 to {WIDEST_PX}")
    if len(masks) > MOST_ROWS:
        return palette.pixels(_wall(masks, captions, title, width_px, material, columns))
    return palette.pixels(_rows(masks, captions, title, level, width_px, material))


@dataclass(frozen=True)
class _Scale:
    """From pixels of the natural size to pixels of the sheet."""

    factor: float

    def __call__(self, length: float) -> int:
        return max(1, round(length * self.factor))


def _rows(
    masks: Sequence[LitMask],
    captions: Sequence[Caption] | None,
    title: str,
    level: str,
    width_px: int | None,
    material: Material,
) -> Pillow.Image:
    field = shared_field_mm(masks, POSES)
    level_line = _level_line(field, masks[0].center_m[1])
    margin, words = palette.MARGIN_PX, _CAPTION if captions is not None else 0
    left = margin + words + _RULER
    width = left + len(POSES) * _CELL + margin
    height = _HEAD + len(masks) * (_CELL + _GAP) - _GAP + _FOOT + margin
    u = _Scale(_factor(width, height, width_px))
    page = palette.backdrop(u(width), u(height))
    palette.spaced(page, (u(margin), u(margin)), title, u(20), palette.TEXT)
    for k, name in enumerate(_NAMES):
        palette.write(page, (u(left + (k + 0.5) * _CELL), u(margin)), name, u(16), palette.QUIET, "ms")
    for row, mask in enumerate(masks):
        top = _HEAD + row * (_CELL + _GAP)
        _ruler(page, u, (left, top), len(POSES) * _CELL, level_line, field)
        for k, pose in enumerate(POSES):
            shot = mask.shoot(pose, u(_CELL), field, material=material)
            palette.mount(page, shot, (u(left + k * _CELL), u(top)))
        if captions is not None:
            write_caption(
                page,
                captions[row],
                (u(margin), u(top + level_line)),
                u(_CAPTION - 44),
                u.factor,
            )
    note = f"Centimeters above and below {level}. Every mask to one scale, under one light."
    palette.write(page, (u(left), u(height - margin)), note, u(15), palette.QUIET, "ls")
    return page


def _wall(
    masks: Sequence[LitMask],
    captions: Sequence[Caption] | None,
    title: str,
    width_px: int | None,
    material: Material,
    columns: int | None,
) -> Pillow.Image:
    """Many masks: a grid of fronts with ids, as wide as it is high or wider, close to each other."""
    field = shared_field_mm(masks)
    pitch = round(_CELL * min(1.0, max(mask.width_mm() for mask in masks) / field + _BESIDE))
    if columns is None:
        wide = max(4, round((1.6 * len(masks) * _CELL / pitch) ** 0.5))
        columns = min(range(wide, max(4, wide - 1) - 1, -1), key=lambda count: -len(masks) % count)
    rows = -(-len(masks) // columns)
    margin, foot = palette.MARGIN_PX, 84 if captions is not None else 10
    width = 2 * margin + columns * pitch
    height = _HEAD + rows * (_CELL + foot) + _FOOT + margin
    u = _Scale(_factor(width, height, width_px))
    page = palette.backdrop(u(width), u(height))
    palette.spaced(page, (u(margin), u(margin)), title, u(20), palette.TEXT)
    for k, mask in enumerate(masks):
        middle, y = margin + (k % columns + 0.5) * pitch, _HEAD + (k // columns) * (_CELL + foot)
        shot = mask.shoot(FRONT, u(_CELL), field, material=material)
        palette.mount(page, shot, (round(middle * u.factor) - shot.shape[1] // 2, u(y)))
        if captions is not None:
            lines = [(captions[k].title, 26, palette.TEXT, 18)]
            lines += [(f"{name} {value}", 22, palette.QUIET, 50) for name, value in captions[k].rows[:1]]
            for text, size, color, down in lines:
                words = palette.fitted(text, u(size), u(pitch))
                palette.write(page, (u(middle), u(y + _CELL + down)), words, u(size), color, "ms")
    note = "Every mask to one scale, under one light."
    palette.write(page, (u(margin), u(height - margin)), note, u(15), palette.QUIET, "ls")
    return page


def _factor(width: int, height: int, width_px: int | None) -> float:
    wanted = 1.0 if width_px is None else width_px / width
    return min(wanted, math.sqrt(_LARGEST_PX / (width * height)))


def write_caption(
    page: Pillow.Image, caption: Caption, at: tuple[float, float], width: float, factor: float = 1.0
) -> None:
    """Set a caption: its title on a baseline at ``at``, the rows below it; sizes times ``factor``."""
    x, y = at
    large, small = round(24 * factor), round(16 * factor)
    palette.write(page, (x, y), palette.fitted(caption.title, large, width), large, palette.TEXT, "ls")
    for k, (name, value) in enumerate(caption.rows):
        line = y + (36 + k * 25) * factor
        room = width - palette.font(small).getlength(value) - 12 * factor
        palette.write(page, (x, line), palette.fitted(name, small, room), small, palette.QUIET, "ls")
        palette.write(page, (x + width, line), value, small, palette.TEXT, "rs")


def _level_line(field_mm: float, center_up_m: float) -> float:
    """Rows below a cell's top at which the origin of the masks' basis is, at the natural size."""
    return _CELL / 2 + center_up_m * 1e3 * _CELL / field_mm


def _ruler(
    page: Pillow.Image, u: _Scale, at: tuple[int, int], length: int, level: float, field_mm: float
) -> None:
    """Hairlines every 5 cm behind the row, ticks every centimeter beside it."""
    left, top = at
    per_cm = 10.0 * _CELL / field_mm
    first = -int((_CELL - level) // per_cm)
    for cm in range(first, int(level // per_cm) + 1):
        y = u(top + level - cm * per_cm)
        major = cm % 5 == 0
        start = (u(left - (22 if major else 9)), y)
        palette.line(page, start, (u(left), y), palette.QUIET if major else palette.HAIR)
        if major:
            palette.line(page, (u(left), y), (u(left + length), y), palette.HAIR)
            palette.write(page, (u(left - 30), y), palette.signed(cm, 0), u(14), palette.QUIET, "rm")
    palette.line(page, (u(left), u(top)), (u(left), u(top + _CELL)), palette.HAIR)
