"""One run's masks of every kind on one sheet: a picture for each filled cell of its archive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import ImageDraw

from services.errors import BadInput
from services.exhibition import palette
from services.exhibition.lineup import shared_field_mm
from services.exhibition.palette import Image
from services.exhibition.studio import LitMask, Pose, one_by_one

_CELL_PX = 200
_WIDEST_PX = 4000
_AXIS_PX = 120
_POSE = Pose(-14.0, -2.0)


@dataclass(frozen=True)
class Axis:
    """One direction of the sheet: what it measures, its unit, how many cells from low to high."""

    name: str
    unit: str
    cells: int
    low: float
    high: float

    def boundary(self, place: int) -> str:
        """The value at which a cell begins, as a reader takes it."""
        value = self.low + (self.high - self.low) * place / self.cells
        return f"{value:.3g} {self.unit}" if self.unit else f"{value:.2f}"

    @property
    def words(self) -> str:
        """Its name and its ends."""
        return f"{self.name}, {self.boundary(0)} to {self.boundary(self.cells)} and beyond"


def kinds_sheet(
    masks: Sequence[LitMask],
    places: Sequence[tuple[int, int]],
    accepted: Sequence[bool],
    across: Axis,
    up: Axis | None = None,
    note: str = "",
    title: str = "Masks of every kind",
) -> Image:
    """A picture uint8 (H, W, 3): every mask at its cell, all to one scale; accepted ones have a gold frame.

    :param places: of each mask, its cell from the left and from the bottom. up: None where the archive has
        one measure. note: a line more, such as what is not shown.
    :raises BadInput: where there is no mask, or a place lies outside.
    """
    if not masks:
        raise BadInput("archive: it holds no mask yet; evolve longer")
    rows = 1 if up is None else up.cells
    for x, y in places:
        if not (0 <= x < across.cells and 0 <= y < rows):
            raise BadInput(f"archive: there is no cell {x}, {y} among {across.cells} x {rows}")
    side = max(24, min(_CELL_PX, _WIDEST_PX // max(across.cells, rows)))
    margin = palette.MARGIN_PX
    left, top = margin + _AXIS_PX, margin + 60
    bottom = top + rows * side
    page = palette.backdrop(max(left + across.cells * side + margin, 900), bottom + _AXIS_PX + margin)
    palette.spaced(page, (margin, margin), title, 20, palette.TEXT)
    field = shared_field_mm(masks, [_POSE])
    shots = one_by_one(lambda mask: mask.shoot(_POSE, side, field), masks)
    pen = ImageDraw.Draw(page)
    for shot, (x, y), yes in zip(shots, places, accepted, strict=True):
        corner = (left + x * side, top + (rows - 1 - y) * side)
        palette.mount(page, shot, corner)
        if yes:
            inner = (corner[0] + 2, corner[1] + 2, corner[0] + side - 3, corner[1] + side - 3)
            pen.rectangle(inner, outline=palette.YES, width=1)
    for place in range(across.cells + 1):
        where = (left + place * side, bottom + 24)
        palette.write(page, where, across.boundary(place), 14, palette.QUIET, "ms")
    if up is not None:
        for place in range(rows + 1):
            where = (left - 14, bottom - place * side)
            palette.write(page, where, up.boundary(place), 14, palette.QUIET, "rm")
    palette.write(page, (left, bottom + 70), legend(across, up), 16, palette.TEXT, "ls")
    palette.write(page, (left, bottom + 98), note, 16, palette.TEXT, "ls")
    return palette.pixels(page)


def legend(across: Axis, up: Axis | None) -> str:
    """What the sheet's directions and frames mean."""
    upward = "" if up is None else f" Up: {up.words}."
    return f"Across: {across.words}.{upward} Gold frame: accepted by every machine of the search."
