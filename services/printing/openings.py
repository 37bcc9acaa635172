"""What makes a solid wearable or lets it hang: holes and fittings by exact booleans.

Everything is placed from the mask's own landmarks, or from where machines see eyes, a nose and a mouth on a
blank, and tried before it is kept: a part that would fall off, or a bridge under 4 mm, and the next smaller
or nearer place is taken; where none will do, that is said and the solid stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import igl
import numpy as np
from manifold3d import CrossSection, Manifold
from numpy.typing import NDArray

from services.printing.catalog import BRIDGE_MM, OPEN, Order
from services.printing.solid import Wall
from services.printing.surface import Float, Ints, edges_of, sample

PUPIL_MM = (20.0, 30.0)
PUPIL_SHARE, PUPIL_ASPECT = 0.8, 0.42  # of the distance between the eye's corners; height over width
NOSTRIL_MM = 6.4
SLOT_MM = (12.0, 4.0)
CRUMB_MM3 = 60.0
# Of the distance between the pupils, as on a usual head: an eye's width, and nostrils from the middle; and
# how far below the tip of the nose nostrils are, of the way to the mouth.
EYE_SHARE, NOSTRIL_SHARE, NOSTRIL_WAY = 0.43, 0.15, 0.17
STRAP_STEPS_MM = (7.0, 9.0, 11.0, 14.0, 17.0, 20.0)  # from the rim of a blank
Box = tuple[float, float, float, float, float, float]  # least x, y, z, greatest x, y, z
_UP = np.array((0.0, 1.0, 0.0))
_FORWARD = np.array((0.0, 0.0, 1.0))


@dataclass
class Fitted:
    """A solid on its way. notes: what was made, refused: what could not be and why. places: of the openings;
    cuts: points of the mask's surface in each. letters: whether a mark was raised. clear: what has to stay
    whole and free: each fitting with its nail's or rod's way from the back.
    """

    body: Manifold
    notes: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    crumbs_mm3: float = 0.0
    places: list[Place] = field(default_factory=list)
    cuts: list[Float] = field(default_factory=list)
    letters: bool = False
    clear: list[Box] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """A prism to cut: at ``center``, along ``out``, ``size`` across (along ``across`` and the third axis).

    round_: an ellipse, else a slot with round ends. front, depth: how far it reaches along, against ``out``.
    """

    center: Float
    across: Float
    out: Float
    size: tuple[float, float]
    round_: bool
    front: float
    depth: float


def open_up(wall: Wall, at: Mapping[str, Float], order: Order, unknown: str = "") -> Fitted:
    """Give a wall the openings of its mount.

    :param at: named places (3,) in millimeters, of :func:`known_places` or :func:`seen_places`. unknown: why
        there are no eyes among them.
    """
    work = Fitted(wall.body)
    if order.mount != "wear":
        return work
    site = _Site(wall, at)
    if order.eyes == OPEN:
        work.notes.append("eyes: open between the lids")
    elif "left_pupil" in at:
        for side in ("left", "right"):
            _first(work, site, f"{side} pupil opening", _pupils(site, side))
    else:
        work.refused.append(f"eyes and nostrils: not cut, {unknown}")
    if "left_nostril" in at:
        for side in ("left", "right"):
            _first(work, site, f"{side} nostril hole", _nostrils(site, side, work.body))
    for side in ("left", "right"):
        way = _straps(site, side, work.body) if f"strap_{side}" in at else _rim_straps(site, side, work.body)
        _first(work, site, f"{side} strap slot", way)
    return work


def known_places(wall: Wall, landmarks: Mapping[str, int]) -> dict[str, Float]:
    """Where the landmarks of a basis, vertex indices by name, lie on a wall: (3,) in millimeters."""
    return {name: wall.sheet.points[vertex] for name, vertex in landmarks.items()}


def seen_places(wall: Wall, seen: Mapping[str, Float]) -> dict[str, Float]:
    """Where on a wall machines see eyes, and by them its nostrils: (3,) in millimeters.

    :param seen: pupils, and as many of the nose's tip, the mouth's and the eyes' corners as machines see,
        (3,) in meters in the mask's frame; or nothing.
    """
    at = {name: wall.scale * place for name, place in seen.items()}
    if not at:
        return {}
    apart = at["right_pupil"] - at["left_pupil"]
    for side, outward in (("left", -apart), ("right", apart)):
        for end, way in (("outer", outward), ("inner", -outward)):
            at.setdefault(f"{side}_eye_{end}", at[f"{side}_pupil"] + EYE_SHARE / 2 * way)
    if {"nose_tip", "mouth_left", "mouth_right"} <= at.keys():
        mouth = (at["mouth_left"] + at["mouth_right"]) / 2
        base = at["nose_tip"] + NOSTRIL_WAY * (mouth - at["nose_tip"])
        for side, outward in (("left", -apart), ("right", apart)):
            at[f"{side}_nostril"] = _foremost(wall.sheet.points, base + NOSTRIL_SHARE * outward)
    return at


def _foremost(points: Float, place: Float, within_mm: float = 2.0) -> Float:
    """The point of a sheet that lies before a place, as seen from the front; else the nearest."""
    near = np.flatnonzero(np.linalg.norm(points[:, :2] - place[:2], axis=1) < within_mm)
    if not len(near):
        near = np.array([np.linalg.norm(points - place, axis=1).argmin()])
    found: Float = points[near[points[near, 2].argmax()]]
    return found


class _Site:
    """Where things are on one mask: samples of its sheet, its outer rim, its named places."""

    def __init__(self, wall: Wall, at: Mapping[str, Float]) -> None:
        self.wall = wall
        self.at = at
        self.points, self.of, _ = sample(wall.sheet.points, wall.sheet.triangles, 1.0)
        self.rim = outer_rim(wall.triangles)

    def out(self, point: Float, radius_mm: float = 5.0) -> Float:
        """Which way is out around a point: the mean of the sheet's normals there, turned to the seen side."""
        sheet = self.wall.sheet
        near = np.linalg.norm(sheet.points - point, axis=1) < radius_mm
        mean = (sheet.normals[near] * np.sign(sheet.outward[near])[:, None]).sum(axis=0)
        length = float(np.linalg.norm(mean))
        return mean / length if length > 1e-9 else _FORWARD

    def rim_distance(self, points: Float) -> float:
        squared, _, _ = igl.point_mesh_squared_distance(points, self.wall.vertices, self.rim)
        return float(np.sqrt(squared.min()))


