"""A solid that is larger than the printer, cut by planes into parts with pegs that fit one way.

Along each cut, on the inside, stand bosses that nobody sees from the front. The lower or left part has a peg
in each, the other a hole for it. The cut goes where the section is shortest and in one piece, and keeps
clear of a lug or a socket.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from manifold3d import JoinType, Manifold

from services.errors import BadInput
from services.printing.catalog import BRIDGE_MM, Order, Size
from services.printing.openings import Box, ray
from services.printing.surface import Float

BOSS_MM, PEG_MM, LOOSE_MM = 7.0, 3.5, 0.2  # radii of a boss and of a peg, and how much wider a hole is
BOSS_LONG_MM, PEG_LONG_MM = 11.0, 7.0  # on either side of the cut
ROOT_MM = 4.0  # how far a peg reaches into its own part
APART_MM = 40.0  # between keys along a cut
MOST_KEYS = 8
CRUMB_MM3 = 60.0
MORE_MM, BUMPS_MM3 = 0.5, 1.0  # so much larger is what a boss is cut off by, and so little of it may be left
_SHIFT_MM, _STEP_MM = 3.2, 0.8  # so far from where parts are alike is a cut tried, and every so much
_SHIFTS_MM = np.linspace(-_SHIFT_MM, _SHIFT_MM, 1 + round(2 * _SHIFT_MM / _STEP_MM))
_SPARE_MM = (
    PEG_LONG_MM + 7.0
)  # so much larger than an even one may a part be: its pegs, and both cuts' shifts
# Where a cut's plane is level: which of x, y and z become the first, second and third axis there.
_TURNED = {0: (1, 2, 0), 1: (2, 0, 1)}
# From where nobody may see a boss: the front, and both three-quarter views.
_LOOKS = np.array([(0.0, 0.0, 1.0), (0.57, 0.0, 0.82), (-0.57, 0.0, 0.82), (0.0, 0.42, 0.91)])


@dataclass(frozen=True)
class PrintPart:
    """One piece. name: such as ``2-1``, row from below and column from the left. pegs, holes: its keys.

    place: column and row, from 0.
    """

    name: str
    place: tuple[int, int]
    body: Manifold
    pegs: int
    holes: int

    @property
    def size_mm(self) -> Size:
        """Its extent along x, y and z."""
        box = self.body.bounding_box()
        return (float(box[3] - box[0]), float(box[4] - box[1]), float(box[5] - box[2]))


@dataclass(frozen=True)
class _Cut:
    axis: int
    at: float


@dataclass(frozen=True)
class _Key:
    """center: (3,) on the cut."""

    cut: _Cut
    center: Float


def apart(body: Manifold, order: Order, clear: Sequence[Box] = ()) -> list[PrintPart]:
    """Cut a body, in millimeters, into parts that fit the order's bed; one part where it fits as it is.

    :param clear: boxes that no cut goes through and no boss reaches into, of fittings.
    :raises BadInput: where it is deeper than the printer can make, or no cut keeps clear.
    """
    box = body.bounding_box()
    extent = (float(box[3] - box[0]), float(box[4] - box[1]), float(box[5] - box[2]))
    counts, room = _counts(extent, order)
    cuts = [cut for axis in (0, 1) for cut in _cuts(body, axis, counts[axis], room[axis], clear)]
    keys: list[_Key] = []
    for cut in cuts:
        for center, boss in _bosses(body, cut, cuts, order.wall_mm, keys, clear):
            body = body + boss
            keys.append(_Key(cut, center))
    parts: list[PrintPart] = []
    for cell, place in _cells(body, cuts):
        whole, pegs, holes = _keyed(cell, keys)
        pieces = [p for p in sorted(whole.decompose(), key=lambda p: -p.volume()) if p.volume() > CRUMB_MM3]
        pegged, holed = _shared(pieces, pegs), _shared(pieces, holes)
        for n, piece in enumerate(pieces):
            name = f"{place[1] + 1}-{place[0] + 1}" + ("" if len(pieces) == 1 else chr(ord("a") + n))
            parts.append(PrintPart(name, place, piece, pegged[n], holed[n]))
    return parts


def way_to_lie(size: Size, order: Order) -> bool:
    """Whether a part of this size fits the bed, turned if the process lets it."""
    ways = permutations(range(3)) if not order.process.overhang else ((0, 1, 2), (1, 0, 2))
    return any(all(size[way[k]] <= order.bed_mm[k] for k in range(3)) for way in ways)


def _counts(extent: Size, order: Order) -> tuple[tuple[int, int], tuple[float, float]]:
    """Parts along x and y, as few as will do, and how long they may be there; none along z: a cut through
    the face's depth would show."""
    if way_to_lie(extent, order):
        return (1, 1), (extent[0], extent[1])
    ways = list(permutations(range(3)) if not order.process.overhang else ((0, 1, 2), (1, 0, 2)))
    found = []
    for way in ways:
        # The part lies with its axis way[k] along the bed's axis k.
        room = {axis: order.bed_mm[k] for k, axis in enumerate(way)}
        if extent[2] <= room[2]:
            across, up = (max(1, int(np.ceil(extent[k] / max(room[k] - _SPARE_MM, 1)))) for k in (0, 1))
            found.append((across * up, across, up, -room[0], -room[1]))
    if not found:
        bed = " x ".join(f"{side:g}" for side in order.bed_mm)
        raise BadInput(
            f"--parts: the solid is {extent[2]:.0f} mm deep, and no way of laying it on a bed of {bed} mm "
            "holds that; print it smaller or give a larger --bed-mm"
        )
    _, across, up, wide, high = min(found)
    return (across, up), (-wide, -high)


