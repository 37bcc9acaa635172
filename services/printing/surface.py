"""From the evolved surface to the middle of its wall.

A mask is an open sheet, often folded and passing through itself. Its wall is everything within half a wall of
a second sheet, the *core*, that lies half a wall behind the first. Every point of the wall is then in a ball
of the wall's own thickness, so that no fold, crease or edge can make it thinner, and every edge is round.
"Behind" is asked of the sheet itself: the side that is seen from the front half of space is the outside,
whichever way a fold has turned it. Where both sides are seen the core stays in the sheet, and the wall grows
to both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, identity
from scipy.sparse.linalg import cg

Float = NDArray[np.float64]
Ints = NDArray[np.int64]

LEVELS = 2  # each triangle becomes 16: about 1.2 mm edges on a mask 180 mm wide
RELIEF_MM = 1.0  # what gives a facet the shape that it was shaded as may move it by no more than this
# Pull of the facets themselves against that of the shading, tried from 0.01 to 0.3 on masks 180 mm wide: more
# loses what the machines saw, less moves the surface further.
_PULL = 0.02
_LOOKS = 24  # directions of the front half from which sides are told
_CONE_DEG = 75.0
_CELL_MM = 1.0
_TOLERANCE_MM = 1.2  # a point this far behind the foremost one of its cell still counts as seen
_PRIOR = 0.5  # votes that the winding's own outside has from the start: hidden parts follow it
_SMOOTH = 12


@dataclass(frozen=True)
class Sheet:
    """A tessellated mask in millimeters.

    points: ``(n, 3)``, the evolved surface, its facets as round as they were shaded. triangles: ``(m, 3)``.
    normals: ``(n, 3)``, unit, by the winding. outward: ``(n,)`` in -1..1, which side is seen: 1 the normal's,
    -1 the other, 0 both.
    part: ``(m,)``, the triangle of the mask that each one lies in. corner: ``(m, 3, 3)``, barycentric
    coordinates of its corners there. rim: ``(n,)`` bool, on an open edge.
    """

    points: Float
    triangles: Ints
    normals: Float
    outward: Float
    part: Ints
    corner: Float
    rim: NDArray[np.bool_]

    def core(self, wall_mm: float) -> Float:
        """The middle of a wall of this thickness, ``(n, 3)``: the same triangles on moved points."""
        return self.points - self.normals * (self.outward * wall_mm / 2)[:, None]


def make_sheet(vertices_mm: NDArray[Any], triangles: NDArray[Any], levels: int = LEVELS) -> Sheet:
    """Tessellate a mask, vertices ``(V, 3)`` and triangles ``(T, 3)``, and tell its outside."""
    points, corners = np.asarray(vertices_mm, np.float64), np.asarray(triangles, np.int64)
    smooth, flat, part, corner = _tessellate(points, corners, levels)
    shaded, _ = vertex_normals(points, corners)
    rounded = _relief(flat, smooth, corner @ shaded[corners[part]])
    normals, _ = vertex_normals(rounded, smooth)
    edges, _, shared = edges_of(smooth)
    normals = _even(normals, edges, 3)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    outward = _outward(rounded, normals, smooth, edges)
    rim = np.zeros(len(rounded), bool)
    rim[edges[shared == 1].reshape(-1)] = True
    return Sheet(rounded, smooth, normals, outward, part, corner, rim)


def vertex_normals(points: Float, triangles: Ints) -> tuple[Float, Float]:
    """Area-weighted unit normals ``(n, 3)``, +Z where there is none, and how far the faces agree, ``(n,)`` in
    0..1: 1 on a plane, 0 where they cancel out."""
    a, b, c = points[triangles].transpose(1, 0, 2)
    faces = np.cross(b - a, c - a)
    total = np.zeros_like(points)
    for axis in range(3):
        total[:, axis] = np.bincount(triangles.reshape(-1), np.repeat(faces[:, axis], 3), len(points))
    area = np.bincount(triangles.reshape(-1), np.repeat(np.linalg.norm(faces, axis=1), 3), len(points))
    length = np.linalg.norm(total, axis=1)
    unit = np.where(length[:, None] > 1e-12, total / np.maximum(length, 1e-12)[:, None], (0.0, 0.0, 1.0))
    return unit, length / np.maximum(area, 1e-12)


def edges_of(triangles: Ints) -> tuple[Ints, Ints, Ints]:
    """Every edge once, ``(e, 2)``, the smaller index first; each triangle's three, ``(m, 3)``; and how many
    triangles have it, ``(e,)``."""
    ends = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    base = int(ends.max()) + 1  # one number an edge: numpy sorts numbers far faster than rows
    keys, inverse, count = np.unique(ends @ (base, 1), return_inverse=True, return_counts=True)
    return np.stack(np.divmod(keys, base), axis=1), inverse.reshape(-1, 3), count


def _tessellate(points: Float, triangles: Ints, levels: int) -> tuple[Ints, Float, Ints, Float]:
    """Split every triangle into four, ``levels`` times; triangles, flat points, part and corner of Sheet."""
    part = np.arange(len(triangles))
    corner = np.broadcast_to(np.eye(3), (len(triangles), 3, 3)).copy()
    for _ in range(levels):
        edges, of_triangle, _ = edges_of(triangles)
        middle = of_triangle + len(points)
        points = np.concatenate([points, points[edges].mean(axis=1)])
        (a, b, c), (ab, bc, ca) = triangles.T, middle.T
        pieces = ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))
        triangles = np.stack([np.stack(piece, axis=1) for piece in pieces], axis=1).reshape(-1, 3)
        ka, kb, kc = corner.transpose(1, 0, 2)
        kab, kbc, kca = (ka + kb) / 2, (kb + kc) / 2, (kc + ka) / 2
        pieces = ((ka, kab, kca), (kab, kb, kbc), (kca, kbc, kc), (kab, kbc, kca))
        corner = np.stack([np.stack(piece, axis=1) for piece in pieces], axis=1).reshape(-1, 3, 3)
        part = np.repeat(part, 4)
    return triangles, points, part, corner


def _relief(flat: Float, triangles: Ints, shaded: Float) -> Float:
    """Move points ``(n, 3)`` so that the surface has the normals that it was shaded with, ``(n, 3)``.

    A renderer blends the normals of a facet's corners across it, and so the machines were shown a rounder
    mask than its facets are; a thing has only the normals of its shape. ``shaded``: ``(m, 3, 3)``, the
    blended normals at the corners of the pieces. Points go along them; how far is the least-squares solution
    of "edges lie across the normal of their piece" and "points stay" (Nehab and others 2005, "Efficiently
    combining positions and normals for precise 3D geometry", with displacements for unknowns).
    """
    count, pieces = len(flat), len(triangles)
    along = np.zeros_like(flat)
    along[triangles.reshape(-1)] = shaded.reshape(-1, 3)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-12)
    normal = shaded.mean(axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    start, end = triangles, triangles[:, [1, 2, 0]]
    row = np.arange(3 * pieces).reshape(pieces, 3)
    there = np.einsum("mk,mck->mc", normal, along[end])
    here = np.einsum("mk,mck->mc", normal, along[start])
    wanted = -np.einsum("mk,mck->mc", normal, flat[end] - flat[start])
    places = np.stack([row, row]).reshape(-1), np.stack([end, start]).reshape(-1)
    slopes = csr_matrix((np.stack([there, -here]).reshape(-1), places), shape=(3 * pieces, count))
    system = (slopes.T @ slopes + _PULL * identity(count)).tocsr()
    far, _ = cg(system, slopes.T @ wanted.reshape(-1), rtol=1e-3, maxiter=500)
    moved: Float = flat + along * np.clip(far, -RELIEF_MM, RELIEF_MM)[:, None]
    return moved


def _even(values: Float, edges: Ints, rounds: int) -> Float:
    """Laplace smoothing of values ``(n, k)`` along edges: each round takes the mean with the neighbors'."""
    count = np.bincount(edges.reshape(-1), minlength=len(values))[:, None]
    for _ in range(rounds):
        total = np.stack(
            [
                np.bincount(edges[:, 0], column[edges[:, 1]], len(values))
                + np.bincount(edges[:, 1], column[edges[:, 0]], len(values))
                for column in values.T
            ],
            axis=1,
        )
        values = (values + total / np.maximum(count, 1)) / 2
    return values


def front_directions(count: int = _LOOKS, cone_deg: float = _CONE_DEG) -> Float:
    """Unit vectors ``(count, 3)`` toward eyes in front: a Fibonacci spiral on the cap about +Z."""
    k = np.arange(count) + 0.5
    z = 1 - k / count * (1 - np.cos(np.radians(cone_deg)))
    turn = np.pi * (1 + 5**0.5) * k
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), z], axis=1)