def outer_rim(triangles: Ints) -> Ints:
    """Edges ``(e, 2)`` of the longest open edge loop: the mask's outer rim, not its lids."""
    edges, _, shared = edges_of(triangles)
    free = edges[shared == 1]
    label = {int(v): int(v) for v in np.unique(free)}

    def root(v: int) -> int:
        while label[v] != v:
            v = label[v]
        return v

    for a, b in free.tolist():
        label[root(a)] = root(b)
    roots = np.array([root(int(a)) for a in free[:, 0]])
    values, count = np.unique(roots, return_counts=True)
    longest: Ints = free[roots == values[count.argmax()]]
    return longest


def _frame(place: Place) -> tuple[Float, NDArray[np.float64]]:
    """The place's axes as rows (across, along, out) and the 3 x 4 matrix that takes a prism there."""
    out = place.out / np.linalg.norm(place.out)
    across = place.across - (place.across @ out) * out
    across /= np.linalg.norm(across)
    axes = np.stack([across, np.cross(out, across), out])
    return axes, np.concatenate([axes.T, place.center[:, None]], axis=1)


def prism(place: Place) -> Manifold:
    """The body that an opening takes away."""
    wide, high = place.size
    if place.round_:
        profile = CrossSection.circle(1.0, 72).scale((wide / 2, high / 2))
    else:
        profile = CrossSection.square((wide - high, 1e-3), True).offset(high / 2, circular_segments=48)
    _, matrix = _frame(place)
    return profile.extrude(place.front + place.depth).translate((0, 0, -place.depth)).transform(matrix)


def _inside(place: Place, points: Float) -> NDArray[np.bool_]:
    """Which points ``(n, 3)`` lie in the place's prism."""
    axes, _ = _frame(place)
    local = (points - place.center) @ axes.T
    x, y = local[:, 0] / (place.size[0] / 2), local[:, 1] / (place.size[1] / 2)
    flat = x * x + y * y <= 1 if place.round_ else (np.abs(x) <= 1) & (np.abs(y) <= 1)
    deep: NDArray[np.bool_] = flat & (local[:, 2] <= place.front) & (local[:, 2] >= -place.depth)
    return deep


def near_openings(work: Fitted, points: Float, margin_mm: float) -> NDArray[np.bool_]:
    """Which points ``(n, 3)`` are in an opening or within a margin of its sides."""
    near = np.zeros(len(points), np.bool_)
    for place in work.places:
        wide, high = place.size
        grown = replace(
            place,
            size=(wide + 2 * margin_mm, high + 2 * margin_mm),
            front=place.front + margin_mm,
            depth=place.depth + margin_mm,
        )
        near |= _inside(grown, points)
    return near


def _first(work: Fitted, site: _Site, name: str, places: Iterator[Place | str]) -> None:
    """Cut the first of the places that will do."""
    why = "there is no place for it"
    for place in places:
        if isinstance(place, str):
            why = place
            continue
        fault = _cut(work, site, place)
        if fault is None:
            work.notes.append(f"{name}: {place.size[0]:.1f} x {place.size[1]:.1f} mm")
            return
        why = fault
    work.refused.append(f"{name}: not made, {why}")


