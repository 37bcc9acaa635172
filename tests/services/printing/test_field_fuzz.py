"""No grid is one that no solid comes of: any pattern of full and empty voxels becomes one closed body."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from services.printing.field import Grid, mend, mesh_of, well_composed
from services.printing.intersections import self_intersections
from services.printing.solid import arrays
from services.printing.surface import edges_of

SIDE = 5
BORDER = 2  # voxels of nothing around what is full, as wall_grid leaves them
# Two voxels that touch by an edge, above an empty layer: what is to fill lies between them, not there.
BRIDGE = np.zeros((SIDE, SIDE, SIDE), bool)
BRIDGE[2, 2, 3] = BRIDGE[3, 3, 3] = True


def pattern(data):
    return np.unpackbits(np.frombuffer(data, np.uint8))[: SIDE**3].astype(bool).reshape(SIDE, SIDE, SIDE)


full = st.binary(min_size=16, max_size=16).map(pattern)


def grid_of(full, seed, voxel_mm):
    """Distances of random size and of the pattern's signs."""
    size = np.random.default_rng(seed).uniform(1e-6, 1, full.shape)
    values = np.where(full, size, -size).astype(np.float32)
    return Grid(np.pad(values, BORDER, constant_values=-1.0), np.array((-30.0, 7.0, 100.0)), voxel_mm)


@pytest.mark.fuzz
@given(full, st.integers(0, 2**32 - 1))
@example(BRIDGE, 0)
def test_voxels_are_added_between_full_ones_alone(full, seed):
    assume(full.any())
    grid = grid_of(full, seed, 1.0)
    before, signs = grid.values.copy(), grid.values > 0
    added = well_composed(grid)
    changed = np.argwhere(grid.values != before)
    assert len(changed) == added
    there = np.argwhere(signs)
    assert ((changed >= there.min(axis=0)) & (changed <= there.max(axis=0))).all()
    assert ((grid.values > 0) >= signs).all()
    assert well_composed(grid) == 0


@pytest.mark.fuzz
@given(full, st.integers(0, 2**32 - 1), st.sampled_from((0.5, 1.0, 3.0)))
def test_any_pattern_becomes_one_closed_body(full, seed, voxel_mm):
    assume(full.any())
    grid, again = grid_of(full, seed, voxel_mm), grid_of(full, seed, voxel_mm)
    assert mend(grid) == mend(again)
    body = mesh_of(grid)
    assert len(body.decompose()) == 1
    points, triangles = arrays(body)
    assert (edges_of(triangles)[2] == 2).all()
    assert body.volume() > 0
    assert self_intersections(points, triangles) == 0
    np.testing.assert_array_equal(arrays(mesh_of(again))[0], points)
