"""Solids of random genomes, wild ones too: one closed body with its wall, whatever the folds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from manifold3d import Manifold

from services.errors import BadInput
from services.printing.catalog import make_order
from services.printing.checks import built, check, signed_volume
from services.printing.field import Grid, mend, mesh_of, well_composed
from services.printing.fittings import add_fittings
from services.printing.intersections import self_intersections
from services.printing.openings import Fitted
from services.printing.solid import arrays, as_written, collapsed, make_wall, redone
from services.printing.surface import edges_of
from services.shape.basis import load_basis
from services.shape.decode import Decoder

BASIS = load_basis("makehuman-mask-1")
ORDER = make_order(width_mm=100.0, wall_mm=3.0)
VOXEL_MM = 1.0


def mask(seed, spread):
    genome = np.random.default_rng(seed).normal(0, spread, (1, len(BASIS.gene_names))).astype(np.float32)
    return Decoder(BASIS).decode(torch.from_numpy(genome))[0].numpy()


@pytest.mark.parametrize(("seed", "spread"), [(0, 0.0), (1, 1.2), (2, 2.0)])
def test_a_random_mask_becomes_one_sound_body(seed, spread):
    wall = make_wall(mask(seed, spread), BASIS.triangles, ORDER, VOXEL_MM)
    checks, thick = check(wall.body, ORDER, built(wall))
    assert [line for line in checks if line.passed is False] == []
    assert thick.least_mm >= 0.95 * ORDER.wall_mm
    assert thick.median_mm < 1.15 * ORDER.wall_mm
    points, _ = arrays(wall.body)
    assert np.ptp(points[:, 0]) == pytest.approx(ORDER.width_mm, abs=0.2)
    assert wall.deviation.median_mm < 0.5
    assert wall.deviation.max_mm < ORDER.wall_mm + 1.0
    for mount in ("wall", "stand"):
        work = Fitted(wall.body)
        add_fittings(work, wall, replace(ORDER, mount=mount), None)
        assert work.refused == []
        # It is joined to the body, takes nothing of it, and does not come out at the front or the top.
        assert len(work.body.decompose()) == 1
        assert (wall.body - work.body).volume() < 2.0
        assert work.body.volume() > wall.body.volume() + 500
        grown, _ = arrays(work.body)
        np.testing.assert_allclose(grown.max(axis=0), points.max(axis=0), atol=0.02)
    again = redone(wall, 0.0)
    assert again.simplify_mm == 0.0
    assert again.body.num_tri() > wall.body.num_tri()


def test_a_mask_without_extent_has_no_solid():
    with pytest.raises(BadInput, match="no width"):
        make_wall(np.zeros((len(BASIS.neutral), 3)), BASIS.triangles, ORDER, VOXEL_MM)
    with pytest.raises(BadInput, match="finite"):
        make_wall(np.full((len(BASIS.neutral), 3), np.nan), BASIS.triangles, ORDER, VOXEL_MM)


def noise_grid(seed):
    values = np.random.default_rng(seed).normal(-0.3, 1, (14, 14, 14)).astype(np.float32)
    return Grid(np.pad(values, 8, constant_values=-1.0), np.zeros(3), 1.0)  # filling may spread


@pytest.mark.parametrize("seed", range(6))
def test_any_grid_can_be_made_a_manifold_without_cavities(seed):
    grid = noise_grid(seed)
    mend(grid)
    assert well_composed(grid) == 0
    body = mesh_of(grid)
    assert len(body.decompose()) == 1
    points, triangles = arrays(body)
    assert signed_volume(points, triangles) == pytest.approx(body.volume(), rel=1e-4)
    assert self_intersections(points, triangles) == 0


def test_loose_parts_are_tied_and_crumbs_dropped():
    values = np.full((60, 30, 30), -1.0, np.float32)
    values[5:20, 8:22, 8:22] = 1.0  # the body
    values[30:42, 10:20, 10:20] = 1.0  # a part
    values[50:52, 14:16, 14:16] = 1.0  # a crumb
    values[10:13, 12:15, 12:15] = -1.0  # a cavity
    grid = Grid(values, np.zeros(3), 1.0)
    mended = mend(grid)
    assert (mended.tied_parts, mended.crumbs_mm3, mended.cavities_mm3) == (1, 8.0, 27.0)
    assert len(mesh_of(grid).decompose()) == 1


def test_crossing_triangles_are_counted():
    points = np.array([(0, 0, 0), (4, 0, 0), (0, 4, 0), (1, 1, -1), (1, 1, 1), (3, 3, 1)], float)
    assert self_intersections(points, np.array([(0, 1, 2), (3, 4, 5)])) == 1
    assert self_intersections(points, np.array([(0, 1, 2)])) == 0
    ball, triangles = arrays(Manifold.sphere(10.0, 48))
    assert self_intersections(ball, triangles) == 0
    other, more = arrays(Manifold.sphere(10.0, 48).translate((7, 0.37, 0.21)))  # not its mirror image
    both = np.concatenate([triangles, more + len(ball)])
    assert self_intersections(np.concatenate([ball, other]), both) > 50


def test_an_edge_without_length_in_a_file_is_no_edge_there():
    box = Manifold.cube((100.0, 100.0, 100.0)).refine(3)
    points, triangles = arrays(box)
    edge = triangles[40, :2]
    points[edge[1]] = points[edge[0]] + 1e-9  # apart here, in one place in a file
    clean = collapsed(points, triangles)
    _, _, shared = edges_of(clean)
    assert len(clean) == len(triangles) - 2
    assert (shared == 2).all()
    corners = points.astype(np.float32)[clean]
    assert all((corners[:, k] != corners[:, (k + 1) % 3]).any(axis=1).all() for k in range(3))
    untouched = arrays(box)
    assert collapsed(*untouched) is untouched[1]


def edges_by_place(points, triangles):
    """How many faces each edge has for a program that knows corners by their places, as in an STL."""
    places = (points - points.min(axis=0)).astype(np.float32)
    _, corner = np.unique(places, axis=0, return_inverse=True)
    return edges_of(corner.reshape(-1)[triangles])[2]


def test_corners_that_fall_together_in_a_file_are_one_before_touching_parts_are_told():
    box = Manifold.cube((100.0, 100.0, 100.0)).refine(4)
    points, triangles = arrays(box)
    flat = ((points > 1).all(axis=1) & ((points > 99).sum(axis=1) == 1)).nonzero()[0]  # inside of a side
    a, b = next(edge for edge in edges_of(triangles)[0] if set(edge) <= set(flat))

    def needle(at):
        at = np.array(at)  # in another order than arrays gives them
        at[np.linalg.norm(at - points[b], axis=1).argmin()] = points[a] + 1e-9
        return at

    own, faces = as_written(box.warp_batch(needle))
    assert len(faces) == len(triangles) - 2
    assert len(own) == len(points) - 1
    assert (edges_by_place(own, faces) == 2).all()
    assert signed_volume(own, faces) == pytest.approx(1e6, abs=1e-3)  # not even a dent


def test_parts_that_touch_draw_back():
    cube = Manifold.cube((10.0, 10.0, 10.0))
    touching = cube + cube.translate((10, 10, 0)) + cube.translate((20, 20, 10))  # by an edge, by a corner
    points, triangles = arrays(touching)
    assert (edges_by_place(points, triangles) == 4).any()
    own, faces = as_written(touching)
    assert (edges_by_place(own, faces) == 2).all()
    assert len(np.unique(own.astype(np.float32), axis=0)) == len(own)
    assert signed_volume(own, faces) == pytest.approx(3000, rel=0.01)
