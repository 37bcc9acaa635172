"""Blanks: shells without a face, whose noise is as high everywhere, and what may be chosen of them."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from coordinator.spec.spec import parse_spec
from services.errors import BadInput
from services.shape.basis import load_basis
from services.shape.builders import blank
from services.shape.catalog import BASES, basis_info, facts_of, packed_basis, with_color, with_edge
from services.shape.character import character, mirror_map
from services.shape.decode import Decoder
from services.shape.paint import SKIN_SRGB
from services.shape.variant import Variant

BLANKS = [each.id for each in blank.BLANKS]
FLIP = np.array([-1.0, 1.0, 1.0])


def noise(basis_id, count, seed=0):
    genes = len(basis_info(basis_id).gene_names)
    return np.random.default_rng(seed).normal(0, 1.2, (count, genes)).astype(np.float32)


@pytest.mark.parametrize("basis_id", BLANKS)
def test_a_blank_is_small_symmetric_and_stands_around_its_center(basis_id):
    basis = load_basis(basis_id)
    assert len(basis.neutral) <= 10_000
    assert len((BASES[basis_id].folder / f"{basis_id}.npz").read_bytes()) < 2_000_000
    mirror_map(basis.neutral)  # raises where it is not symmetric
    middle = (basis.neutral.max(axis=0) + basis.neutral.min(axis=0)) / 2
    np.testing.assert_allclose(middle, basis.facts.center_m, atol=1e-6)
    a, b, c = basis.neutral[basis.triangles].transpose(1, 0, 2).astype(np.float64)
    assert (np.cross(b - a, c - a)[:, 2] > 0).all()  # it looks at the camera throughout
    assert not basis.facts.face
    assert dict(basis.landmarks) == {}


@pytest.mark.parametrize("basis_id", BLANKS)
def test_each_mode_is_even_or_odd_as_its_facts_say_and_they_go_from_coarse_to_fine(basis_id):
    basis, sides = load_basis(basis_id), facts_of(basis_id).symmetry
    twin = mirror_map(basis.neutral)
    for moved, sign in zip(basis.positive, sides.sign, strict=True):
        np.testing.assert_allclose(moved[twin] * FLIP, sign * moved, atol=5e-5)
        assert np.abs(moved).max() > 3e-4
    waves = [float(name.split("-")[1]) for name in basis.gene_names]
    assert waves == sorted(waves)
    assert (sides.sign > 0).sum() == len(sides.free) == blank.EVEN


@pytest.mark.parametrize("basis_id", BLANKS)
def test_noise_is_as_high_everywhere_but_for_the_rim_which_is_left_to_the_spec(basis_id):
    inward = packed_basis(basis_id).inward
    for edge in (0.0, 0.35, 1.0):
        basis = load_basis(with_edge(basis_id, edge))
        rms = np.sqrt((basis.positive.astype(np.float64) ** 2).sum(axis=(0, 2)))
        np.testing.assert_allclose(rms[inward == 1], blank.RELIEF_M, rtol=0.02)
        np.testing.assert_allclose(rms[inward == 0], edge * blank.RELIEF_M, rtol=0.02, atol=1e-9)
    assert facts_of(basis_id).edge == 0.35
    np.testing.assert_array_equal(
        load_basis(with_edge(basis_id, 0.35)).positive, load_basis(basis_id).positive
    )


@pytest.mark.parametrize("basis_id", BLANKS)
def test_the_measures_are_what_the_decoded_vertices_say(basis_id):
    basis, genomes = load_basis(basis_id), noise(basis_id, 4)
    moved = Decoder(basis).decode(torch.from_numpy(genomes)).numpy().astype(np.float64) - basis.neutral
    found = character(basis_id, genomes)
    assert facts_of(basis_id).measure_names == ("relief", "asymmetry", "roughness")
    np.testing.assert_allclose(found[:, 0], 1e3 * np.sqrt((moved**2).sum(axis=2).mean(axis=1)), rtol=1e-3)
    corners = basis.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    one, two = np.unique(np.sort(corners, axis=1), axis=0).T
    lengths = np.linalg.norm(basis.neutral[one].astype(np.float64) - basis.neutral[two], axis=1)
    slope = np.sqrt((((moved[:, one] - moved[:, two]) / lengths[:, None]) ** 2).sum(axis=2).mean(axis=1))
    np.testing.assert_allclose(found[:, 2], 0.1 * slope / (found[:, 0] / 1e3) / (2 * np.pi), rtol=1e-3)
    even = facts_of(basis_id).symmetry.unfolded(facts_of(basis_id).symmetry.folded(genomes))
    assert character(basis_id, even)[:, 1].max() < 0.1 < character(basis_id, genomes)[:, 1].min()
    assert character(basis_id, np.zeros_like(genomes)).max() == 0


@pytest.mark.parametrize("basis_id", BLANKS)
def test_pigment_is_noise_in_color_with_no_regions(basis_id):
    plain, painted = load_basis(basis_id), load_basis(with_color(basis_id))
    assert painted.id == f"{basis_id}+pigment-1"
    assert painted.gene_names[: len(plain.gene_names)] == plain.gene_names
    assert painted.sha256 != plain.sha256
    cover = painted.colors.cover.astype(np.float64)
    for field in blank_fields(painted):
        np.testing.assert_allclose((cover[field] ** 2).sum(axis=0), 1.0, atol=1e-5)
    twin, sides = mirror_map(plain.neutral), facts_of(painted.id).symmetry
    signs = sides.sign[len(plain.gene_names) :]
    np.testing.assert_allclose(cover[:, twin], signs[:, None] * cover, atol=0.02)
    colors = Decoder(painted).colors(torch.from_numpy(noise(painted.id, 16))).numpy()
    assert 0.05 < (colors.mean(axis=2) / np.mean(SKIN_SRGB)).std() < 0.5


def blank_fields(painted):
    names = [name.split("-")[0] for name in painted.colors.names]
    return [np.array([name == field for name in names]) for field in ("light", "red", "yellow")]


@pytest.mark.parametrize("shell", blank.BLANKS, ids=lambda shell: shell.id)
def test_the_files_are_what_the_builder_makes(shell):
    packed, shipped = blank.build(shell), packed_basis(shell.id)
    assert packed.header == shipped.header
    np.testing.assert_allclose(packed.neutral, shipped.neutral, atol=2e-7)
    np.testing.assert_array_equal(packed.triangles, shipped.triangles)
    # Another computer's linear algebra ends in other last bits: by a step of 0.02 mm at most. And where two
    # peaks of a wave are equally high, they decide which is up: a wave is one with either sign.
    made, there = packed.heights.astype(np.int64), shipped.heights.astype(np.int64)
    up = np.sign((made * there).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(up * made, there, atol=1)
    data = (BASES[shell.id].folder / f"{shell.id}.npz").read_bytes()
    assert hashlib.sha256(data).hexdigest() == BASES[shell.id].sha256


def test_ids_are_read_as_they_are_written():
    for text in ("blank-oval-1", "blank-oval-1+edge-0", "blank-oval-1+edge-100+pigment-1", "x+paint-1"):
        assert Variant.of(text).id == text
    for text in (
        "blank-oval-1+",
        "blank-oval-1+edge-101",
        "blank-oval-1+pigment-1+edge-3",
        "a+edge-03",
        "a+b",
    ):
        assert Variant.of(text) is None


SPEC = {"objective": [{"kind": "detect", "model": "dlib-hog"}]}


def test_a_spec_chooses_rim_and_color_and_reads_what_it_wrote():
    given = {**SPEC, "mask": {"basis": "blank-egg-1", "edge": 1.0, "color": True}, "archive": True}
    spec = parse_spec(given, "spec")
    assert spec.mask.basis == "blank-egg-1+edge-100+pigment-1"
    assert spec.archive.measures == ["relief", "asymmetry", "roughness"]
    assert parse_spec(spec.table(), "again") == spec
    assert parse_spec({**given, "pareto": {}}, "spec").pareto.aims == ["fitness", "relief"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask": {"edge": 0.5}}, "the rim of 'makehuman-mask-1' is as it is.*'blank-oval-1' or"),
        ({"mask": {"basis": "blank-oval-1", "edge": 1.5}}, "edge"),
        ({"mask": {"basis": "blank-oval"}}, "did you mean 'blank-oval-1'"),
        ({"mask": {"basis": "blank-oval-1+paint-1"}}, "there is no basis"),
        ({"mask": {"basis": "blank-oval-1"}, "archive": {"measures": ["expression"]}}, "'relief', 'asym"),
        ({"mask": {"basis": "blank-oval-1"}, "pareto": {"aims": ["fitness", "abstraction"]}}, "abstraction"),
    ],
)
def test_what_a_basis_does_not_have_is_refused_in_one_line(changes, message):
    with pytest.raises(BadInput, match=message) as refused:
        parse_spec({**SPEC, **changes}, "spec.toml")
    assert "\n" not in str(refused.value)
