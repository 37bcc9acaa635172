"""Which genes are each other's mirror image, checked against the shapes themselves."""

from __future__ import annotations

import numpy as np
import pytest

from services.errors import BadInput
from services.shape.basis import load_basis
from services.shape.catalog import DEFAULT_BASIS, basis_ids, basis_info, facts_of
from services.shape.character import character, mirror_map


def symmetry(basis):
    return facts_of(basis).symmetry


def asymmetry_mm(genomes):
    return character(DEFAULT_BASIS, genomes)[:, facts_of(DEFAULT_BASIS).measure_names.index("asymmetry")]


@pytest.mark.parametrize("basis", basis_ids())
def test_a_mirror_image_of_a_mirror_image_is_the_mask_itself(basis):
    sides = symmetry(basis)
    genomes = np.random.default_rng(0).normal(0, 1, (4, len(basis_info(basis).gene_names)))
    assert np.array_equal(sides.mirrored(sides.mirrored(genomes)), genomes)
    symmetric = sides.unfolded(sides.folded(genomes))
    assert np.array_equal(sides.mirrored(symmetric), symmetric)
    assert np.allclose(symmetric, (genomes + sides.mirrored(genomes)) / 2)


def test_masks_of_free_genes_are_symmetric_and_noise_is_not():
    sides = symmetry(DEFAULT_BASIS)
    noise = np.clip(np.random.default_rng(1).normal(0, 1.2, (64, len(sides.twin))), -3, 3)
    assert asymmetry_mm(noise).min() > 3
    assert asymmetry_mm(sides.unfolded(sides.folded(noise))).max() < 0.1


def test_each_free_gene_moves_both_sides_alike_and_no_other_does():
    sides, basis = symmetry(DEFAULT_BASIS), load_basis(DEFAULT_BASIS)
    twin = mirror_map(basis.neutral)
    flip = np.array([-1.0, 1.0, 1.0])
    for moved in (basis.positive, basis.negative):
        for gene, other in enumerate(sides.twin):
            image = moved[gene][twin] * flip
            apart = np.abs(image - moved[other]).max() * 1000
            if sides.sign[gene] > 0:
                assert apart < 0.3, basis.gene_names[gene]
            else:
                assert np.abs(image - moved[gene]).max() * 1000 > 0.4, basis.gene_names[gene]


def test_an_unknown_basis_is_refused():
    with pytest.raises(BadInput, match="did you mean"):
        symmetry("makehuman-mask-2")
