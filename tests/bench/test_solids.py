"""Solids of random masks, widths, processes and mounts, by the real parts at a coarse resolution."""

from __future__ import annotations

import numpy as np
import pytest
from manifold3d import Manifold

from bench.solids import faults_in_files, recorded, summary, tried
from services.printing.catalog import make_order
from services.printing.solid import arrays

SMALL_MM = (40.0, 60.0)
VOXEL_MM = 2.0  # or a third of the wall, if that is less


@pytest.mark.parametrize("k", range(6))
def test_every_mask_is_a_solid_at_every_width_with_every_process_and_mount(k):
    made = tried(3, k, recorded([]), VOXEL_MM, SMALL_MM)
    assert made["faults"] == []
    assert "refused" not in made
    assert "0 with a fault" in summary([made], True)


def test_a_solid_that_is_open_or_flat_somewhere_is_at_fault():
    points, triangles = arrays(Manifold.cube((10.0, 10.0, 10.0)).refine(2))
    order = make_order()
    assert faults_in_files(points, triangles, order) == []
    assert "files: 3 edges that have not two faces" in faults_in_files(points, triangles[1:], order)
    flat = np.concatenate([triangles, [[0, 0, 1]]])
    assert "files: 1 faces without area" in faults_in_files(points, flat, order)
