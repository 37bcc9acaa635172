"""What every basis must bear: it is rendered about its own center, exported with its licence, and meshed."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import trimesh

from coordinator.cli.mesh import _write
from services.rendering.views import ViewRanges, sample_views
from services.shape.basis import load_basis
from services.shape.catalog import basis_ids, basis_info
from worker.eye import Eye

NEAR_FRONT = ViewRanges(
    yaw_deg=(-20.0, 20.0), pitch_deg=(-10.0, 10.0), field_mm=(235.0, 235.0), noise=(0.0, 0.0), size_px=96
)


def noise(basis_id, count):
    basis = load_basis(basis_id)
    genes = len(basis.gene_names)
    return np.random.default_rng(4).normal(0, basis.facts.spread, (count, genes)).astype(np.float32)


@pytest.mark.parametrize("basis_id", basis_ids())
def test_noise_of_it_is_rendered_about_its_center(basis_id):
    views = sample_views(NEAR_FRONT, 3, 2)
    _, seen = Eye(basis_id).every(np.concatenate([noise(basis_id, 2), 0 * noise(basis_id, 1)]), views)
    assert seen.usable.all()
    assert ((seen.coverage > 0.1) & (seen.coverage < 0.9)).all()
    box = seen.box_px[2].numpy()  # of zero, whose center is its basis's
    middle = (box[:, :2] + box[:, 2:]) / 2
    assert np.abs(middle - 48.0).max() < 12.0
    pictures = seen.images.numpy().reshape(9, -1)
    assert len({picture.tobytes() for picture in pictures}) == 9


@pytest.mark.parametrize("basis_id", basis_ids())
def test_the_mesh_command_writes_noise_of_it_with_its_licence(basis_id, tmp_path):
    path, genome = tmp_path / "mask.glb", noise(basis_id, 1)[0]
    _write(path, "i00-g0000-000", basis_id, genome.tolist())
    data = path.read_bytes()
    (mesh,) = trimesh.load(io.BytesIO(data), file_type="glb", process=False).geometry.values()
    info = basis_info(basis_id)
    assert (len(mesh.vertices), len(mesh.faces)) == (info.vertex_count, info.triangle_count)
    length = int.from_bytes(data[12:16], "little")
    extras = json.loads(data[20 : 20 + length])["asset"]["extras"]
    assert (extras["basis"], extras["licence"]) == (basis_id, info.licence)
    assert ("color" in mesh.visual.vertex_attributes) == bool(len(load_basis(basis_id).colors))
