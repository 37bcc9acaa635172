"""Pictures of masks of every basis: each shows the whole mask, whatever noise made of it."""

from __future__ import annotations

import numpy as np
import pytest

from services.exhibition.archive_sheet import _POSE as ARCHIVE_POSE
from services.exhibition.facts import decoded
from services.exhibition.film import POSE
from services.exhibition.lineup import FRONT, POSES, lineup, shared_field_mm
from services.exhibition.press import plate
from services.exhibition.studio import Pose, Studio, dressed
from services.rendering.beauty import DISTANCE_M, Shot, torch_shot
from services.shape.basis import load_basis
from services.shape.catalog import BASES, basis_ids
from services.shape.paint import bytes_of, display_colors

SWING = tuple(Pose(float(yaw), -2.0) for yaw in (-82, -60, -40, -20, 0, 20, 40, 60, 82))


def strong_noise(basis_id, count=2):
    """Noise of twice the usual spread, as far as genes may go."""
    basis = load_basis(basis_id)
    drawn = np.random.default_rng(5).normal(0, 2 * basis.facts.spread, (count, len(basis.gene_names)))
    return np.clip(drawn, -basis.facts.limit, basis.facts.limit).astype(np.float32)


def studio_of(basis):
    return Studio(basis.triangles, basis.facts.center_m, directions=24, shadow_px=32)


def border(picture):
    return np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])


@pytest.mark.parametrize("basis_id", basis_ids())
def test_strong_noise_leaves_the_border_of_every_picture_empty(basis_id):
    basis, genomes = load_basis(basis_id), strong_noise(basis_id)
    lit = [studio_of(basis).light(decoded(basis, genome)) for genome in genomes]
    for poses in ((FRONT,), POSES, (POSE,), (ARCHIVE_POSE,), SWING):
        field = shared_field_mm(lit, poses)
        for mask in lit:
            for pose in poses:
                alpha = mask.shoot(pose, 72, field, samples=1)[..., 3]
                assert alpha.max() == 255
                assert border(alpha).max() == 0, (poses, pose)
                # No wider than it has to be, but for masks that are smaller than usual.
                assert field <= max(232.0, 1.09 * max(m.least_field_mm(poses) for m in lit))


@pytest.mark.parametrize("basis_id", BASES)
def test_strong_noise_leaves_the_border_of_its_portrait_and_its_plate_empty(basis_id):
    basis, genome = load_basis(basis_id), strong_noise(basis_id)[0]
    vertices = decoded(basis, genome)
    mask = studio_of(basis).light(vertices)
    shot = Shot(
        size_px=64,
        field_mm=shared_field_mm([mask], [FRONT], DISTANCE_M),
        center_m=basis.facts.center_m,
    )
    nothing = torch_shot(vertices * np.float32(1e-6), basis.triangles, shot)
    shown = torch_shot(vertices, basis.triangles, shot)
    np.testing.assert_array_equal(border(shown), border(nothing))
    assert (shown != nothing).any(axis=2).mean() > 0.15
    assert plate(mask, size_mm=(9, 13), dpi=300).shape == (154, 106, 3)


@pytest.mark.parametrize("basis_id", basis_ids())
def test_a_line_up_of_every_basis_stands_about_its_center(basis_id):
    basis, genome = load_basis(basis_id), strong_noise(basis_id, 1)[0]
    colors = None
    if len(basis.colors):
        colors = bytes_of(display_colors(genome[None], basis.colors))
    (mask,) = dressed([studio_of(basis).light(decoded(basis, genome))], colors)
    assert mask.center_m == basis.facts.center_m
    eyes, center = (lineup([mask], level=level, width_px=600) for level in ("the eyes", "the center"))
    assert eyes.shape == center.shape
    assert (eyes != center).any()  # what the ruler counts from is said
