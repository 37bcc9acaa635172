"""A run on a blank from its first batch to its solid, by the command line: nothing in it asks for a head."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
import tomli_w
from PIL import Image as Pillow
from typer.testing import CliRunner

from coordinator.cli import app
from coordinator.record.chronicle import Chronicle
from coordinator.record.record import Record
from services.errors import BadInput
from services.exhibition.credits import Credits
from services.exhibition.facts import with_shapes
from services.exhibition.page import page
from services.exhibition.wording import english
from services.storage.open import open_store
from worker.exhibition.pack import show_of

SPEC = {
    "name": "blank",
    "seed": 11,
    "mask": {"basis": "blank-oval-1", "color": True},
    "search": {"islands": 1, "population": 8, "generations": 3, "optimizers": ["sep-cma"]},
    "migration": {"count": 0},
    "views": {"count": 2, "size_px": 112},
    "elites": {"count": 2, "ranking_views": 2},
    "verify": {"views": 4},
    "archive": {"on": True},
    "objective": [{"kind": "detect", "model": "dlib-hog"}],
}


def told(*words):
    """What a command prints. Its errors are the test's."""
    done = CliRunner().invoke(app, list(words), catch_exceptions=True)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def blank(tmp_path_factory):
    """The store of a run that is done, and the id of its best mask."""
    folder = tmp_path_factory.mktemp("blank")
    (folder / "spec.toml").write_text(tomli_w.dumps(SPEC))
    said = told("evolve", str(folder / "spec.toml"), "--store", str(folder), "--run", "run", "--quiet")
    assert "not all of its pictures" not in said
    store = open_store(folder / "run")
    return store, Chronicle(Record(store)).plan().facts["masks"][0]["id"]


def facts_in(data):
    text = re.search(rb'<script type="application/json" id="facts">(.*?)</script>', data, re.S)
    return json.loads(text[1])


def test_it_leaves_every_picture_and_a_page_that_speaks_of_a_blank(blank):
    store, mask = blank
    for key in ("lineup.png", "composite.png", "filmstrip.png", "archive.png", f"masks/{mask}/front.png"):
        with Pillow.open(io.BytesIO(store.get(key))) as picture:
            picture.load()
    facts = facts_in(store.get("report.html"))
    asked = facts["asked"]
    assert (asked["title"], asked["zero"], asked["face"]) == ("an oval shell", "the blank", False)
    assert facts["mesh"]["center_m"] == [0.0, 0.0, 0.0]
    assert next(m["name"] for m in facts["archive"]["measures"]) == "relief"
    assert all(view["own_points_px"] == [] for view in facts["masks"][0]["received"])
    assert len(facts["masks"][0]["received"]) == 3
    live = with_shapes(Chronicle(Record(store)).plan(), store, {})  # what watch serves
    assert live["mesh"]["center_m"] == [0.0, 0.0, 0.0]
    assert b"data-live" in page(live, live=True)


def test_labels_and_texts_do_not_speak_of_a_head(blank):
    store, _ = blank
    show = show_of(store, Chronicle(Record(store)).plan().facts, Credits(), english())
    labels = [line for label in show.labels for line in label.lines]
    texts = [show.story.short, show.story.medium, *show.story.long]
    for text in (*labels, *texts):
        assert not re.search(r"\bhead\b", text)
    assert any("random waves on an oval shell, which has no face" in text for text in texts)


def test_show_and_pull_take_it_as_any_run(blank, tmp_path):
    store, _ = blank
    assert json.loads(told("show", store.url, "--json"))["state"] == "done"
    told("pull", store.url, str(tmp_path / "copy"))
    assert open_store(tmp_path / "copy").get("report.html") == store.get("report.html")


def test_mesh_and_gaze_carry_its_shape_its_basis_and_its_licence(blank, tmp_path):
    store, mask = blank
    told("mesh", store.url, mask, "--out", str(tmp_path / "mask.glb"))
    told("gaze", store.url, "--mask", mask, "--model", "dlib-hog", "--views", "1")
    for data in ((tmp_path / "mask.glb").read_bytes(), store.get(f"masks/{mask}/gaze-dlib-hog.glb")):
        length = int.from_bytes(data[12:16], "little")
        extras = json.loads(data[20 : 20 + length])["asset"]["extras"]
        assert extras["basis"] == "blank-oval-1+pigment-1"
        assert extras["licence"] == "CC0-1.0"
    with Pillow.open(io.BytesIO(store.get(f"masks/{mask}/gaze-dlib-hog.png"))) as picture:
        shown = np.asarray(picture.convert("RGB")).astype(int)
    sides = shown[118:538, 72:-72]  # between title and scale
    assert sides.shape[1] == 3 * 420
    assert np.abs(sides[0] - sides[0, 0]).max() < 12  # the border is the wall's: no crown is cut off
    assert np.abs(sides[-1] - sides[-1, 0]).max() < 12


def test_it_prints_and_the_card_says_whether_machines_agree_where_the_eyes_are(blank, tmp_path):
    store, mask = blank
    words = ("--width-mm", "90", "--wall-mm", "3", "--voxel-mm", "1.5", "--force")
    said = told("print", store.url, *words, "--out", str(tmp_path))
    report = json.loads((tmp_path / mask / f"{mask}.print.json").read_text())
    assert set(report["sites"]["seen"]) == {"yunet", "centerface", "blazeface-full", "dlib-hog"}
    assert report["licence"] == "CC0-1.0"
    assert f"eyes: {report['sites']['words']}" in " ".join(said.split())
    cut = [words for words in report["openings"] if "pupil" in words]
    if report["sites"]["at_mm"]:
        assert cut or any("pupil" in words for words in report["not_made"])
    else:
        assert cut == []
        assert f"eyes and nostrils: not cut, {report['sites']['words']}" in report["not_made"]
    assert (tmp_path / mask / f"{mask}.caption.pdf").read_bytes().startswith(b"%PDF-")


def test_breeding_goes_on_from_its_masks(blank, tmp_path):
    store, mask = blank
    changes = ("--set", "search.generations=1", "--set", "verify.views=1", "--quiet", "--no-pictures")
    told("breed", store.url, mask, "--store", str(tmp_path), "--run", "bred", *changes)
    assert Chronicle(Record(open_store(tmp_path / "bred"))).plan().facts["masks"]


def test_what_needs_a_face_at_zero_is_refused_in_one_line(blank, tmp_path):
    store, _ = blank
    with pytest.raises(BadInput, match=r"calibrate needs a basis with a face at zero.*makehuman-mask-1"):
        told("calibrate", "dlib-resnet", "--run", store.url, "--out", str(tmp_path / "calibration"))
    spec = {**SPEC, "objective": [*SPEC["objective"], {"kind": "correlate", "model": "otsdf"}]}
    (tmp_path / "spec.toml").write_text(tomli_w.dumps(spec))
    with pytest.raises(BadInput, match="'correlate' without images needs a basis with a face") as fault:
        told("evolve", str(tmp_path / "spec.toml"), "--store", str(tmp_path), "--quiet")
    assert "\n" not in str(fault.value)
