"""Would a printer take it? Every check has a figure, measured on the final mesh by other means than those
that made it: counting edges, measuring distances, crossing triangles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import igl
import numpy as np
from manifold3d import Manifold
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree

from services.printing.catalog import Order
from services.printing.fittings import STROKE_MM
from services.printing.intersections import self_intersections
from services.printing.openings import Fitted, near_openings, outer_rim
from services.printing.solid import Wall, arrays
from services.printing.surface import Float, Ints, Sheet, edges_of, sample

MOST_MIDDLES = 60_000
BESIDE = 1.0  # so many walls beside an opening the wall is its border, and may be cut at a slant

WALL_SHARE = 0.95  # of the nominal wall, everywhere outside of rims
OVERHANG_DEG = 45.0
FEATURE_MM = 0.8  # what every process still shows
BLADE = 8.0  # so many times its thickness may something thin stand out by itself
BED = "fits the bed"
CROSSING = "no self-intersections"


@dataclass(frozen=True)
class Check:
    """One line of the table. passed: None where the figure is for information."""

    name: str
    figure: str
    passed: bool | None
    value: float


@dataclass(frozen=True)
class Thickness:
    """In millimeters. least, median: of the largest balls about the wall's middle that fit into the solid,
    away from openings. bridge: the narrowest strip from an opening to another or to the rim; None without.
    """

    least_mm: float
    median_mm: float
    bridge_mm: float | None


@dataclass(frozen=True)
class Built:
    """What a solid was made around, to hold it against that.

    middle: ``(n, 3)``, points on the wall's middle away from openings, a millimeter apart or less. rim: ``(r,
    3)``, points of the outer rim. openings: points in each of them. crumbs: whether loose crumbs of the wall
    were dropped. letters: whether a mark was raised. blade_mm: see :func:`longest_blade_mm`.
    """

    middle: Float
    rim: Float
    openings: Sequence[Float] = ()
    crumbs: bool = False
    letters: bool = False
    blade_mm: float = 0.0


def built(wall: Wall, work: Fitted | None = None) -> Built:
    """What a wall and its fittings were made around."""
    middle = sample(wall.core, wall.sheet.triangles, 1.0)[0]
    middle = middle[:: max(1, len(middle) // MOST_MIDDLES)]
    edges = wall.vertices[outer_rim(wall.triangles)]
    steps = np.linspace(0.0, 1.0, 8)[:, None, None]
    rim = (edges[:, 0] * (1 - steps) + edges[:, 1] * steps).reshape(-1, 3)
    crumbs = wall.mended.crumbs_mm3 > 0
    blade = longest_blade_mm(wall.sheet, wall.wall_mm)
    if work is None:
        return Built(middle, rim, (), crumbs, blade_mm=blade)
    middle = middle[~near_openings(work, middle, BESIDE * wall.wall_mm)]
    return Built(middle, rim, tuple(work.cuts), crumbs, work.letters, blade)


def longest_blade_mm(sheet: Sheet, wall_mm: float) -> float:
    """How far a tongue of a sheet stands out that is nowhere as wide as ``BLADE`` walls; 0 without one.

    What a disc of that width can be laid on holds itself; lengths are along the surface, from there. A strip
    between two such places is held at both ends and counts half.
    """
    ends, _, _ = edges_of(sheet.triangles)
    long = np.linalg.norm(sheet.points[ends[:, 0]] - sheet.points[ends[:, 1]], axis=1)
    # A sparse graph takes an edge of no length for none.
    ways = csr_matrix((np.maximum(long, 1e-9), (ends[:, 0], ends[:, 1])), shape=(len(sheet.points),) * 2)
    used = np.zeros(len(sheet.points), bool)
    used[sheet.triangles] = True
    half = BLADE * wall_mm / 2

    def away(start: NDArray[np.bool_]) -> Float:
        found: Float = dijkstra(ways, directed=False, indices=np.flatnonzero(start), min_only=True)
        return found

    held = used & ~(away(sheet.rim) < half) if sheet.rim.any() else used
    if not held.any():
        return float(np.ptp(sheet.points, axis=0).max())
    far = away(held)[used]
    # Pieces of their own, as eyes are, touch the rest somewhere else.
    reach = float(far[np.isfinite(far)].max())
    return max(0.0, reach - half)


def crossings(body: Manifold) -> int:
    """How many pairs of the solid's faces pass through each other."""
    return self_intersections(*arrays(body))


