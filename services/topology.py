"""Tables of a mesh's triangles. Numpy only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def vertex_face_table(triangles: NDArray[np.integer[Any]], vertex_count: int) -> NDArray[np.int64]:
    """The faces around each vertex, ``(V, K)`` int64, ascending, padded with T (one past the last face).

    Vertex normals gather face normals through it (append a zero row for the padding), which keeps the order
    of summation fixed on every device.
    """
    corner_vertex = triangles.reshape(-1).astype(np.int64)
    order = np.argsort(corner_vertex, kind="stable")
    count = np.bincount(corner_vertex, minlength=vertex_count)
    slot = np.arange(len(order)) - np.repeat(np.cumsum(count) - count, count)
    table = np.full((vertex_count, max(int(count.max()), 1)), len(triangles), np.int64)
    table[corner_vertex[order], slot] = order // 3
    return table
