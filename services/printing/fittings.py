"""Fittings on the inside: a lug to hang the mask from a nail, a socket for a stand's rod, the edition mark.

Each is tried at several places, by rays against the solid itself, and joined where it meets the wall but does
not come out on the other side.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import trimesh
from manifold3d import CrossSection, FillRule, Manifold
from PIL import Image, ImageDraw, ImageFont
from skimage.measure import approximate_polygon, find_contours

from services.printing.catalog import BRIDGE_MM, Order
from services.printing.openings import Fitted, keep_one, ray
from services.printing.solid import Wall, arrays
from services.printing.surface import Float

HOLE_MM = 6.0  # of the lug: a nail's head goes through
LUG_MM = (HOLE_MM + 2 * BRIDGE_MM, 4.0)  # wide, thick
ROD_MM = 6.2  # the socket takes a 6 mm rod
SOCKET_MM = (ROD_MM + 2 * BRIDGE_MM, 16.0, 12.0)  # across, long, how deep the rod goes
# How much the wall may rise over a fitting, which then is the longer.
LUG_SLOPE_MM, SOCKET_SLOPE_MM = 45.0, 20.0
# Where a lug is tried: aside of the center of mass, which counts so much more, and before the top's back.
_ASIDE_MM = (0.0, -3.0, 3.0, -6.0, 6.0, -12.0, 12.0, -20.0, 20.0)
_BACK_MM = (4.0, 5.0, 6.0, 8.0, 10.0, 13.0, 16.0, 20.0, 25.0, 30.0, 35.0)
ASIDE_WEIGHT = 2.0
STRAIGHT_DEG = 0.5  # so little nobody sees
TOUCH_MM3 = 1.0  # so little of the wall may a nail's way touch
SUNK_SHARE = 0.4  # of the wall that a fitting reaches into; the outer face stays as it is
RAISED_MM = 0.6
STROKE_MM = 0.9  # of letters, see _letters
LETTER_MM = 6.0
_PX_PER_MM = 24
_FAR_MM = 1000.0
_FORWARD = np.array((0.0, 0.0, 1.0))
_UP = np.array((0.0, 1.0, 0.0))


def add_fittings(work: Fitted, wall: Wall, order: Order, mark: str | None) -> None:
    """Join the fittings of a mount, and the mark if there is one, to the inside."""
    if order.mount == "wall":
        _join(work, "hanging lug", _lugs(work.body, order.wall_mm))
    elif order.mount == "stand":
        _join(work, "socket for a 6 mm rod", _sockets(work.body, order.wall_mm))
    if mark is not None:
        _emboss(work, mark)


def _join(work: Fitted, name: str, made: Iterator[tuple[Manifold, Manifold, str]]) -> None:
    """Join the first fitting that keeps the solid one body; made: what to add, what to take away then, and
    words on its place."""
    for part, hole, words in made:
        if keep_one(work, work.body + part - hole) is None:
            work.notes.append(f"{name}{words}")
            box, back = part.bounding_box(), work.body.bounding_box()[2]
            work.clear.append((box[0], box[1], min(box[2], back), box[3], box[4], box[5]))
            return
    work.refused.append(f"{name}: not made, the inside has no place that would hold it")


def _lugs(body: Manifold, wall_mm: float) -> Iterator[tuple[Manifold, Manifold, str]]:
    """Plates with a hole that hang from the inside of the top, above the center of mass and near the back
    where the nail is.

    A plate is made far too tall and cut off inside the wall, so that it follows whatever roof is over it.
    """
    points, triangles = arrays(body)
    width, thick = LUG_MM
    low, high = points.min(axis=0), points.max(axis=0)
    mass = trimesh.Trimesh(points, triangles, process=False).center_mass
    middle = round(float(mass[0]), 1)
    # The back of the top: where the nail will be, not where a chin or an ear reaches further back.
    near = np.abs(points[:, 0] - middle) < 20
    top = points[near & (points[:, 1] > high[1] - 0.35 * (high[1] - low[1]))]
    if not len(top):
        return
    for aside, back in sorted(product(_ASIDE_MM, _BACK_MM), key=_farther):
        x, z = middle + aside, float(top[:, 2].min()) + back
        roof = _roof(body, x, z, float(high[1]) + 1.0)
        if roof is None or roof[1] - roof[0] > LUG_SLOPE_MM:
            continue
        lowest, _, farthest = roof
        center = lowest - width / 2 - 1.0
        if center < (low[1] + high[1]) / 2:  # it would hang upside down
            continue
        outline = CrossSection.circle(width / 2, 64) + CrossSection.square(
            (width, farthest + 5.0 - center)
        ).translate((-width / 2, 0))
        plate = outline.extrude(thick).translate((x, center, z - thick / 2))
        part = _held(plate, body, SUNK_SHARE * wall_mm, 1)
        hole = CrossSection.circle(HOLE_MM / 2, 48).extrude(thick + 2)
        hole = hole.translate((x, center, z - thick / 2 - 1))
        # The nail comes from behind.
        way = CrossSection.circle(HOLE_MM / 2, 48).extrude(z - float(low[2]) + 5.0)
        way = way.translate((x, center, float(low[2]) - 5.0))
        whole = 0.9 * np.pi * (width / 2) ** 2 * thick
        if part is not None and part.volume() > whole and (body ^ (way + hole)).volume() < TOUCH_MM3:
            place = f": hole at x {x:.1f}, y {center:.1f} mm, {z - float(low[2]):.1f} mm before the back"
            yield part, hole, f"{place}; {_hangs((x, center), mass)}"


def _farther(place: tuple[float, float]) -> tuple[float, float, float]:
    """What a lug's place costs, aside of the center of mass and before the back: the first makes a mask hang
    crooked, the second only takes a longer nail."""
    aside, back = place
    return ASIDE_WEIGHT * abs(aside) + back, abs(aside), aside


def _hangs(hole: tuple[float, float], mass: Float) -> str:
    """How a mask hangs from a hole at (x, y), for whoever stands before it."""
    tilt = float(np.degrees(np.arctan2(mass[0] - hole[0], hole[1] - mass[1])))
    if abs(tilt) < STRAIGHT_DEG:
        return "hangs straight"
    return f"hangs {abs(tilt):.1f}° {'clockwise' if tilt > 0 else 'counterclockwise'}"


def _roof(body: Manifold, x: float, z: float, start: float) -> tuple[float, float, float] | None:
    """Rays down on a lug's footprint: lowest and highest inner face, highest outer one; None: no wall."""
    width, thick = LUG_MM
    inner, outer = [], []
    for dx in np.linspace(-width / 2, width / 2, 5):
        for dz in np.linspace(-thick / 2, thick / 2, 3):
            hits = ray(body, np.array((x + dx, start, z + dz)), -_UP, _FAR_MM)
            if len(hits) < 2 or len(hits) % 2:
                return None
            outer.append(start - hits[0])
            inner.append(start - hits[1])
    return min(inner), max(inner), max(outer)


