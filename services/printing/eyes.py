"""The eyes of a head: as they are, hollow like a sculptor's, or open.

A basis with eyes has a ball behind each pair of lids; a blank has none.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from services.errors import BadInput
from services.printing.catalog import CLOSED, OPEN
from services.printing.surface import Float, Ints, edges_of

_DEEP = 2.2  # how far a hollow goes in, of what the ball came out: deep enough to lie in its own shadow


def with_eyes(
    vertices: NDArray[np.floating], triangles: NDArray[np.integer], landmarks: Mapping[str, int], eyes: str
) -> tuple[NDArray[np.float32], Ints]:
    """A head with its eyes as asked: vertices float32 (V, 3) in their order, triangles (T', 3).

    :param vertices: (V, 3) in meters. triangles: (T, 3). landmarks: vertices by name, with both pupils.
    :raises BadInput: where the mask has no balls for eyes.
    """
    points, corners = np.array(vertices, np.float32), np.asarray(triangles, np.int64)
    if eyes == CLOSED:
        return points, corners
    label = _pieces(corners, len(points))
    balls = {name: label[landmarks[name]] for name in ("left_pupil", "right_pupil") if name in landmarks}
    skin = np.bincount(label[corners[:, 0]]).argmax()
    if len(set(balls.values())) < 2 or skin in balls.values():
        raise BadInput(f"--eyes {eyes}: this mask has no eyes of its own, only a head has; leave --eyes out")
    if eyes == OPEN:
        return points, corners[~np.isin(label[corners[:, 0]], list(balls.values()))]
    edges, _, shared = edges_of(corners)
    rim = np.unique(edges[shared == 1])
    lids = points[rim[label[rim] == skin]].astype(np.float64)
    for name, ball in balls.items():
        own = np.flatnonzero(label == ball)
        points[own] = _pressed_in(points[own], points[landmarks[name]], lids)
    return points, corners


def _pressed_in(ball: NDArray[np.float32], pupil: NDArray[np.float32], lids: Float) -> NDArray[np.float32]:
    """A ball's points (n, 3) with all that stands before its lids mirrored through them, and deeper."""
    places, front = ball.astype(np.float64), pupil.astype(np.float64)
    middle = places.mean(axis=0)
    size = np.linalg.norm(places - middle, axis=1).max()
    out = (front - middle) / np.linalg.norm(front - middle)
    around = lids[np.linalg.norm(lids - front, axis=1) < 1.5 * size]
    # Without lids nearby, at a third of the way from the ball's middle to its front.
    level = np.median((around - middle) @ out) if len(around) else (front - middle) @ out / 3
    before = np.maximum((places - middle) @ out - level, 0.0)
    return np.asarray(places - (1 + _DEEP) * before[:, None] * out, np.float32)


def _pieces(triangles: Ints, count: int) -> NDArray[np.int32]:
    """Which connected piece each of the vertices is in, (count,)."""
    ends = triangles[:, [0, 1, 1, 2]].reshape(-1, 2)
    graph = coo_matrix((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), shape=(count, count))
    _, label = connected_components(graph, directed=False)
    found: NDArray[np.int32] = label
    return found
