"""Abstraction, asymmetry and expression, against the decoder and against what they mean."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from services.errors import CorruptData
from services.shape.basis import load_basis
from services.shape.catalog import facts_of
from services.shape.character import character, is_expressive, mirror_map
from services.shape.decode import Decoder

BASIS = "makehuman-mask-1"


def gene(name):
    return load_basis(BASIS).gene_names.index(name)


def genomes(**weights):
    row = np.zeros((1, len(load_basis(BASIS).gene_names)), np.float32)
    for name, weight in weights.items():
        row[0, gene(name)] = weight
    return row


def test_they_are_what_the_decoded_vertices_say():
    basis = load_basis(BASIS)
    noise = np.random.default_rng(0).normal(0, 1.2, (8, len(basis.gene_names))).astype(np.float32)
    vertices = Decoder(basis).decode(torch.from_numpy(noise)).numpy().astype(np.float64)
    head = basis.neutral - basis.neutral.mean(axis=0, dtype=np.float64)
    twin = mirror_map(basis.neutral)
    found = character(BASIS, noise)
    assert facts_of(BASIS).measure_names == ("abstraction", "asymmetry", "expression")
    assert found.shape == (8, 3)
    for mask, (abstraction, asymmetry, _) in zip(vertices, found, strict=True):
        centered = mask - mask.mean(axis=0)
        scales = np.linspace(0.5, 1.5, 2001)
        apart = [np.sqrt(((s * centered - head) ** 2).sum(axis=1).mean()) for s in scales]
        best = int(np.argmin(apart))
        assert abs(1e3 * apart[best] - abstraction) < 0.01
        laid = scales[best] * centered
        mirrored = laid[twin] * [-1, 1, 1]
        assert abs(1e3 * np.sqrt(((laid - mirrored) ** 2).sum(axis=1).mean()) - asymmetry) < 0.02


def test_the_neutral_head_is_zero_and_nan_stays_nan():
    rows = np.zeros((2, len(load_basis(BASIS).gene_names)))
    rows[1, 3] = np.nan
    found = character(BASIS, rows)
    assert found[0].tolist() == [0.0, 0.0, 0.0]
    assert np.isnan(found[1]).all()


def test_each_tells_what_its_name_says():
    both = character(BASIS, genomes(**{"l-eye-scale-decr|incr": 2.0, "r-eye-scale-decr|incr": 2.0}))[0]
    one = character(BASIS, genomes(**{"l-eye-scale-decr|incr": 2.0}))[0]
    assert both[1] < 0.1 < one[1]  # the basis is symmetric to some hundredths of a millimeter
    smile = character(BASIS, genomes(**{"mouth-angles-down|up": 1.0}))[0]
    nose = character(BASIS, genomes(**{"nose-scale-depth-decr|incr": 1.0}))[0]
    assert smile[2] == 1.0
    assert nose[2] == 0.0
    weak, strong = (character(BASIS, genomes(**{"nose-hump-decr|incr": w}))[0, 0] for w in (0.5, 3.0))
    assert 0 < weak < strong
    assert is_expressive("l-eye-height1-decr|incr")
    assert not is_expressive("l-eye-scale-decr|incr")


def test_a_head_without_a_mirror_image_is_refused():
    points = np.array(load_basis(BASIS).neutral)
    twin = mirror_map(points)
    assert np.array_equal(twin[twin], np.arange(len(points)))
    points[5, 0] += 0.01
    with pytest.raises(CorruptData, match="not symmetric"):
        mirror_map(points)