def _held(part: Manifold, body: Manifold, sunk_mm: float, axis: int) -> Manifold | None:
    """What of a part lies before the body along an axis, and reaches into it; None if it would come out."""
    sunk = body.translate((0, sunk_mm, 0) if axis == 1 else (0, 0, sunk_mm))
    pieces = (part - sunk).decompose()
    if len(pieces) < 2:
        return None
    held = min(pieces, key=lambda piece: float(piece.bounding_box()[axis]))
    free = sorted(piece.volume() for piece in (held - body).decompose())
    out = held.bounding_box()[axis + 3] > body.bounding_box()[axis + 3]
    return None if out or sum(free[:-1]) > TOUCH_MM3 else held


def _sockets(body: Manifold, wall_mm: float) -> Iterator[tuple[Manifold, Manifold, str]]:
    """Blind tubes on the inside that open to the back, near the middle, cut off inside the wall."""
    points, _ = arrays(body)
    low, high = points.min(axis=0), points.max(axis=0)
    middle = (low + high) / 2
    across, long, deep = SOCKET_MM
    turns = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = np.array([(r * np.cos(t), r * np.sin(t), 0) for r in (0.0, across / 4, across / 2) for t in turns])
    steps = [(x, y) for y in range(-48, 49, 8) for x in range(-24, 25, 8)]
    for x, y in sorted(steps, key=lambda step: step[0] ** 2 + step[1] ** 2):
        at = middle + np.array((x, y, 0))
        inner, outer = [], []
        for place in at + ring:
            start = np.array((place[0], place[1], low[2] - 1))
            hits = ray(body, start, _FORWARD, _FAR_MM)
            if len(hits) < 2:
                break
            inner.append(float(start[2]) + hits[0])
            outer.append(float(start[2]) + hits[1])
        if len(inner) < len(ring) or max(inner) - min(inner) > SOCKET_SLOPE_MM:
            continue
        nearest, farthest = min(inner), max(outer)
        back = nearest - long
        foot = (float(at[0]), float(at[1]), back)
        rod = Manifold.cylinder(farthest + 5.0 - back, across / 2, circular_segments=64).translate(foot)
        hole = Manifold.cylinder(deep + 1, ROD_MM / 2, circular_segments=48).translate(
            (foot[0], foot[1], back - 1)
        )
        part = _held(rod, body, SUNK_SHARE * wall_mm, 2)
        if part is not None:
            yield part, hole, ""