def _level(body: Manifold, axis: int) -> Manifold:
    """The body turned so that the axis points up."""
    matrix = np.zeros((3, 4))
    matrix[np.arange(3), _TURNED[axis]] = 1.0
    return body.transform(matrix)


def _placed(cut: _Cut, flat: Float) -> Float:
    """A point (2,) of a cut's plane in the body's frame, (3,)."""
    place = np.zeros(3)
    place[list(_TURNED[cut.axis])] = (*flat, cut.at)
    return place


def _cuts(body: Manifold, axis: int, count: int, room_mm: float, clear: Sequence[Box]) -> list[_Cut]:
    """The cuts along an axis into so many parts, or into one more where those would not keep clear.

    :raises BadInput: where these would not, either.
    """
    if count == 1:
        return []
    for many in (count, count + 1):
        found = [_best_cut(body, axis, k, many, room_mm, clear) for k in range(1, many)]
        cuts = [cut for cut in found if cut is not None]
        if len(cuts) == len(found):
            return cuts
    raise BadInput(
        f"--parts: no cut across {'xy'[axis]} that leaves parts of at most {room_mm:g} mm keeps clear of lug "
        "or socket; give a larger --bed-mm or another --mount"
    )


def _best_cut(
    body: Manifold, axis: int, k: int, count: int, room_mm: float, clear: Sequence[Box]
) -> _Cut | None:
    """The k-th of the cuts into so many parts: moved to where it crosses the wall least often, then least.

    Where none near by keeps clear, the nearest that does and leaves parts that fit; None without one.
    """
    box = body.bounding_box()
    low, long = float(box[axis]), float(box[axis + 3] - box[axis])
    level = _level(body, axis)
    tried = []
    for shift in _SHIFTS_MM:
        at = low + long * k / count + float(shift)
        if _is_clear(axis, at, clear):
            section = level.slice(at)
            tried.append((len(section.to_polygons()), round(section.area(), 1), abs(shift), at))
    if tried:
        return _Cut(axis, min(tried)[-1])
    # So much may a part grow; the cut beyond it may be moved, too, and pegs stand on the lower one.
    even = long / count
    up = room_mm - even - PEG_LONG_MM - (_SHIFT_MM if k > 1 else 0.0)
    down = room_mm - even - (PEG_LONG_MM + _SHIFT_MM if k < count - 1 else 0.0)
    for step in range(1 + round(_SHIFT_MM / _STEP_MM), int(even / _STEP_MM)):
        for shift, spare in ((-step * _STEP_MM, down), (step * _STEP_MM, up)):
            if abs(shift) <= spare and _is_clear(axis, low + even * k + shift, clear):
                return _Cut(axis, low + even * k + shift)
    return None


