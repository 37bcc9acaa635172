"""Finer meshes for print: rounder outlines through the same vertices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from services.errors import BadInput
from services.exhibition.finer import Finer
from services.exhibition.studio import Pose, Studio
from services.shape.basis import load_basis
from services.shape.catalog import basis_ids


def disc(count: int) -> tuple[np.ndarray, np.ndarray]:
    """A flat fan of triangles around a middle, with ``count`` vertices on its rim."""
    angle = 2 * np.pi * np.arange(count) / count
    rim = np.stack([np.cos(angle), np.sin(angle), np.zeros(count)], 1)
    after = (np.arange(count) + 1) % count
    triangles = np.stack([np.zeros(count, int), np.arange(count) + 1, after + 1], 1)
    return np.concatenate([np.zeros((1, 3)), rim]).astype(np.float32), triangles


def test_a_ball_gets_rounder_through_the_same_vertices() -> None:
    ball = trimesh.creation.icosphere(subdivisions=2)
    vertices = torch.from_numpy(ball.vertices.astype(np.float32))
    finer = Finer(ball.faces, 2)
    places = finer.places(vertices)
    assert torch.equal(places[: len(vertices)], vertices)
    assert len(finer.triangles) == 16 * len(ball.faces)
    flat = Finer(ball.faces, 2).values(vertices)  # the same points, on the triangles as they are
    away, before = (float((1 - points.norm(dim=1)).abs().max()) for points in (places, flat))
    assert away < before / 4


def test_a_rim_gets_rounder_too() -> None:
    vertices, triangles = disc(12)
    finer = Finer(triangles, 2)
    places = finer.places(torch.from_numpy(vertices))
    sides = finer.triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2).sort(1).values
    edges, shared = sides.unique(dim=0, return_counts=True)
    rim = edges[shared == 1].unique()
    assert len(rim) == 48
    assert float((1 - places[rim].norm(dim=1)).abs().max()) < (1 - np.cos(np.pi / 12)) / 4


def test_a_rim_that_branches_is_no_riddle() -> None:
    """Two triangles that share a vertex alone: at it the rim goes four ways."""
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [-1, 0, 0], [-1, -1, 0]])
    places = Finer(np.array([[0, 1, 2], [0, 3, 4]]), 1).places(vertices)
    assert places.shape == (11, 3)
    assert places.isfinite().all()
    assert float(places.abs().max()) <= 1.2


@pytest.mark.parametrize("basis_id", basis_ids())
def test_every_basis_keeps_its_vertices_and_gains_no_hole(basis_id: str) -> None:
    basis = load_basis(basis_id)
    finer = Finer(basis.triangles, 1)
    neutral = torch.from_numpy(np.asarray(basis.neutral, np.float32))
    places = finer.places(neutral)
    assert torch.equal(places[: len(neutral)], neutral)
    assert int(finer.triangles.max()) == len(places) - 1
    before, after = (
        trimesh.Trimesh(v, t, process=False)
        for v, t in ((neutral, basis.triangles), (places, finer.triangles))
    )
    assert after.euler_number == before.euler_number
    assert after.area == pytest.approx(before.area, rel=0.02)


def test_a_mask_is_painted_by_its_own_vertices() -> None:
    vertices, triangles = disc(8)
    lit = Studio(triangles, (0.0, 0.0, 0.0), directions=8, shadow_px=16, finer=1).light(0.1 * vertices)
    assert len(lit.centered) > len(vertices)
    red = np.tile(np.array([[255, 0, 0]], np.uint8), (len(vertices), 1))
    shot = lit.painted(red).shoot(Pose(), 48, 260.0)
    middle = shot[24, 24]
    assert middle[3] == 255
    assert middle[0] > 3 * middle[1]
    with pytest.raises(BadInput, match=r"expected uint8 of shape \(9, 3\)"):
        lit.painted(np.zeros((len(lit.centered), 3), np.uint8))
