"""What each machine takes for a face, and the others not: the masks of an archive of machines on one wall.

First a face to each machine alone, then those to several and to none; beside each in how many held-out views
every machine sees a face, for the archive knows only the views that the search saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image as Pillow
from PIL import ImageDraw

from services.errors import BadInput
from services.exhibition import palette
from services.exhibition.lineup import shared_field_mm
from services.exhibition.palette import Image
from services.exhibition.studio import LitMask, Pose

_POSE = Pose(-14.0, -2.0)
_LARGE, _SMALL, _GAP = 420, 250, 28  # pixels of a mask's place, and between places
_BAR, _LINE = 118, 22  # a machine's bar, and the height of its line
_ACROSS = 5  # places of large masks in a row


@dataclass(frozen=True)
class Verdicts:
    """A mask's cell and what became of it.

    :param id: of the mask. sees: the machines of its cell. hits: in how many of ``views`` held-out views each
        machine sees a face, by name.
    """

    id: str
    sees: tuple[str, ...]
    hits: dict[str, int]
    views: int


def wall_sheet(
    masks: Sequence[LitMask],
    verdicts: Sequence[Verdicts],
    machines: Sequence[str],
    cells: int,
    note: str = "",
) -> Image:
    """A picture uint8 (H, W, 3) of masks, one a set of machines, all to one scale.

    :param verdicts: one a mask. machines: all of them, in the order of the archive. cells: how many sets
        there are. note: what else is to be said, such as what the machines see in noise.
    :raises BadInput: where there is no mask, or not one verdict each.
    """
    if not masks:
        raise BadInput("archive: it holds no mask yet; evolve longer")
    if len(verdicts) != len(masks):
        raise BadInput(f"wall: {len(verdicts)} verdicts for {len(masks)} masks, expected one each")
    shown = dict(zip((said.sees for said in verdicts), zip(masks, verdicts, strict=True), strict=True))
    others = sorted(
        (sees for sees in shown if len(sees) != 1),
        key=lambda sees: (not sees, len(sees), _order(sees, machines)),
    )
    field = shared_field_mm(masks, [_POSE])
    margin, lines = palette.MARGIN_PX, len(machines) * _LINE + 26
    columns = min(len(machines), _ACROSS)
    width = 2 * margin + columns * (_LARGE + _GAP) - _GAP
    per_row = max(1, (width - 2 * margin + _GAP) // (_SMALL + _GAP))
    first, second = -(-len(machines) // columns), -(-len(others) // per_row)
    top = margin + 66
    below = top + first * (_LARGE + lines + 2 * _GAP) + 40
    height = below + (60 + second * (_SMALL + lines + 2 * _GAP + 20) if others else 0) + margin + 40
    page = palette.backdrop(width, height)
    palette.spaced(page, (margin, margin), "A face to one machine alone", 20, palette.TEXT)
    for k, name in enumerate(machines):
        x = margin + (k % columns) * (_LARGE + _GAP)
        y = top + (k // columns) * (_LARGE + lines + 2 * _GAP)
        palette.write(page, (x, y), name, 22, palette.TEXT, "ls")
        _place(page, shown.get((name,)), (x, y + 8), _LARGE, field, machines)
    if others:
        palette.spaced(page, (margin, below), "A face to several, or to none", 20, palette.TEXT)
    for k, sees in enumerate(others):
        x = margin + (k % per_row) * (_SMALL + _GAP)
        y = below + 60 + (k // per_row) * (_SMALL + lines + 2 * _GAP + 20)
        title = palette.fitted(_title(sees, machines), 15, _SMALL)
        palette.write(page, (x, y), title, 15, palette.TEXT, "ls")
        _place(page, shown[sees], (x, y + 8), _SMALL, field, machines)
    words = (
        f"{len(masks)} of {cells} sets of machines. Bars: in how many of {verdicts[0].views} views that the "
        f"search did not see each machine sees a face; gold where it is to. {note}"
    )
    palette.write(
        page,
        (margin, height - margin),
        palette.fitted(words.strip(), 15, width - 2 * margin),
        15,
        palette.QUIET,
        "ls",
    )
    return palette.pixels(page)


def _title(sees: Sequence[str], machines: Sequence[str]) -> str:
    """A set's name: whom it holds, or, where that is nearly everybody, whom it does not."""
    others = [name for name in machines if name not in sees]
    if len(sees) > 2 and len(others) <= 1:
        return f"all but {others[0]}" if others else "all of them"
    return ", ".join(sees) or "nobody"


def _place(
    page: Pillow.Image,
    there: tuple[LitMask, Verdicts] | None,
    at: tuple[int, int],
    side: int,
    field: float,
    machines: Sequence[str],
) -> None:
    """One mask with its bars, or an empty place."""
    x, y = at
    if there is None:
        ImageDraw.Draw(page).rectangle((x, y, x + side - 1, y + side - 1), outline=palette.HAIR, width=1)
        palette.write(page, (x + side / 2, y + side / 2), "none was found", 16, palette.QUIET, "mm")
        return
    mask, said = there
    palette.mount(page, mask.shoot(_POSE, side, field), at)
    palette.write(page, (x, y + side + 16), said.id, 14, palette.QUIET, "ls")
    pen = ImageDraw.Draw(page)
    for k, name in enumerate(machines):
        line = y + side + 26 + k * _LINE
        hits, wanted = said.hits[name], name in said.sees
        palette.write(
            page, (x, line + 14), palette.fitted(name, 14, side - _BAR - 10), 14, palette.QUIET, "ls"
        )
        left = x + side - _BAR
        pen.rectangle((left, line + 3, left + _BAR - 1, line + 14), outline=palette.HAIR, width=1)
        if hits:
            end = left + round((_BAR - 1) * hits / said.views)
            pen.rectangle((left, line + 3, end, line + 14), fill=palette.YES if wanted else palette.NO)


def _order(sees: Sequence[str], machines: Sequence[str]) -> list[int]:
    return [list(machines).index(name) for name in sees]