def lacking_mm(thick: Thickness, order: Order) -> float:
    """How much thicker a wall has to be that is too thin for its order; 0 where it is not."""
    return max(0.0, WALL_SHARE * order.wall_mm - thick.least_mm)


def check(
    body: Manifold,
    order: Order,
    around: Built,
    crossing: int | None = None,
    thick: Thickness | None = None,
) -> tuple[list[Check], Thickness]:
    """All checks of a solid in millimeters. crossing, thick: what ``crossings`` and ``thickness`` found, if
    that is known."""
    points, triangles = arrays(body)
    edges, _, shared = edges_of(triangles)
    parts = _bodies(points, triangles)
    fans = _split_vertices(triangles, len(points))
    if crossing is None:
        crossing = self_intersections(points, triangles)
    thick = thickness(points, triangles, around) if thick is None else thick
    smallest = min([thick.least_mm, thick.bridge_mm or np.inf, STROKE_MM if around.letters else np.inf])
    volume = signed_volume(points, triangles)
    extent = np.ptp(points, axis=0)
    fit = fits(extent, order)
    open_, many = int((shared == 1).sum()), int((shared > 2).sum())
    twisted = _twisted(triangles)
    overhang = overhang_share(points, triangles)
    size = " x ".join(f"{side:.1f}" for side in extent)
    wall = f"least {thick.least_mm:.2f} mm, median {thick.median_mm:.2f}, nominal {order.wall_mm:g}"
    steep = f"{overhang:.0%} of the surface is steeper than {OVERHANG_DEG:.0f}°, face up"
    blades = f"longest tongue {around.blade_mm:.1f} mm, {around.blade_mm / order.wall_mm:.1f} walls"
    lines = [
        ("watertight", f"{open_} open edges of {len(edges)}", open_ == 0, open_),
        ("manifold edges", f"{many} edges with more than two faces", many == 0, many),
        ("manifold vertices", f"{fans} vertices where the surface pinches", fans == 0, fans),
        (CROSSING, f"{crossing} crossing pairs of {len(triangles)} faces", crossing == 0, crossing),
        ("one body, no cavities", f"{parts} closed surfaces", parts == 1, parts),
        ("winding", f"{twisted} edges that both faces run alike", twisted == 0, twisted),
        ("volume", f"{volume / 1000:.1f} cm³", volume > 0, volume),
        ("wall", wall, not lacking_mm(thick, order), thick.least_mm),
        ("smallest feature", _feature(thick, around), smallest >= FEATURE_MM, smallest),
        ("blades", blades, around.blade_mm <= BLADE * order.wall_mm, around.blade_mm),
        ("overhang", steep, None, overhang),
        (BED, f"{size} mm, {fit or 'no way round'}", fit is not None, float(fit is not None)),
    ]
    return [Check(name, figure, passed, float(value)) for name, figure, passed, value in lines], thick


def signed_volume(points: Float, triangles: Ints) -> float:
    """Volume in cubic millimeters, positive where the faces look outward."""
    a, b, c = points[triangles].transpose(1, 0, 2)
    return float((a * np.cross(b, c)).sum() / 6)


def _bodies(points: Float, triangles: Ints) -> int:
    ends = triangles[:, [0, 1, 1, 2]].reshape(-1, 2)
    graph = coo_matrix((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), shape=(len(points),) * 2)
    count, label = connected_components(graph, directed=False)
    return len(np.unique(label[np.unique(triangles)])) if count else 0


