"""Folded area, surface and extent against plain facts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from services.shape.measure import area_m2, extent_m, flipped_share


def neutral(decoder, count=1):
    return decoder.neutral.repeat(count, 1, 1)


def test_the_neutral_mask_has_no_folds_and_its_mirror_image_is_all_fold(decoder):
    assert flipped_share(neutral(decoder), decoder).tolist() == [0.0]
    turned = neutral(decoder) * -1.0  # a point reflection keeps area normals ...
    assert flipped_share(turned, decoder).item() == 0.0
    inside_out = neutral(decoder) * torch.tensor([1.0, 1.0, -1.0])  # ... pressing the face in does not
    assert flipped_share(inside_out, decoder).item() > 0.5


def test_one_flipped_triangle_counts_by_its_area(basis, decoder):
    """A lone vertex is pulled through the opposite edge of one of its triangles."""
    vertices = neutral(decoder).clone()
    triangle = basis.triangles[1000]
    a, b, c = (vertices[0, v].clone() for v in triangle.tolist())
    vertices[0, int(triangle[0])] = (b + c) - a
    share = flipped_share(vertices, decoder).item()
    points = vertices[0].double().numpy()
    corners = points[basis.triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat = basis.neutral.astype(np.float64)[basis.triangles]
    before = np.cross(flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0])
    size = np.linalg.norm(normals, axis=1)
    expected = size[(normals * before).sum(axis=1) < 0].sum() / size.sum()
    assert share == pytest.approx(expected, rel=1e-3)
    assert 0 < share < 0.01


def test_noise_folds_a_good_part_of_the_mask(basis, decoder):
    noise = np.random.default_rng(3).normal(0, 1.2, (32, len(basis.gene_names)))
    share = flipped_share(decoder.decode(torch.from_numpy(noise.astype(np.float32))), decoder)
    assert 0.02 < share.mean().item() < 0.3
    assert share.min().item() > 0.0


def test_area_and_extent_scale_as_they_should(decoder):
    one, two = neutral(decoder), neutral(decoder) * 2
    assert area_m2(two, decoder).item() == pytest.approx(4 * area_m2(one, decoder).item(), rel=1e-5)
    assert 0.025 < area_m2(one, decoder).item() < 0.045
    assert torch.equal(extent_m(two), 2 * extent_m(one))
