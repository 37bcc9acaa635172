"""Photographs on a gallery's wall: the same again, lit as they should be, a visitor in the mirror."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from coordinator.cli import app
from coordinator.record.chronicle import Chronicle
from services.errors import BadInput, Unavailable
from services.exhibition import path_tracer
from services.exhibition.path_tracer import PathShot, load_mitsuba, photograph, shell
from services.exhibition.studio import Studio
from services.exhibition.visitor import visitor
from services.rendering.rig import MATERIALS
from services.shape.basis import load_basis
from tests.support import runs
from worker.exhibition.exhibit import Options, exhibit

BASIS = load_basis("makehuman-mask-1")


@pytest.fixture(scope="module")
def neutral():
    return Studio(BASIS.triangles, directions=8, shadow_px=16, finer=1).light(np.array(BASIS.neutral))


@pytest.fixture
def mitsuba():
    return pytest.importorskip("mitsuba", reason="pip install mitsuba")


def test_without_mitsuba_there_is_one_line_that_says_how_to_get_it(tmp_path, monkeypatch):
    grown = runs.grow(tmp_path / "run", generations=1, elites=1, islands=1)
    monkeypatch.setitem(sys.modules, "mitsuba", None)
    load_mitsuba.cache_clear()
    try:
        told = CliRunner().invoke(app, ["exhibit", grown.record.url, "--renderer", "path"])
    finally:
        load_mitsuba.cache_clear()
    assert isinstance(told.exception, Unavailable)
    assert "pip install mitsuba" in str(told.exception)
    assert not [key for key in grown.record.store.list("masks/") if "still" in key]


@pytest.mark.parametrize("bad", [{"width_px": 20}, {"samples": 0}, {"width_px": 5000}])
def test_a_shot_that_cannot_be_taken_is_refused(bad):
    with pytest.raises(BadInput, match="expected"):
        PathShot(**bad)


def test_a_shell_is_closed_and_as_thick_as_asked(neutral):
    triangles = neutral.finer.triangles.numpy()
    normals = neutral.normals.numpy() / np.linalg.norm(neutral.normals.numpy(), axis=1, keepdims=True)
    points, turned, corners = shell(neutral.centered.numpy(), normals, triangles, 0.002)
    # The edge's vertices are the rim's twice over: by their places each side has its opposite.
    _, same = np.unique(points, axis=0, return_inverse=True)
    sides = same.reshape(-1)[corners][:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    key = np.sort(sides[:, 0] * len(points) + sides[:, 1])
    np.testing.assert_array_equal(key, np.sort(sides[:, 1] * len(points) + sides[:, 0]))
    a, b, c = points[corners].astype(np.float64).transpose(1, 0, 2)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)[: len(triangles)].sum() / 2
    volume = (a * np.cross(b, c)).sum() / 6
    assert volume == pytest.approx(0.002 * area, rel=0.1)
    edge = slice(2 * len(normals), None)
    np.testing.assert_allclose(np.linalg.norm(turned[edge], axis=1), 1, atol=1e-3)
    outward = turned[edge][:, :2] * points[edge][:, :2]  # a mask's outer rim looks away from its middle
    assert np.median(outward.sum(axis=1)) > 0


def test_a_visitor_stands_on_the_floor_and_looks_at_the_wall():
    parts = visitor()
    everything = np.concatenate([part.points for part in parts.values()])
    assert everything[:, 1].min() == pytest.approx(0, abs=0.03)
    assert 1.6 < everything[:, 1].max() < 1.8
    nose = parts["face"].points[BASIS.landmarks["nose_tip"]]
    assert nose[2] < parts["hair"].points[:, 2].min()


def test_one_seed_gives_one_picture_and_it_tells_how_far_it_is(mitsuba, neutral):
    told = []
    first = photograph(neutral, PathShot(64, 2), lambda *words: told.append(words))
    again, other = photograph(neutral, PathShot(64, 2)), photograph(neutral, PathShot(64, 2, seed=2))
    assert first.shape == (92, 64, 3)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert told[0][1:] == (0, 2)
    assert told[-1][1:] == (2, 2)


def test_white_nylon_hangs_before_a_darker_wall_with_its_shadow_to_the_right(mitsuba, neutral):
    picture = photograph(neutral, PathShot(96, 8)).astype(float).mean(axis=2)
    height, width = picture.shape
    mask = picture[int(0.40 * height) : int(0.46 * height), int(0.35 * width) : int(0.5 * width)].mean()
    beside = picture[int(0.5 * height) : int(0.8 * height)]
    left, right = beside[:, : width // 12].mean(), beside[:, -width // 8 :].mean()
    assert mask > 1.3 * left
    assert left > 1.2 * right


def test_a_mirror_shows_who_stands_before_it(mitsuba, neutral, monkeypatch):
    shot = PathShot(96, 4, material=MATERIALS["mirror"])
    with_visitor = photograph(neutral, shot).astype(float)
    monkeypatch.setattr(path_tracer, "_visitor", lambda *_: {})
    alone = photograph(neutral, shot).astype(float)
    middle = (slice(40, 100), slice(30, 66))
    changed = np.abs(with_visitor - alone).max(axis=2) > 25
    assert changed[middle].mean() > 0.02
    assert changed[:, :8].mean() < 0.005  # the wall is where it was


def test_a_run_gets_a_still_of_each_mask_and_one_of_the_room(mitsuba, tmp_path):
    grown = runs.grow(tmp_path / "run", generations=1, elites=1, islands=1)
    options = Options(film_px=96, stills=PathShot(64, 1), material="plaster")
    keys = exhibit(grown.record.store, Chronicle(grown.record).plan(), options)
    best = grown.elites[0].id
    assert {f"masks/{best}/still-plaster.png", f"masks/{best}/still-room.png"} <= set(keys)
    pictures = []
    for name in ("plaster", "room"):
        with Image.open(io.BytesIO(grown.record.store.get(f"masks/{best}/still-{name}.png"))) as picture:
            assert picture.size == (64, 92)
            assert picture.info["dpi"][0] == pytest.approx(9, abs=0.5)  # 64 pixels on 18 cm
            pictures.append(np.asarray(picture).astype(int))
    assert np.abs(pictures[0] - pictures[1]).mean() > 3
