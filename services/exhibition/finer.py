"""A finer mesh through the vertices of a coarse one, for pictures that are looked at from near.

At 300 dpi the triangles of a mask are as long as a fingernail is wide, and its outline shows every one. Each
step puts a vertex on every edge and four triangles in place of one. No vertex is moved, so a mask stays the
mask that was scored. Inside, a new vertex lies where the planes that touch the surface at the edge's ends
would have it (Boubekeur and Alexa 2008, "Phong tessellation"); on a rim, on the curve through four vertices
(Dyn, Levin and Gregory 1987).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.rendering.normals import vertex_faces_of, vertex_normals

_BULGE = 0.5  # of the way to the touching planes: on a ball a new vertex then lies on the ball
_RIM = 1 / 16  # weight of the vertices beyond a rim's edge, taken from the sum


@dataclass(frozen=True)
class _Step:
    """From triangles to four times as many. ends: int64 (E, 2), the vertices of each edge. rim: (R,) edges of
    one triangle alone. beyond: int64 (R, 2), the rim's vertices before and after each of these.
    """

    triangles: Tensor
    faces: Tensor
    ends: Tensor
    rim: Tensor
    beyond: Tensor


class Finer:
    """Subdivides meshes of one topology.

    :param triangles: int (T, 3). steps: each makes four triangles of one.
    """

    def __init__(self, triangles: NDArray[np.integer], steps: int) -> None:
        corners = np.asarray(triangles, np.int64)
        self.count = count = int(corners.max()) + 1  # vertices of the coarse mesh
        self._steps: list[_Step] = []
        for _ in range(steps):
            made, ends, rim, beyond = _split(corners, count)
            faces = vertex_faces_of(torch.from_numpy(corners), count)
            self._steps.append(
                _Step(torch.from_numpy(corners), faces, *map(torch.from_numpy, (ends, rim, beyond)))
            )
            corners, count = made, count + len(ends)
        self.triangles = torch.from_numpy(corners)

    def places(self, vertices: Tensor) -> Tensor:
        """Where the finer mesh's vertices lie, float32 (V', 3); the first V are the ``vertices`` (V, 3)."""
        for step in self._steps:
            x, y, z = (vertices[:, k : k + 1] for k in range(3))
            normals = torch.cat(vertex_normals((x, y, z), step.triangles, step.faces), dim=1)
            first, second = (vertices[step.ends[:, k]] for k in (0, 1))
            middle = (first + second) / 2
            down = torch.zeros_like(middle)
            for k, end in enumerate((first, second)):
                normal = normals[step.ends[:, k]]
                down += ((middle - end) * normal).sum(1, keepdim=True) * normal / 2
            made = middle - _BULGE * down
            around = vertices[step.beyond].sum(1)
            made[step.rim] = (1 + 2 * _RIM) * middle[step.rim] - _RIM * around
            vertices = torch.cat([vertices, made])
        return vertices

    def values(self, values: Tensor) -> Tensor:
        """What vertices bear, (V, k), for the finer mesh's, (V', k): between two the mean of both."""
        for step in self._steps:
            values = torch.cat([values, values[step.ends].mean(1)])
        return values


def _split(
    corners: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Finer triangles (4T, 3), ends of edges (E, 2), edges on the rim (R,), who is beyond these (R, 2)."""
    sides = corners[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    ends, edge, shared = np.unique(np.sort(sides, 1), axis=0, return_inverse=True, return_counts=True)
    a, b, c = corners.T
    ab, bc, ca = (edge.reshape(-1, 3) + count).T
    made = np.concatenate(
        [np.stack(part, 1) for part in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
    )
    rim = np.flatnonzero(shared == 1)
    return made, ends, rim, _beyond(ends[rim])


def _beyond(edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """For rim edges (R, 2) the rim's next vertex at either end, (R, 2); where a rim branches, the end itself,
    so that the new vertex stays nearer to the edge's middle.
    """
    neighbors: dict[int, list[int]] = {}
    for one, other in edges.tolist():
        neighbors.setdefault(one, []).append(other)
        neighbors.setdefault(other, []).append(one)

    def after(end: int, other: int) -> int:
        further = [v for v in neighbors[end] if v != other]
        return further[0] if len(further) == 1 else end

    found = [(after(one, other), after(other, one)) for one, other in edges.tolist()]
    return np.array(found, np.int64).reshape(-1, 2)
