"""Triangles that pass through each other: an independent look at what the mesh library promises."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from services.printing.surface import Float, Ints

_CHUNK = 400_000
# Contacts within this of an edge's end or a triangle's side are rounding, not a crossing.
_MARGIN = 1e-4
_FLAT = 1e-12


def self_intersections(points: Float, triangles: Ints) -> int:
    """How many pairs of triangles cross: an edge of one passes through the inside of the other.

    points ``(n, 3)``, triangles ``(m, 3)``. Pairs that share an edge cannot cross so, and are skipped; pairs
    that share a corner are tested with the edges away from it.
    """
    crossing = 0
    at = points[triangles]
    normals = np.cross(at[:, 1] - at[:, 0], at[:, 2] - at[:, 0])
    low, high = at.min(axis=1), at.max(axis=1)
    for first, second in _near_pairs(low, high):
        for turn in (0, 1):
            one, other = (first, second) if turn == 0 else (second, first)
            # A triangle on one side of another's plane cannot cross it: most pairs go here.
            height = ((at[other] - at[one][:, :1]) * normals[one][:, None]).sum(axis=2)
            both = (height.max(axis=1) > _FLAT) & (height.min(axis=1) < -_FLAT)
            first, second = first[both], second[both]
        shared = (triangles[first][:, :, None] == triangles[second][:, None]).any(axis=2).sum(axis=1)
        first, second = first[shared < 2], second[shared < 2]
        hit = np.zeros(len(first), bool)
        for one, other in ((first, second), (second, first)):
            for k in range(3):
                ends = triangles[one][:, [k, (k + 1) % 3]]
                apart = ~(ends[:, :, None] == triangles[other][:, None]).any(axis=(1, 2))
                hit[apart] |= _pierces(points[ends[apart]], at[other[apart]])
        crossing += int(hit.sum())
    return crossing


def _near_pairs(low: Float, high: Float) -> list[tuple[Ints, Ints]]:
    """Pairs of boxes that share a cell of a grid, each pair once, in chunks."""
    extent = high - low
    cell = max(float(np.median(extent.max(axis=1))), 1e-6)
    first = np.floor((low - low.min(axis=0)) / cell).astype(np.int64)
    last = np.floor((high - low.min(axis=0)) / cell).astype(np.int64)
    span = last - first + 1
    count = span.prod(axis=1)
    owner = np.repeat(np.arange(len(low)), count)
    step = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    wide = span[owner]
    offset = np.stack(
        [step // (wide[:, 1] * wide[:, 2]), step // wide[:, 2] % wide[:, 1], step % wide[:, 2]], axis=1
    )
    size = last.max(axis=0) + 1
    weight = np.array((size[1] * size[2], size[2], 1))
    key = (first[owner] + offset) @ weight
    order = np.argsort(key, kind="stable")
    key, owner = key[order], owner[order]
    found = []
    # Entries of the sorted list that have one cell: first those next to each other, then two apart ...
    # Whoever has no partner so far away has none farther.
    begun = np.arange(len(key))
    for gap in range(1, len(key)):
        begun = begun[: np.searchsorted(begun, len(key) - gap)]
        begun = begun[key[begun + gap] == key[begun]]
        if not len(begun):
            break
        a, b = owner[begun], owner[begun + gap]
        near = ((low[a] <= high[b]) & (low[b] <= high[a])).all(axis=1)
        a, b, at = a[near], b[near], key[begun[near]]
        # Boxes may share many cells; they are a pair in the lowest of them.
        lowest = np.maximum(first[a], first[b]) @ weight == at
        a, b = a[lowest], b[lowest]
        found.append(np.minimum(a, b) * len(low) + np.maximum(a, b))
    if not found:
        return []
    pairs = np.sort(np.concatenate(found))
    return [
        (both[0], both[1])
        for both in (
            np.divmod(pairs[start : start + _CHUNK], len(low)) for start in range(0, len(pairs), _CHUNK)
        )
    ]


def _pierces(segment: Float, triangle: Float) -> NDArray[np.bool_]:
    """Which segments ``(n, 2, 3)`` pass through the inside of their triangles ``(n, 3, 3)``.

    Moller and Trumbore 1997, "Fast, minimum storage ray/triangle intersection".
    """
    start, along = segment[:, 0], segment[:, 1] - segment[:, 0]
    u, v = triangle[:, 1] - triangle[:, 0], triangle[:, 2] - triangle[:, 0]
    p = np.cross(along, v)
    volume = (u * p).sum(axis=1)
    safe = np.where(np.abs(volume) > 1e-14, volume, np.inf)
    offset = start - triangle[:, 0]
    a = (offset * p).sum(axis=1) / safe
    q = np.cross(offset, u)
    b = (along * q).sum(axis=1) / safe
    t = (v * q).sum(axis=1) / safe
    through = np.isfinite(safe) & (t > _MARGIN) & (t < 1 - _MARGIN)
    hit: NDArray[np.bool_] = through & (a > _MARGIN) & (b > _MARGIN) & (a + b < 1 - _MARGIN)
    return hit
