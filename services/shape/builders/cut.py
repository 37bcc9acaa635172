"""Mesh surgery for the basis: walk edge loops, drop what lies behind, cap, clip. Used only at build time.

Every vertex of the result is a fixed linear combination of source vertices, so that what is true of the
neutral shape is true of every morph target: see :class:`Blend`.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class Blend:
    """Vertices as linear combinations of the source mesh's vertices.

    Row i of the mesh under construction is ``sum(weight * source[index])`` over ``rows[i]``, plus a constant
    offset that applies to the neutral shape only (zero but for vertices that are pushed out onto a sphere).
    """

    def __init__(self, source_count: int) -> None:
        self.rows: list[dict[int, float]] = [{i: 1.0} for i in range(source_count)]
        self.offsets: list[FloatArray] = [np.zeros(3) for _ in range(source_count)]

    def mix(self, parts: Iterable[tuple[int, float]]) -> tuple[dict[int, float], FloatArray]:
        """The combination ``sum(weight * vertex)`` of vertices that exist already."""
        row: dict[int, float] = defaultdict(float)
        offset = np.zeros(3)
        for vertex, weight in parts:
            for index, inner in self.rows[vertex].items():
                row[index] += weight * inner
            offset = offset + weight * self.offsets[vertex]
        return dict(row), offset

    def add(self, parts: Iterable[tuple[int, float]], offset: FloatArray | None = None) -> int:
        """Append a vertex and return its index."""
        row, constant = self.mix(parts)
        self.rows.append(row)
        self.offsets.append(constant if offset is None else constant + offset)
        return len(self.rows) - 1

    def move(self, vertex: int, parts: Iterable[tuple[int, float]]) -> None:
        """Replace a vertex by a combination of vertices."""
        self.rows[vertex], self.offsets[vertex] = self.mix(parts)

    def apply(self, source: FloatArray, vertices: IntArray, neutral: bool) -> FloatArray:
        """Evaluate ``vertices`` on a source array ``(N, 3)``; offsets count for the neutral shape only."""
        result = np.zeros((len(vertices), 3))
        for out, vertex in enumerate(vertices):
            for index, weight in self.rows[vertex].items():
                result[out] += weight * source[index]
            if neutral:
                result[out] += self.offsets[vertex]
        return result


def edge_loop(quads: IntArray, first: int, second: int) -> list[int]:
    """The closed edge loop through the edge first-second that leaves every vertex by the opposite edge.

    Raises ValueError where the loop meets a vertex that has not four faces, or does not close.
    """
    faces_of: dict[int, set[int]] = defaultdict(set)
    neighbors: dict[int, set[int]] = defaultdict(set)
    for index, quad in enumerate(quads.tolist()):
        for corner in range(4):
            faces_of[quad[corner]].add(index)
            neighbors[quad[corner]] |= {quad[corner - 1], quad[(corner + 1) % 4]}
    loop = [first, second]
    while len(loop) < len(quads):
        shared = faces_of[loop[-2]] & faces_of[loop[-1]]
        onward = [v for v in neighbors[loop[-1]] if not faces_of[v] & shared]
        if len(faces_of[loop[-1]]) != 4 or len(onward) != 1:
            raise ValueError(f"edge loop {first}-{second} stops at vertex {loop[-1]}")
        if onward[0] == first:
            return loop
        loop.append(onward[0])
    raise ValueError(f"edge loop {first}-{second} does not close")


def drop_behind(faces: IntArray, loop: list[int], inside: int) -> IntArray:
    """Remove the faces on the side of a closed loop where the vertex ``inside`` lies. ``faces``: (F, k)."""
    barrier = {frozenset(pair) for pair in zip(loop, loop[1:] + loop[:1], strict=True)}
    across: dict[frozenset[int], list[int]] = defaultdict(list)
    listed = faces.tolist()
    for index, face in enumerate(listed):
        for a, b in zip(face, face[1:] + face[:1], strict=True):
            across[frozenset((a, b))].append(index)
    queue = deque(index for index, face in enumerate(listed) if inside in face)
    gone = set(queue)
    while queue:
        face = listed[queue.popleft()]
        for a, b in zip(face, face[1:] + face[:1], strict=True):
            edge = frozenset((a, b))
            if edge in barrier:
                continue
            for other in across[edge]:
                if other not in gone:
                    gone.add(other)
                    queue.append(other)
    return faces[[index for index in range(len(faces)) if index not in gone]]


def zip_chains(faces: IntArray, one: list[int], other: list[int], positions: FloatArray) -> IntArray:
    """Triangles between two chains of a boundary loop that start at the same vertex, the corner.

    At every step the shorter of the two possible diagonals is taken, so mirrored chains are closed in a
    mirrored way. The last triangle ends at the edge between the chains' last vertices. Wound like ``faces``.
    """
    triangles = [[one[0], one[1], other[1]]]
    i = j = 1
    while i < len(one) - 1 or j < len(other) - 1:
        by_one = np.linalg.norm(positions[one[min(i + 1, len(one) - 1)]] - positions[other[j]])
        by_other = np.linalg.norm(positions[other[min(j + 1, len(other) - 1)]] - positions[one[i]])
        if j == len(other) - 1 or (i < len(one) - 1 and by_one <= by_other):
            triangles.append([one[i], one[i + 1], other[j]])
            i += 1
        else:
            triangles.append([one[i], other[j + 1], other[j]])
            j += 1
    result = np.array(triangles, dtype=np.int64)
    return result if _borders(faces, one[1], one[0]) else result[:, ::-1]


def _borders(faces: IntArray, a: int, b: int) -> bool:
    """Whether a face has the edge a-b in this sense, so that its neighbor across it has to use b-a."""
    return bool(((faces == a) & (np.roll(faces, -1, axis=1) == b)).any())


def fan(faces: IntArray, loop: list[int], center: int) -> IntArray:
    """Triangles from a boundary loop to the vertex ``center``, wound like the bordering faces."""
    ring = loop if _borders(faces, loop[1], loop[0]) else loop[::-1]
    return np.array([[ring[k - 1], ring[k], center] for k in range(len(ring))], dtype=np.int64)


def split_quads(quads: IntArray, positions: FloatArray) -> IntArray:
    """Two triangles per quad, along the shorter diagonal. ``quads`` (Q, 4) -> (2Q, 3).

    Equal diagonals (within 1 nm; the eyeballs are full of them) are decided so that mirrored quads are split
    in a mirrored way: through the corner that comes first by height, depth, distance from the plane x = 0.
    """
    a, b, c, d = quads.T
    first = np.linalg.norm(positions[a] - positions[c], axis=1)
    second = np.linalg.norm(positions[b] - positions[d], axis=1)
    x, y, z = np.moveaxis(np.round(positions[quads], 9), 2, 0)
    top = np.lexsort((np.abs(x), z, y), axis=1)[:, -1]
    tied = np.abs(first - second) < 1e-9
    along_ac = np.where(tied, top % 2 == 0, first < second)[:, None]
    one = np.where(along_ac, np.stack([a, b, c], 1), np.stack([a, b, d], 1))
    two = np.where(along_ac, np.stack([a, c, d], 1), np.stack([b, c, d], 1))
    return np.stack([one, two], axis=1).reshape(-1, 3)


def clip(triangles: IntArray, level: FloatArray, blend: Blend, source: FloatArray, snap: float) -> IntArray:
    """Keep the part of a triangle mesh where ``level`` > 0 and make its rim follow ``level`` = 0.

    ``level`` (N,) is interpolated along edges; ``source`` (S, 3) are the positions that ``blend`` mixes. A
    vertex that is nearer to the rim than the share ``snap`` of an edge slides along that edge onto the rim,
    so that no sliver appears; other crossings get new vertices.
    """
    value = level.copy()
    edges = np.unique(np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1), axis=0)
    nearest: dict[int, tuple[float, int]] = {}
    for a, b in edges.tolist():
        if level[a] * level[b] < 0:
            share = float(level[a] / (level[a] - level[b]))
            for vertex, other, part in ((a, b, share), (b, a, 1.0 - share)):
                if part < snap and part < nearest.get(vertex, (snap, -1))[0]:
                    nearest[vertex] = (part, other)
    moves = {v: blend.mix([(v, 1.0 - part), (other, part)]) for v, (part, other) in nearest.items()}
    for vertex, (row, offset) in moves.items():
        blend.rows[vertex], blend.offsets[vertex] = row, offset
        value[vertex] = 0.0

    crossing: dict[frozenset[int], int] = {}

    def cross(a: int, b: int) -> int:
        key = frozenset((a, b))
        if key not in crossing:
            share = float(value[a] / (value[a] - value[b]))
            crossing[key] = blend.add([(a, 1.0 - share), (b, share)])
        return crossing[key]

    kept: list[list[int]] = []
    cut_quads: list[list[int]] = []
    for triangle in triangles.tolist():
        signs = [int(np.sign(value[v])) for v in triangle]
        if max(signs) <= 0:
            continue
        polygon: list[int] = []
        for k in range(3):
            a, b = triangle[k], triangle[(k + 1) % 3]
            if signs[k] >= 0:
                polygon.append(a)
            if signs[k] * signs[(k + 1) % 3] < 0:
                polygon.append(cross(a, b))
        (kept if len(polygon) == 3 else cut_quads).append(polygon)
    positions = blend.apply(source, np.arange(len(blend.rows)), neutral=True)
    halves = split_quads(np.array(cut_quads, dtype=np.int64).reshape(-1, 4), positions)
    return np.concatenate([np.array(kept, dtype=np.int64), halves])


def largest_component(triangles: IntArray) -> IntArray:
    """The connected component (over shared vertices) with the most triangles."""
    parent = {int(v): int(v) for v in np.unique(triangles)}

    def root(v: int) -> int:
        while parent[v] != v:
            parent[v] = parent[parent[v]]
            v = parent[v]
        return v

    for a, b, c in triangles.tolist():
        parent[root(b)] = root(a)
        parent[root(c)] = root(a)
    labels = np.array([root(int(v)) for v in triangles[:, 0]])
    names, counts = np.unique(labels, return_counts=True)
    largest: IntArray = triangles[labels == names[np.argmax(counts)]]
    return largest