def _is_clear(axis: int, at: float, clear: Sequence[Box]) -> bool:
    return not any(box[axis] - BRIDGE_MM < at < box[axis + 3] + BRIDGE_MM for box in clear)


def _bosses(
    body: Manifold,
    cut: _Cut,
    others: Sequence[_Cut],
    wall_mm: float,
    keys: Sequence[_Key],
    clear: Sequence[Box],
) -> Iterator[tuple[Float, Manifold]]:
    """Where along a cut keys find a place: the center of each (3,), and the boss to join."""
    section = _level(body, cut.axis).slice(cut.at)
    middle = section.offset(-0.4 * wall_mm, JoinType.Round)  # a ribbon as thin as a line
    places = [np.asarray(point) for outline in middle.to_polygons() for point in outline]
    taken = [key.center for key in keys]
    made = 0
    for flat in _spread(places):
        if made == MOST_KEYS:
            break
        center = _placed(cut, flat)
        crowded = any(np.linalg.norm(center - other) < APART_MM for other in taken)
        near_cut = any(abs(center[c.axis] - c.at) < 2 * BOSS_LONG_MM for c in others if c.axis != cut.axis)
        if crowded or near_cut:
            continue
        for turn in np.linspace(0, 2 * np.pi, 8, endpoint=False):
            aside = np.array((np.cos(turn), np.sin(turn))) * (BOSS_MM + 0.15 * wall_mm)
            axis_at = _placed(cut, flat + aside)
            rod = _rod(cut, axis_at, BOSS_MM, -BOSS_LONG_MM, BOSS_LONG_MM)
            around = _rod(cut, axis_at, BOSS_MM + MORE_MM, -BOSS_LONG_MM - MORE_MM, BOSS_LONG_MM + MORE_MM)
            boss = None if _meets(rod, clear) else _hidden(body, rod, around, cut)
            if boss is not None:
                taken.append(axis_at)
                made += 1
                yield axis_at, boss
                break


def _spread(places: Sequence[Float]) -> Iterator[Float]:
    """Places (2,), each the farthest from all before it (Gonzalez 1985), while there is one far enough."""
    if not places:
        return
    points = np.stack(places)
    far = np.full(len(points), np.inf)
    at = int(points[:, 0].argmin())
    while far[at] > APART_MM / 4:
        yield points[at]
        far = np.minimum(far, np.linalg.norm(points - points[at], axis=1))
        at = int(far.argmax())


def _rod(cut: _Cut, center: Float, radius: float, start: float, end: float) -> Manifold:
    """A rod along a cut's normal, from one place before or behind the cut to another."""
    rod = Manifold.cylinder(end - start, radius, circular_segments=48).translate((0, 0, start))
    matrix = np.zeros((3, 4))
    matrix[_TURNED[cut.axis], np.arange(3)] = 1.0
    matrix[:, 3] = center
    return rod.transform(matrix)


def _meets(rod: Manifold, clear: Sequence[Box]) -> bool:
    own = rod.bounding_box()
    return any(all(own[k] < box[k + 3] and box[k] < own[k + 3] for k in range(3)) for box in clear)


