"""Color genes: where they paint, how far they go, and that they leave the shape alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from services.shape.basis import load_basis
from services.shape.catalog import basis_ids, basis_info, with_color
from services.shape.decode import Decoder
from services.shape.paint import DARKEST, FULL, PAINTS, SKIN_SRGB, bytes_of, display_colors

PLAIN = "makehuman-mask-1"
PAINTED = with_color(PLAIN)


@pytest.fixture(scope="module")
def basis():
    return load_basis(PAINTED)


def genome(basis, name=None, weight=2.0):
    values = np.zeros((1, len(basis.gene_names)), np.float32)
    if name is not None:
        values[0, basis.gene_names.index(f"paint-{name}")] = weight
    return values


def test_a_painted_basis_is_the_same_shape_with_more_genes(basis):
    assert basis_ids()[:2] == (PLAIN, PAINTED)
    plain = basis_info(PLAIN)
    assert basis.gene_names == (*plain.gene_names, *(paint.name for paint in PAINTS))
    assert basis.sha256 == basis_info(PAINTED).sha256 != plain.sha256
    genomes = np.random.default_rng(0).normal(0, 1, (3, len(basis.gene_names))).astype(np.float32)
    shapes = Decoder(basis).decode(torch.from_numpy(genomes))
    same = Decoder(load_basis(PLAIN)).decode(torch.from_numpy(genomes[:, : len(plain.gene_names)].copy()))
    torch.testing.assert_close(shapes, same, rtol=0, atol=1e-7)


def test_a_basis_without_color_genes_has_no_colors():
    decoder = Decoder(load_basis(PLAIN))
    assert decoder.colors(torch.zeros(1, len(decoder.basis.gene_names))) is None
    assert decoder.paint_bytes(torch.zeros(1, len(decoder.basis.gene_names))) is None


def test_without_weights_a_mask_has_the_color_of_a_plain_one(basis):
    colors = Decoder(basis).colors(torch.from_numpy(genome(basis)))
    assert colors.shape == (1, len(basis.neutral), 3)
    np.testing.assert_array_equal(colors[0], np.broadcast_to(np.float32(SKIN_SRGB), colors.shape[1:]))


@pytest.mark.parametrize(
    ("name", "landmark"),
    [
        ("lips-light|dark", "mouth_left"),
        ("brows-light|dark", "brow_right"),
        ("irises-light|dark", "left_pupil"),
        ("nostrils-light|dark", "right_nostril"),
    ],
)
def test_paint_is_where_it_belongs_and_the_same_on_both_sides(basis, name, landmark):
    colors = Decoder(basis).colors(torch.from_numpy(genome(basis, name)))[0].numpy()
    changed = np.abs(colors - np.float32(SKIN_SRGB)).max(axis=1) > 0.02
    assert changed[basis.landmarks[landmark]]
    away = np.linalg.norm(basis.neutral[changed, None, :2] - _sides(basis, landmark), axis=2).min(axis=1)
    assert away.max() < 0.045
    share = changed[basis.neutral[:, 0] > 1e-4].mean(), changed[basis.neutral[:, 0] < -1e-4].mean()
    assert share[0] == pytest.approx(share[1], abs=0.01)


def _sides(basis, landmark):
    one = basis.neutral[basis.landmarks[landmark], :2]
    return np.stack([one, one * (-1, 1)])[None]


def test_colors_stay_within_what_a_printer_can_do_and_stop_at_full(basis):
    wild = np.random.default_rng(1).normal(0, 5, (4, len(basis.gene_names))).astype(np.float32)
    colors = Decoder(basis).colors(torch.from_numpy(wild))
    assert float(colors.min()) >= DARKEST
    assert float(colors.max()) <= 1.0
    decoder = Decoder(basis)
    full, more = (
        decoder.colors(torch.from_numpy(genome(basis, "lips-pale|red", w))) for w in (FULL, 3 * FULL)
    )
    assert torch.equal(full, more)


def test_numpy_and_torch_paint_alike(basis):
    genomes = np.random.default_rng(2).normal(0, 1.2, (5, len(basis.gene_names))).astype(np.float32)
    genomes[4] = np.nan
    ours = Decoder(basis).colors(torch.from_numpy(genomes)).numpy()
    np.testing.assert_array_equal(ours, display_colors(genomes, basis.colors))
    np.testing.assert_array_equal(ours[4, 0], np.float32(SKIN_SRGB))
    np.testing.assert_array_equal(Decoder(basis).paint_bytes(torch.from_numpy(genomes)), bytes_of(ours))
