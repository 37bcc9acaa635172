"""Would a printer take it? Every check has a figure, measured on the final mesh by other means than those
that made it: counting edges, following rays, crossing triangles."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import igl
import numpy as np
from manifold3d import Manifold
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from services.printing.catalog import Order
from services.printing.intersections import self_intersections
from services.printing.solid import arrays
from services.printing.surface import Float, Ints, edges_of

RAYS = 6000
WALL_SHARE = 0.95  # of the nominal wall, everywhere outside of rims
OVERHANG_DEG = 45.0
FEATURE_MM = 0.8  # what every process still shows
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
    """Wall along inward rays, in millimeters: least and median away from rims and openings. feature_mm:
    all but the thinnest half percent of the surface is thicker, letters and bridges too."""

    least_mm: float
    median_mm: float
    feature_mm: float


def check(body: Manifold, order: Order, cuts: Float) -> tuple[list[Check], Thickness]:
    """All checks of a solid in millimeters. cuts: points ``(n, 3)`` on openings, where edges may be sharp."""
    points, triangles = arrays(body)
    edges, _, shared = edges_of(triangles)
    parts = _bodies(points, triangles)
    fans = _split_vertices(triangles, len(points))
    crossing = self_intersections(points, triangles)
    thick = thickness(body, points, triangles, order.wall_mm, cuts)
    volume = signed_volume(points, triangles)
    extent = np.ptp(points, axis=0)
    fit = fits(extent, order)
    open_, many = int((shared == 1).sum()), int((shared > 2).sum())
    twisted = _twisted(triangles)
    overhang = overhang_share(points, triangles)
    least = WALL_SHARE * order.wall_mm
    size = " x ".join(f"{side:.1f}" for side in extent)
    wall = f"least {thick.least_mm:.2f} mm, median {thick.median_mm:.2f}, nominal {order.wall_mm:g}"
    steep = f"{overhang:.0%} of the surface is steeper than {OVERHANG_DEG:.0f}°, face up"
    lines = [
        ("watertight", f"{open_} open edges of {len(edges)}", open_ == 0, open_),
        ("manifold edges", f"{many} edges with more than two faces", many == 0, many),
        ("manifold vertices", f"{fans} vertices where the surface pinches", fans == 0, fans),
        (CROSSING, f"{crossing} crossing pairs of {len(triangles)} faces", crossing == 0, crossing),
        ("one body, no cavities", f"{parts} closed surfaces", parts == 1, parts),
        ("winding", f"{twisted} edges that both faces run alike", twisted == 0, twisted),
        ("volume", f"{volume / 1000:.1f} cm³", volume > 0, volume),
        ("wall", wall, thick.least_mm >= least, thick.least_mm),
        ("smallest feature", f"{thick.feature_mm:.2f} mm", thick.feature_mm >= FEATURE_MM, thick.feature_mm),
        ("overhang", steep, None, overhang),
        ("fits the bed", f"{size} mm, {fit or 'no way round'}", fit is not None, float(fit is not None)),
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


def thickness(body: Manifold, points: Float, triangles: Ints, wall_mm: float, cuts: Float) -> Thickness:
    """Follow rays inward from all over the surface to where they come out again."""
    normals, area = face_normals(points, triangles)
    # Every n-th square millimeter: even, and the same each time.
    along = (np.arange(RAYS) + 0.5) / RAYS
    chosen = np.searchsorted(np.cumsum(area) / area.sum(), along)
    centers = points[triangles[chosen]].mean(axis=1)
    inward = -normals[chosen]
    sharp = _sharp_edges(points, triangles, normals)
    far = np.full(len(centers), np.inf)
    if len(sharp):
        far = np.sqrt(igl.point_mesh_squared_distance(centers, points, sharp)[0])
    if len(cuts):
        cloud = np.ascontiguousarray(cuts)
        ids = np.arange(len(cloud))[:, None]
        far = np.minimum(far, np.sqrt(igl.point_mesh_squared_distance(centers, cloud, ids)[0]))
    length = np.array([_through(body, c, d) for c, d in zip(centers, inward, strict=True)])
    plain = far > 1.5 * wall_mm
    near = far > 0.75 * wall_mm
    return Thickness(
        float(length[plain].min()) if plain.any() else 0.0,
        float(np.median(length[plain])) if plain.any() else 0.0,
        # At the corners of raised letters single rays cut chords of any length: the least but half a percent.
        float(np.quantile(length[near], 0.005)) if near.any() else 0.0,
    )


def _through(body: Manifold, start: Float, inward: Float) -> float:
    begin = 1e-3
    hits = body.ray_cast(tuple(start + begin * inward), tuple(start + 400 * inward))
    crossed = [float((np.array(h.position) - start) @ inward) for h in hits]
    # Leaving the solid: a face that looks the way the ray goes.
    out = [d for d, h in zip(crossed, hits, strict=True) if np.array(h.normal) @ inward > 0]
    return min(out) if out else np.inf


def _sharp_edges(points: Float, triangles: Ints, normals: NDArray[np.float64]) -> Ints:
    """Edges ``(e, 2)`` at which the surface turns by more than 50 degrees: borders of openings."""
    edges, of_triangle, _ = edges_of(triangles)
    face = np.repeat(np.arange(len(triangles)), 3)
    order = np.argsort(of_triangle.reshape(-1), kind="stable")
    first, second = face[order[0::2]], face[order[1::2]]
    if len(first) != len(edges):
        return edges[:0]
    long_ = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1) > 0.3
    turned = (normals[first] * normals[second]).sum(axis=1) < np.cos(np.radians(50.0))
    chosen: Ints = edges[turned & long_]
    return chosen
