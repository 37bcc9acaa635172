"""Smooth vertex normals, gathered through a vertex-face table."""

from __future__ import annotations

import torch
from torch import Tensor

from services.rendering.rounding import root
from services.topology import vertex_face_table

Triple = tuple[Tensor, Tensor, Tensor]


def vertex_faces_of(triangles: Tensor, vertex_count: int) -> Tensor:
    """Table int64 (V, K) of the triangles around each vertex, in rising order, padded with T.

    ``triangles`` int64 (T, 3). Where a basis brings its own table, that one serves as well.
    """
    table = vertex_face_table(triangles.cpu().numpy(), vertex_count)
    return torch.from_numpy(table).to(triangles.device)


def vertex_normals(position: Triple, triangles: Tensor, vertex_faces: Tensor) -> Triple:
    """Unit normals of m meshes, weighted by triangle area; 0 where a vertex has none.

    ``position``: x, y and z as (V, m) float32. The sum runs over the columns of ``vertex_faces`` in a fixed
    order, with no scattered additions, so that it is the same on every device and in every run.
    """
    corners = [[p.index_select(0, triangles[:, k]) for p in position] for k in range(3)]
    u = [corners[1][axis] - corners[0][axis] for axis in range(3)]
    v = [corners[2][axis] - corners[0][axis] for axis in range(3)]
    sums = []
    for i, j in ((1, 2), (2, 0), (0, 1)):
        face = u[i] * v[j] - u[j] * v[i]
        face = torch.cat([face, face.new_zeros(1, face.shape[1])])
        total = face.index_select(0, vertex_faces[:, 0])
        for column in range(1, vertex_faces.shape[1]):
            total += face.index_select(0, vertex_faces[:, column])
        sums.append(total)
    # Face normals in m^2 are tiny; scaled up first so that their squares do not vanish in float32.
    x, y, z = (s * 1e6 for s in sums)
    length = root(x * x + y * y + z * z)
    scale = torch.where(length > 0, 1.0 / length, 0.0)
    return x * scale, y * scale, z * scale