def _emboss(work: Fitted, mark: str) -> None:
    """Raise the mark on the inside, where a place is flat enough. Engraving would thin the wall."""
    text = _letters(mark)
    x0, y0, x1, y1 = text.bounds()
    width, height = x1 - x0, y1 - y0
    points, _ = arrays(work.body)
    low, high = points.min(axis=0), points.max(axis=0)
    middle = (low + high) / 2
    text = text.translate((-(x0 + x1) / 2, -(y0 + y1) / 2)).mirror((1, 0))  # read from behind
    for turned in (False, True):
        shape = text.rotate(90) if turned else text
        half = np.array((height, width) if turned else (width, height)) / 2
        for y in (40, 50, 30, 20, 60, -30, -40, -20, 10, 0, -10, -50):
            for x in (0, 12, -12, 24, -24, 36, -36):
                at = middle + np.array((x, y, 0))
                depth = _patch(work.body, at, half, float(low[2]) - 1)
                if depth is None:
                    continue
                back, front = depth
                slab = shape.extrude(front - back + 4).translate((float(at[0]), float(at[1]), back - 2))
                layer = slab ^ work.body.translate((0, 0, -RAISED_MM))
                if keep_one(work, work.body + layer) is None:
                    work.letters = True
                    work.notes.append(f"mark on the inside: {mark}")
                    return
    work.refused.append("mark: not made, the inside has no flat place for it")


def _patch(body: Manifold, at: Float, half: Float, start: float) -> tuple[float, float] | None:
    """The inner face in a rectangle, seen from the back: least and greatest z; None: not flat enough."""
    depth = np.zeros((5, 7))
    for i, dy in enumerate(np.linspace(-half[1], half[1], 5)):
        for j, dx in enumerate(np.linspace(-half[0], half[0], 7)):
            hits = ray(body, np.array((at[0] + dx, at[1] + dy, start)), _FORWARD, _FAR_MM)
            if len(hits) < 2:
                return None
            depth[i, j] = start + hits[0]
    slope = max(
        float(np.abs(np.diff(depth, axis=0)).max() / (half[1] / 2)),
        float(np.abs(np.diff(depth, axis=1)).max() / (half[0] / 3)),
    )
    return (float(depth.min()), float(depth.max())) if slope < 1.0 else None


def _letters(text: str) -> CrossSection:
    """Outlines of a line of text, letters ``LETTER_MM`` high, in millimeters."""
    size = LETTER_MM * _PX_PER_MM / 0.72  # capitals are about 0.72 of a font's size
    font = ImageFont.load_default(size)
    left, top, right, bottom = (int(v) for v in font.getbbox(text))
    picture = Image.new("L", (right - left + 40, bottom - top + 40))
    # Thicker than the font: strokes of 0.9 mm and more come out of every process.
    ImageDraw.Draw(picture).text((20 - left, 20 - top), text, 255, font, stroke_width=4, stroke_fill=255)
    outlines = []
    for contour in find_contours(np.asarray(picture, float), 127.5):
        outline = approximate_polygon(contour, 0.8)[:-1]
        if len(outline) >= 3:
            outlines.append(np.stack([outline[:, 1], -outline[:, 0]], axis=1) / _PX_PER_MM)
    return CrossSection(outlines, FillRule.EvenOdd)