def _cut(work: Fitted, site: _Site, place: Place) -> str | None:
    """Cut one opening; None, or what is wrong with it (and nothing was changed)."""
    cut = site.points[_inside(place, site.points)]
    if not len(cut):
        return "the mask is not there"
    if (margin := site.rim_distance(cut)) < BRIDGE_MM:
        return f"only {margin:.1f} mm would be left to the rim"
    for other in work.cuts:
        gap = float(np.sqrt(((cut[:, None] - other[None, :: max(1, len(other) // 400)]) ** 2).sum(-1).min()))
        if gap < BRIDGE_MM:
            return f"only {gap:.1f} mm would be left to the next opening"
    fault = keep_one(work, work.body - prism(place))
    if fault is None:
        work.places.append(place)
        work.cuts.append(cut)
    return fault


def keep_one(work: Fitted, changed: Manifold) -> str | None:
    """Take a changed solid if it is still one body, but for crumbs; else say so."""
    parts = sorted(changed.decompose(), key=lambda part: -part.volume())
    loose = sum(part.volume() for part in parts[1:])
    if not parts or loose > CRUMB_MM3:
        return f"a part of {loose / 1000:.1f} cm³ would come off"
    work.body = parts[0]
    work.crumbs_mm3 += loose
    return None


def ray(body: Manifold, start: Float, toward: Float, reach_mm: float) -> list[float]:
    """Where a ray crosses the solid's surface, as distances from its start, rising."""
    hits = body.ray_cast(tuple(start), tuple(start + toward * reach_mm))
    return sorted(float((np.array(hit.position) - start) @ toward) for hit in hits)


def _pupils(site: _Site, side: str) -> Iterator[Place | str]:
    pupil = site.at[f"{side}_pupil"]
    along = site.at[f"{side}_eye_outer"] - site.at[f"{side}_eye_inner"]
    along = along * np.sign(along[0]) if along[0] else along
    along[2] = 0.0
    length = float(np.linalg.norm(along))
    if length < 1e-6 or along[0] / length < 0.5:  # a lid that stands on end: see straight ahead
        along = np.array((1.0, 0.0, 0.0))
    low, high = PUPIL_MM
    widest = float(np.clip(PUPIL_SHARE * length, low, high))
    center = np.array((pupil[0], pupil[1], 0.0))
    reach = float(np.abs(site.wall.sheet.points[:, 2]).max()) + 10
    # Straight through along the line of sight, whatever folds lie in it.
    for width in (widest, (widest + low) / 2, low):
        yield Place(center, along, _FORWARD, (width, PUPIL_ASPECT * width), True, reach, reach)


def _nostrils(site: _Site, side: str, body: Manifold) -> Iterator[Place | str]:
    point = site.at[f"{side}_nostril"]
    out = site.out(point)
    for tilt in (0.0, 0.4, 0.8):  # more and more from below
        toward = out - tilt * _UP
        toward /= np.linalg.norm(toward)
        yield _through(body, point, toward, np.array((1.0, 0.0, 0.0)), (NOSTRIL_MM, NOSTRIL_MM), True, 18.0)


def _straps(site: _Site, side: str, body: Manifold) -> Iterator[Place | str]:
    point = site.at[f"strap_{side}"]
    sheet = site.wall.sheet
    for step in (0.0, 3.0, 6.0, 9.0, 12.0):
        wanted = point + step * _FORWARD
        here = sheet.points[np.linalg.norm(sheet.points - wanted, axis=1).argmin()]
        out = site.out(here, 7.0)
        across = _UP if abs(out[1]) < 0.8 else _FORWARD
        yield _through(body, here, out, across, SLOT_MM, False, 12.0)


def _rim_straps(site: _Site, side: str, body: Manifold) -> Iterator[Place | str]:
    """Slots further and further in from the rim, at the height of the eyes, or else of the mask's middle."""
    points, sign = site.wall.sheet.points, -1.0 if side == "left" else 1.0
    eyes = [site.at[name][1] for name in ("left_pupil", "right_pupil") if name in site.at]
    height = float(np.mean(eyes)) if eyes else float(points[:, 1].max() + points[:, 1].min()) / 2
    level = points[(np.abs(points[:, 1] - height) < 2.0) & (sign * points[:, 0] > 0)]
    edge = np.unique(site.rim)
    rim = site.wall.vertices[edge][sign * site.wall.vertices[edge][:, 0] > 0]
    if not len(level) or not len(rim):
        return
    start = rim[np.abs(rim[:, 1] - height).argmin()]
    far = np.linalg.norm(level - start, axis=1)
    for step in STRAP_STEPS_MM:
        here = level[np.abs(far - step).argmin()]
        out = site.out(here, 7.0)
        across = _UP if abs(out[1]) < 0.8 else _FORWARD
        yield _through(body, here, out, across, SLOT_MM, False, 12.0)


def _through(
    body: Manifold,
    point: Float,
    out: Float,
    across: Float,
    size: tuple[float, float],
    round_: bool,
    deepest_mm: float,
) -> Place | str:
    """A place that goes through the wall at a point of the outer face, and just through."""
    above = 3.0
    hits = ray(body, point + above * out, -out, above + deepest_mm + 10)
    if len(hits) < 2:
        return "the wall is not there"
    depth = hits[1] - above
    if depth > deepest_mm:
        return f"the folds are {depth:.0f} mm thick there"
    if abs(across @ out) > 0.95:
        across = np.roll(across, 1)
    return Place(point, across, out, size, round_, above, depth + 1.5)
