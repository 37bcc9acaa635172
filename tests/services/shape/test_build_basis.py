"""The build script: pairing of targets, surgery on small meshes, and that a rebuild gives the same data."""

from __future__ import annotations

import numpy as np
import pytest

from services.errors import BadInput, Unavailable
from services.shape.basis_file import STEP_M, pack, quantize
from services.shape.builders import cut, makehuman
from services.shape.builders.build_basis import build, main
from services.shape.builders.genes import Gene, signed_genes
from services.shape.catalog import DEFAULT_BASIS, basis_info, packed_basis


def grid(rows, columns):
    """A flat sheet of quads facing +Z and its vertices, 1 apart."""
    x, y = np.meshgrid(np.arange(columns + 1.0), np.arange(rows + 1.0))
    corner = (np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)).reshape(-1)
    quads = np.stack([corner, corner + 1, corner + columns + 2, corner + columns + 1], axis=1)
    return np.stack([x.reshape(-1), y.reshape(-1), np.zeros(x.size)], axis=1), quads.astype(np.int64)


def area(triangles, positions):
    a, b, c = positions[triangles].transpose(1, 0, 2)
    return np.cross(b - a, c - a)[:, 2] / 2


def test_opposed_targets_become_one_signed_gene():
    names = ["nose-trans-down", "nose-trans-up", "nose-trans-in", "nose-trans-out", "head-oval"]
    names += ["l-eye-scale-decr", "l-eye-scale-incr", "r-eye-scale-decr", "r-eye-scale-incr"]
    assert signed_genes(names) == (
        Gene("nose-trans-down|up", "nose-trans-up", "nose-trans-down"),
        Gene("nose-trans-in|out", "nose-trans-out", "nose-trans-in"),
        Gene("head-oval", "head-oval", None),
        Gene("l-eye-scale-decr|incr", "l-eye-scale-incr", "l-eye-scale-decr"),
        Gene("r-eye-scale-decr|incr", "r-eye-scale-incr", "r-eye-scale-decr"),
    )


def test_quantization_is_off_by_at_most_half_a_step_an_axis():
    displacement = np.random.default_rng(1).normal(0, 0.01, (50, 3))
    displacement[10:20] = 0
    starts, vertex, steps, error = quantize([displacement, np.zeros((50, 3))])
    assert starts.tolist() == [0, 40, 40]
    assert not set(vertex.tolist()) & set(range(10, 20))
    assert np.abs(steps * STEP_M - displacement[vertex]).max() <= STEP_M / 2 * 1.0001
    assert error <= STEP_M / 2 * 3**0.5


def test_clip_follows_the_level_and_leaves_no_sliver():
    positions, quads = grid(6, 6)
    blend = cut.Blend(len(positions))
    triangles = cut.split_quads(quads, positions)
    level = 4.1 - positions[:, 0]
    kept = cut.clip(triangles, level, blend, positions, snap=0.3)
    placed = blend.apply(positions, np.arange(len(blend.rows)), neutral=True)
    assert placed[np.unique(kept), 0].max() == pytest.approx(4.1)
    assert area(kept, placed).sum() == pytest.approx(4.1 * 6)
    assert area(kept, placed).min() > 0.2


def test_clip_moves_the_targets_with_the_vertices():
    """A new vertex on the rim is the same mix of its neighbors in every target."""
    positions, quads = grid(2, 2)
    blend = cut.Blend(len(positions))
    kept = cut.clip(cut.split_quads(quads, positions), 1.5 - positions[:, 0], blend, positions, snap=0.3)
    rows = np.unique(kept)
    stretch = positions * (2, 0, 0)
    moved = blend.apply(stretch, rows, neutral=False)
    placed = blend.apply(positions, rows, neutral=True)
    np.testing.assert_allclose(moved[:, 0], 2 * placed[:, 0])


def test_a_dropped_pocket_is_closed_again_by_zip_or_fan():
    positions, quads = grid(4, 4)
    loop = [6, 7, 8, 13, 18, 17, 16, 11]  # around the middle vertex 12
    rest = cut.drop_behind(quads, loop, 12)
    assert len(rest) == 12
    center = cut.fan(rest, loop, 12)
    one, other = [6, 7, 8, 13, 18], [6, 11, 16, 17, 18]
    zipped = cut.zip_chains(rest, one[:-1], other, positions)
    for patch in (center, zipped):
        assert (area(patch, positions) >= 0).all()  # wound like the sheet
        assert area(patch, positions).sum() == pytest.approx(4)


def test_an_edge_loop_that_leaves_the_sheet_is_refused():
    with pytest.raises(ValueError, match="stops at vertex"):
        cut.edge_loop(grid(3, 3)[1], 5, 6)


def test_a_wrong_source_folder_says_what_is_missing(tmp_path, capsys):
    with pytest.raises(BadInput, match=r"base\.obj is missing"):
        makehuman.find_source(tmp_path)
    assert main(["--source", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "base.obj is missing" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_rebuild_gives_the_committed_data():
    """Members are compared, not the file's bytes: how deflate packs them depends on the zlib at hand."""
    try:
        rebuilt, provenance = build(None)
    except Unavailable as missing:
        pytest.skip(str(missing))
    shipped = packed_basis(DEFAULT_BASIS)
    for name in ("neutral", "triangles", "landmarks", "sides", "starts", "vertex", "steps"):
        np.testing.assert_array_equal(getattr(rebuilt, name), getattr(shipped, name), err_msg=name)
    assert rebuilt.header | {"source": ""} == shipped.header | {"source": ""}
    assert len(pack(rebuilt)) == pytest.approx(len(pack(shipped)), rel=0.01)
    assert provenance["genes"] == len(basis_info(DEFAULT_BASIS).gene_names)
