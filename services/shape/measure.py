"""Figures of decoded masks: area, extent, and how much of a mask is folded over."""

from __future__ import annotations

import torch

from services.shape.decode import Decoder


def _area_vectors(vertices: torch.Tensor, triangles: torch.Tensor) -> torch.Tensor:
    """Normals with the length of the area, ``(3, n, T)``, of vertices ``(n, V, 3)``."""
    # One contiguous plane per axis: several times faster on the CPU than gathering triples and linalg.cross.
    planes = vertices.permute(2, 0, 1).contiguous()
    a, b, c = (planes.index_select(2, triangles[:, corner]) for corner in range(3))
    (ux, uy, uz), (vx, vy, vz) = b - a, c - a
    return torch.stack([uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx]) / 2


def _length(vectors: torch.Tensor) -> torch.Tensor:
    """Lengths ``(n, T)`` of vectors ``(3, n, T)``."""
    length: torch.Tensor = (vectors * vectors).sum(dim=0).sqrt()
    return length


@torch.inference_mode()
def flipped_share(vertices: torch.Tensor, decoder: Decoder) -> torch.Tensor:
    """Share of a mask's area whose normal points against the neutral mask's, ``(n,)`` float32 in 0..1.

    vertices: ``(n, V, 3)`` in meters. 0 for the neutral mask; NaN where the vertices are not finite or the
    mask has no area. Folds are measured and recorded, never rejected: they are part of the work.
    """
    area = _area_vectors(vertices, decoder.triangles)
    neutral = _area_vectors(decoder.neutral[None], decoder.triangles)
    size = _length(area)
    against = (area * neutral).sum(dim=0) < 0
    share: torch.Tensor = (size * against).sum(dim=1) / size.sum(dim=1)
    return share


@torch.inference_mode()
def area_m2(vertices: torch.Tensor, decoder: Decoder) -> torch.Tensor:
    """One side's surface of each mask in square meters, ``(n,)``. vertices: ``(n, V, 3)`` in meters."""
    area: torch.Tensor = _length(_area_vectors(vertices, decoder.triangles)).sum(dim=1)
    return area


@torch.inference_mode()
def extent_m(vertices: torch.Tensor) -> torch.Tensor:
    """Width, height and depth of each mask in meters, ``(n, 3)``. vertices: ``(n, V, 3)`` in meters."""
    return vertices.amax(dim=1) - vertices.amin(dim=1)
