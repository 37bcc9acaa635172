"""Where machines see eyes on masks that know no such places: the head's own, and in noise nowhere."""

from __future__ import annotations

import numpy as np
import pytest

from services.printing.catalog import make_order
from services.printing.openings import known_places, seen_places
from services.printing.solid import make_wall
from services.rendering.camera import cameras, project
from services.rendering.views import sample_views
from services.shape.basis import load_basis
from worker.examination.sites import NEAR_MM, RANGES, _agreed, _Surface, find_sites
from worker.eye import Eye

HEAD = load_basis("makehuman-mask-1")
OVAL = load_basis("blank-oval-1")
EYES = np.array([[-0.03, 0.0, 0.0], [0.03, 0.0, 0.0]])


def said(*shifts_mm):
    """Places of as many machines, each with its eyes shifted up."""
    lifted = [EYES + np.array([0.0, mm / 1e3, 0.0]) for mm in shifts_mm]
    return {
        f"machine {k}": dict(zip(("left_pupil", "right_pupil"), e, strict=True)) for k, e in enumerate(lifted)
    }


def test_on_the_neutral_head_machines_agree_and_see_its_own_eyes():
    sites = find_sites(Eye(HEAD), np.zeros(len(HEAD.gene_names), np.float32))
    assert set(sites.agreeing) == set(sites.seen) == set(sites.apart_mm)
    assert "put the eyes within" in sites.words
    for name in ("left_pupil", "right_pupil", "nose_tip", "mouth_left", "mouth_right", "nose_base"):
        apart = np.linalg.norm(sites.at[name] - HEAD.neutral[HEAD.landmarks[name]])
        assert apart < 0.010, name
    assert sites.told()["at_mm"]["nose_tip"] == pytest.approx(1e3 * sites.at["nose_tip"], abs=0.06)


def test_in_noise_on_a_blank_there_are_none():
    noise = np.random.default_rng(1).normal(0, 1.2, len(OVAL.gene_names)).astype(np.float32)
    sites = find_sites(Eye(OVAL), noise)
    assert sites.at == {}
    assert sites.agreeing == ()
    assert max(sites.seen.values()) < 0.5
    assert "no machine" in sites.words


def test_a_place_is_carried_back_to_where_it_was_seen():
    views = sample_views(RANGES, 4, 3)
    shape = np.asarray(OVAL.neutral, np.float64)
    shown = Eye(OVAL).renderer.triangle_map(Eye(OVAL).vertices(np.zeros((1, 160), np.float32)), views)[0]
    cams = cameras(views)
    surface = _Surface(shape, OVAL.triangles.astype(np.int64), shown.numpy(), cams, OVAL.facts.center_m)
    wanted = shape[[1000, 1592, 2000]]
    points, _ = project(wanted, cams, OVAL.facts.center_m)
    there = np.array([True, True, False, True])
    found = surface.places(points.astype(np.float32), there)
    np.testing.assert_allclose(found, wanted, atol=5e-4)
    beside = surface.places(np.full((4, 1, 2), 3.0, np.float32), there)  # on the wall behind the mask
    assert np.isnan(beside).all()


def test_machines_agree_where_most_see_the_eyes_in_one_place():
    both = _agreed({}, said(0.0, 4.0))
    assert both.apart_mm == {"machine 0": 2.0, "machine 1": 2.0}
    np.testing.assert_allclose(both.at["left_pupil"], EYES[0] + [0, 0.002, 0])
    outvoted = _agreed({}, said(0.0, 2.0, 60.0))
    assert outvoted.agreeing == ("machine 0", "machine 1")
    np.testing.assert_allclose(outvoted.at["right_pupil"], EYES[1] + [0, 0.001, 0])
    assert "2 of 3 machines" in outvoted.words
    for apart, words in (((0.0, 2.5 * NEAR_MM), "do not agree"), ((0.0,), "nobody else"), ((), "no machine")):
        none = _agreed({}, said(*apart))
        assert none.at == {}
        assert words in none.words


def test_nostrils_by_what_machines_see_are_where_the_heads_own_are():
    wall = make_wall(HEAD.neutral, HEAD.triangles, make_order(width_mm=140.0), 2.0)
    own = known_places(wall, HEAD.landmarks)
    names = ("left_pupil", "right_pupil", "nose_tip", "mouth_left", "mouth_right")
    at = seen_places(wall, {name: HEAD.neutral[HEAD.landmarks[name]].astype(np.float64) for name in names})
    for side in ("left", "right"):
        assert np.linalg.norm((at[f"{side}_nostril"] - own[f"{side}_nostril"])[:2]) < 4.0  # as seen
        assert np.linalg.norm(at[f"{side}_eye_inner"] - own[f"{side}_eye_inner"]) < 4.0
    assert seen_places(wall, {}) == {}
