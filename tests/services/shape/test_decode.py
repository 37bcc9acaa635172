"""Decoding against a plain NumPy reference, and what signed genes and batches promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from services.errors import BadInput
from services.shape.decode import Decoder


def reference(basis, genome):
    vertices = basis.neutral.astype(np.float64)
    for weight, positive, negative in zip(genome, basis.positive, basis.negative, strict=True):
        vertices = vertices + (weight * positive if weight > 0 else -weight * negative)
    return vertices


def noise(count, genes, seed=7):
    return np.random.default_rng(seed).normal(0, 1.2, (count, genes)).astype(np.float32)


def test_matches_the_sum_over_genes(basis, decoder):
    genomes = noise(5, len(basis.gene_names))
    expected = np.stack([reference(basis, genome) for genome in genomes])
    decoded = decoder.decode(torch.from_numpy(genomes)).numpy()
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, expected, atol=2e-7)  # meters


def test_no_weight_is_the_neutral_mask(basis, decoder):
    zeros = torch.zeros(2, len(basis.gene_names))
    assert np.array_equal(decoder.decode(zeros).numpy(), np.stack([basis.neutral] * 2))


def test_a_weight_of_plus_or_minus_one_is_that_side_s_target(basis, decoder):
    gene = basis.gene_names.index("nose-hump-decr|incr")
    genomes = torch.zeros(2, len(basis.gene_names))
    genomes[0, gene], genomes[1, gene] = 1, -1
    up, down = decoder.decode(genomes).numpy() - basis.neutral
    np.testing.assert_allclose(up, basis.positive[gene], atol=1e-7)
    np.testing.assert_allclose(down, basis.negative[gene], atol=1e-7)
    # MakeHuman's two sides are not each other's mirror, so a gene cannot be one displacement with a sign.
    assert np.abs(basis.positive[gene] + basis.negative[gene]).max() > 1e-3


def test_a_target_without_partner_is_mirrored(basis):
    for name in ("head-oval", "chin-triangle"):
        gene = basis.gene_names.index(name)
        assert np.array_equal(basis.positive[gene], -basis.negative[gene])


def test_left_and_right_genes_are_apart_and_mirror_each_other(basis, mirror):
    left, right = (basis.gene_names.index(f"{side}-eye-scale-decr|incr") for side in "lr")
    swapped = basis.positive[left][mirror] * (-1, 1, 1)
    np.testing.assert_allclose(swapped, basis.positive[right], atol=1.5e-4)  # MakeHuman rounds to 0.1 mm
    assert (
        basis.neutral[np.abs(basis.positive[left]).max(axis=1) > 1e-3, 0].min() > 0
    )  # the figure's left: +X


def test_every_gene_moves_the_mask_and_none_carries_it_away(basis):
    for side in (basis.positive, basis.negative):
        length = np.linalg.norm(side, axis=2)
        assert length.max(axis=1).min() > 2e-4
        assert length.max() < 0.04
    # head-trans-* only move the head as a whole; where a mask stands is the camera's affair.
    assert not [name for name in basis.gene_names if name.startswith(("head-trans", "ear", "asym-ear"))]


def test_a_genome_s_shape_does_not_depend_on_its_neighbors(basis, decoder):
    genomes = torch.from_numpy(noise(16, len(basis.gene_names)))
    others = torch.from_numpy(noise(16, len(basis.gene_names), seed=8))
    mixed = torch.cat([genomes[:8], others[8:]])
    assert torch.equal(decoder.decode(genomes)[:8], decoder.decode(mixed)[:8])
    alone = torch.cat([decoder.decode(genome[None]) for genome in genomes])
    assert torch.equal(alone, decoder.decode(genomes))
    many = decoder.decode(torch.cat([genomes] * 3))
    torch.testing.assert_close(many[32:], decoder.decode(genomes), atol=2e-7, rtol=0)
    assert decoder.decode(genomes[:0]).shape == (0, len(basis.neutral), 3)


def test_a_genome_that_is_not_finite_spoils_only_itself(basis, decoder):
    genomes = torch.from_numpy(noise(3, len(basis.gene_names)))
    clean = decoder.decode(genomes)
    genomes[1, 4] = float("nan")
    spoiled = decoder.decode(genomes)
    assert not torch.isfinite(spoiled[1]).any()
    assert torch.equal(spoiled[[0, 2]], clean[[0, 2]])


@pytest.mark.parametrize("shape", [(3,), (2, 5)])
def test_a_wrong_shape_is_refused(decoder, shape):
    with pytest.raises(BadInput, match=r"expected \(n, 138\)"):
        decoder.decode(torch.zeros(shape))


def test_vertex_faces_lists_exactly_the_faces_around_each_vertex(basis, decoder):
    count = len(basis.triangles)
    around = [[] for _ in basis.neutral]
    for face, triangle in enumerate(basis.triangles.tolist()):
        for vertex in triangle:
            around[vertex].append(face)
    for row, faces in zip(decoder.vertex_faces.tolist(), around, strict=True):
        assert row[: len(faces)] == faces
        assert set(row[len(faces) :]) <= {count}


def test_landmark_indices_follow_the_names(basis, decoder):
    names = ["chin", "left_pupil"]
    assert decoder.landmark_indices(names).tolist() == [basis.landmarks[name] for name in names]
    with pytest.raises(BadInput, match="no landmark 'ear'"):
        decoder.landmark_indices(["chin", "ear"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_agrees_with_the_cpu(basis, decoder):
    genomes = torch.from_numpy(noise(4, len(basis.gene_names)))
    on_gpu = Decoder(basis, "cuda").decode(genomes).cpu()
    torch.testing.assert_close(on_gpu, decoder.decode(genomes), atol=5e-6, rtol=0)