def _split_vertices(triangles: Ints, count: int) -> int:
    """Vertices whose faces form more than one fan: on a closed surface, fewer edges than corners say so."""
    # Link components by union over (vertex, face) corners joined across the edges at that vertex.
    corners = np.arange(triangles.size)
    vertex = triangles.reshape(-1)
    pairs = []
    for k in range(3):
        a, b = triangles[:, k], triangles[:, (k + 1) % 3]
        face = np.arange(len(triangles)) * 3
        pairs += [(a, b, face + k), (b, a, face + (k + 1) % 3)]
    own = np.concatenate([p[0] for p in pairs])
    far = np.concatenate([p[1] for p in pairs])
    corner = np.concatenate([p[2] for p in pairs])
    key = own * count + far
    order = np.argsort(key, kind="stable")
    same = np.flatnonzero(key[order][1:] == key[order][:-1])
    links = (corner[order[same]], corner[order[same + 1]])
    graph = coo_matrix((np.ones(len(same), bool), links), shape=(len(corners),) * 2)
    _, label = connected_components(graph, directed=False)
    fans = np.unique(np.stack([vertex, label]), axis=1)
    return int((np.bincount(fans[0]) > 1).sum())


def _twisted(triangles: Ints) -> int:
    """Edges that two faces run through in the same direction."""
    ends = triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    _, count = np.unique(ends @ (int(ends.max()) + 1, 1), return_counts=True)
    return int((count > 1).sum())


def face_normals(points: Float, triangles: Ints) -> tuple[Float, Float]:
    """Unit normals ``(m, 3)`` (0 where a face has no area) and areas ``(m,)``."""
    a, b, c = points[triangles].transpose(1, 0, 2)
    cross = np.cross(b - a, c - a)
    length = np.linalg.norm(cross, axis=1)
    return cross / np.maximum(length, 1e-12)[:, None], length / 2


def overhang_share(points: Float, triangles: Ints) -> float:
    """Share of the area that looks down more steeply than 45 degrees when the mask lies face up."""
    normals, area = face_normals(points, triangles)
    down = normals[:, 2] < -np.cos(np.radians(OVERHANG_DEG))
    return float(area[down].sum() / area.sum())


def fits(extent: Float, order: Order) -> str | None:
    """How the solid fits the bed, or None. Only face up where overhangs need supports."""
    for way, name in (((0, 1, 2), "face up"), ((1, 0, 2), "face up, a quarter turn")):
        if all(extent[way[k]] <= order.bed_mm[k] for k in range(3)):
            return name
    if not order.process.overhang:
        for turned in permutations(range(3)):
            if all(extent[turned[k]] <= order.bed_mm[k] for k in range(3)):
                return "on its side"
    return None


def thickness(points: Float, triangles: Ints, around: Built) -> Thickness:
    """Twice the distance from the wall's middle to the surface, by exact distances to the final mesh."""
    middle = np.ascontiguousarray(around.middle)
    ball = 2 * np.sqrt(igl.point_mesh_squared_distance(middle, points, triangles)[0])
    inside = igl.fast_winding_number(points, triangles, middle) > 0.5
    wall = ball[inside] if around.crumbs else np.where(inside, ball, 0.0)
    bridge = _bridge(around)
    if not len(wall):
        return Thickness(0.0, 0.0, bridge)
    return Thickness(float(wall.min()), float(np.median(wall)), bridge)


def _bridge(around: Built) -> float | None:
    """The least distance from an opening to another or to the rim."""
    gaps = []
    for k, opening in enumerate(around.openings):
        others = np.concatenate([around.rim, *around.openings[k + 1 :]])
        gaps.append(float(np.min(cKDTree(others).query(opening)[0])))
    return min(gaps, default=None)


def _feature(thick: Thickness, around: Built) -> str:
    words = [f"wall {thick.least_mm:.2f} mm"]
    words += [] if thick.bridge_mm is None else [f"narrowest bridge {thick.bridge_mm:.1f}"]
    words += [f"letters {STROKE_MM:g}"] if around.letters else []
    return ", ".join(words)