def _hidden(body: Manifold, boss: Manifold, around: Manifold, cut: _Cut) -> Manifold | None:
    """What of a boss lies on the body's inside, seen by nobody; None where that holds no peg. around: a rod a
    little larger than the boss."""
    whole = boss.volume()
    held = [piece for piece in (boss - body).decompose() if piece.volume() > CRUMB_MM3]
    inner = [piece for piece in held if _unseen(body, piece)]
    if len(inner) != 1 or len(held) > 2 or inner[0].volume() < 0.6 * whole:
        return None
    # All else would stand out of the other side, be it as low as a bump. It is cut off by more than itself:
    # by itself alone, skins of no thickness would be left of its sides.
    beside = (around - body).decompose()
    kept = max(beside, key=lambda piece: float((piece ^ inner[0]).volume()))
    for piece in beside:
        if piece is not kept:
            boss = boss - piece
    if (boss - body - inner[0]).volume() > BUMPS_MM3:  # what is cut off hangs together with the rest
        return None
    # Both halves must hang on the wall by themselves.
    normal = np.zeros(3)
    normal[cut.axis] = 1.0
    joined = boss ^ body
    for half in joined.split_by_plane(tuple(normal), cut.at):
        if half.volume() < 0.04 * whole:
            return None
    return boss


def _unseen(body: Manifold, piece: Manifold) -> bool:
    """Whether the body hides a piece from everyone before it."""
    points = np.asarray(piece.to_mesh().vert_properties[:, :3], np.float64)
    some = points[:: max(1, len(points) // 24)]
    return all(ray(body, point + 0.5 * look, look, 2000.0) for point in some for look in _LOOKS)


def _cells(body: Manifold, cuts: Sequence[_Cut]) -> Iterator[tuple[Manifold, tuple[int, int]]]:
    """The body between the cuts, and how many cuts of either axis lie below each cell."""
    cells = [(body, (0, 0))]
    for axis in (0, 1):
        normal = np.zeros(3)
        normal[axis] = 1.0
        for cut in sorted((c for c in cuts if c.axis == axis), key=lambda c: c.at):
            made = []
            for cell, place in cells:
                above, below = cell.split_by_plane(tuple(normal), cut.at)
                step = (place[0] + 1, place[1]) if axis == 0 else (place[0], place[1] + 1)
                made += [(below, place), (above, step)]
            cells = made
    yield from ((cell, place) for cell, place in cells if cell.volume() > CRUMB_MM3)


def _keyed(cell: Manifold, keys: Sequence[_Key]) -> tuple[Manifold, list[Manifold], list[Manifold]]:
    """A cell with a peg in every boss below a cut, and a hole in every boss above one; and what of each of
    these bosses is about a peg's root or a hole."""
    pegs, holes = [], []
    for key in keys:
        box = cell.bounding_box()
        axis, at = key.cut.axis, key.cut.at
        root = _rod(key.cut, key.center, PEG_MM, -ROOT_MM, 0.0)
        seat = _rod(key.cut, key.center, PEG_MM, 0.0, ROOT_MM)
        if abs(box[axis + 3] - at) < 1e-3 + PEG_LONG_MM and (cell ^ root).volume() > 0.9 * root.volume():
            cell = cell + _rod(key.cut, key.center, PEG_MM, -ROOT_MM, PEG_LONG_MM)
            pegs.append(root)
        elif (cell ^ seat).volume() > 0.9 * seat.volume():
            cell = cell - _rod(key.cut, key.center, PEG_MM + LOOSE_MM, -1.0, PEG_LONG_MM + 2 * LOOSE_MM)
            holes.append(_rod(key.cut, key.center, BOSS_MM, 0.0, ROOT_MM))
    return cell, pegs, holes


def _shared(pieces: Sequence[Manifold], places: Sequence[Manifold]) -> list[int]:
    """How many of the places each piece has: it holds more of them than any other piece does."""
    has = [0] * len(pieces)
    for place in places:
        held = [(piece ^ place).volume() for piece in pieces]
        has[held.index(max(held))] += 1
    return has