def seen_from(
    points: Float, toward: Float, cell_mm: float = _CELL_MM, slack_mm: float = _TOLERANCE_MM
) -> NDArray[np.bool_]:
    """Which points ``(3, n)``, one row an axis, an eye far away in direction ``toward`` sees: bool ``(n,)``.

    The foremost point of each cell hides the others; points must lie closer together than cells are wide.
    """
    side = np.cross(toward, (0.0, 1.0, 0.0) if abs(toward[1]) < 0.9 else (1.0, 0.0, 0.0))
    side /= np.linalg.norm(side)
    flat, width = np.zeros(points.shape[1], np.int64), 1
    for axis in (side, np.cross(toward, side)):
        along = points[0] * axis[0] + points[1] * axis[1] + points[2] * axis[2]
        cell = ((along - along.min()) / cell_mm).astype(np.int64)
        flat, width = flat + cell * width, width * (int(cell.max()) + 1)
    depth = points[0] * toward[0] + points[1] * toward[1] + points[2] * toward[2]
    foremost = np.full(width, -np.inf)
    np.maximum.at(foremost, flat, depth)
    seen: NDArray[np.bool_] = depth > foremost[flat] - slack_mm
    return seen


def _outward(points: Float, normals: Float, triangles: Ints, edges: Ints) -> Float:
    """Which side of the sheet is seen from the front, ``(n,)`` in -1..1; smooth along the sheet."""
    sampled, at, _ = sample(points, triangles, _CELL_MM)
    axes, up = np.ascontiguousarray(sampled.T), normals[triangles].mean(axis=1)
    front, back = np.full(len(sampled), _PRIOR), np.zeros(len(sampled))
    for toward in front_directions():
        facing = (up @ toward)[at]
        seen = seen_from(axes, toward)
        front += np.where(seen, np.clip(facing - 0.1, 0, None), 0)
        back += np.where(seen, np.clip(-facing - 0.1, 0, None), 0)
    vote = (front - back) / (front + back)
    ends, weights = triangles[at].reshape(-1), np.repeat(vote, 3)
    count = np.bincount(ends, minlength=len(points))
    mean = np.bincount(ends, weights, len(points)) / np.maximum(count, 1)
    told = _even(mean[:, None], edges, _SMOOTH)[:, 0]
    # What is seen nearly always is outside for good: half a wall behind, not some of it.
    return np.clip(told * 1.25, -1.0, 1.0)


def sample(points: Float, triangles: Ints, spacing_mm: float) -> tuple[Float, Ints, Float]:
    """Points that cover the triangles: no place of them is further than ``spacing_mm`` from one.

    Returns points ``(k, 3)``, the triangle of each ``(k,)`` and barycentric coordinates ``(k, 3)``. A lattice
    in each triangle, as fine as its longest edge asks for; no randomness.
    """
    at = points[triangles]
    longest = np.linalg.norm(at - at[:, [1, 2, 0]], axis=2).max(axis=1)
    parts = np.clip(np.ceil(longest / spacing_mm), 1, 400).astype(np.int64)
    found, which, weights = [], [], []
    for n in np.unique(parts):
        chosen = np.flatnonzero(parts == n)
        lattice = _lattice(int(n))
        found.append(np.einsum("kw,mwx->mkx", lattice, at[chosen]).reshape(-1, 3))
        which.append(np.repeat(chosen, len(lattice)))
        weights.append(np.tile(lattice, (len(chosen), 1)))
    return np.concatenate(found), np.concatenate(which), np.concatenate(weights)


def _lattice(n: int) -> Float:
    """Centers of the n * n equal pieces of a triangle, barycentric ``(n * n, 3)``."""
    rows = []
    for i in range(n):
        for j in range(n - i):
            rows.append(((i + 1 / 3) / n, (j + 1 / 3) / n))
            if j < n - i - 1:
                rows.append(((i + 2 / 3) / n, (j + 2 / 3) / n))
    uv = np.array(rows)
    return np.concatenate([uv, 1 - uv.sum(axis=1, keepdims=True)], axis=1)
