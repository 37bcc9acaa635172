"""Verification: machines that took no part, beside controls, and never a face that nobody saw."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from coordinator.cli.verify import gap_lines
from services.errors import BadInput
from services.recognition.catalog import model_info
from services.recognition.statistics.calibration import PERSON, RENDERS, Calibration, measure_set, shipped
from services.rendering.views import ViewRanges
from services.shape.catalog import basis_info
from services.storage import open_store
from worker.examination.identify import Gallery, identify
from worker.examination.match_rates import cuts_of, gap, likeness, matched, matched_row, person_pairs
from worker.examination.panel import AUDIT, Panel
from worker.examination.photographs import photo_entries
from worker.examination.stills import stills, stills_for_people
from worker.examination.targets import build_filter, embed_photos
from worker.examination.verify import Claim, subjects_of, verify
from worker.eye import Pictures

BASIS = "makehuman-mask-1"
GENES = len(basis_info(BASIS).gene_names)
MASK = "i00-g0002-001"
VIEWS = 4


def claim(**changes):
    genome = np.random.default_rng(1).normal(0, 0.2, GENES).astype(np.float32)
    given = {
        "basis": BASIS,
        "elites": [(MASK, genome)],
        "ranges": ViewRanges(yaw_deg=(-15, 15)),
        "spread": 1.2,
        "seed": 11,
        "fitted": ("dlib-hog", "dlib-resnet"),
        "critics": ("viola-jones",),
    }
    return Claim(**{**given, **changes})


def calibration(spread=0.4, probe=(0.0,) * 128):
    rng = np.random.default_rng(0)
    pairs = measure_set(RENDERS, spread, rng.normal(0.6, 0.05, 3000), rng.normal(0.4, 0.05, 50), 0.6)
    info = model_info("dlib-resnet")
    return Calibration("dlib-resnet", info.sha256, False, "in words", probe, (pairs,), {})


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """An archetype's verification with a gallery and a photograph of the 'printed' mask."""
    run = open_store(tmp_path_factory.mktemp("run"))
    run.put("calibration/dlib-resnet.json", calibration().encoded())
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(skimage.data.astronaut()[0:260, 100:360]).save(folder / "face.png")
    Image.new("RGB", (300, 300)).save(folder / "dark.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    Image.new("RGB", (900, 10)).save(folder / "thin.png")  # which dlib-mmod would refuse
    photos = {MASK: sorted(folder.iterdir())}
    return run, verify(run, claim(), VIEWS, 10, photos, [folder / "face.png", folder / "dark.png"])


def test_a_critic_that_is_not_here_has_its_place_in_the_table_and_no_figure(tmp_path):
    asked = claim(fitted=("dlib-hog",), critics=(), absent={"facenet": "datamask models --get facenet"})
    said = verify(open_store(tmp_path), asked, VIEWS, 0)
    assert "facenet: not run, for its weights are not here: datamask models --get facenet" in said["warnings"]
    rows = [row for row in said["rows"] if row["machine"] == "facenet"]
    assert {row["what"] for row in rows} == {"not run"}
    assert [row["subject"] for row in rows] == list(dict.fromkeys(r["subject"] for r in said["rows"]))
    assert not any("rate" in row or "matches" in row for row in rows)
    assert said["gap"]["detect"]["critic"] is None


def test_a_correlation_filter_says_how_often_it_sees_its_reference(tmp_path):
    run = open_store(tmp_path)
    said = verify(run, claim(fitted=("dlib-hog",), critics=("otsdf",)), VIEWS, 0)
    rows = {r["subject"]: r["rate"] for r in said["rows"] if r["what"] == "correlate"}
    assert set(rows) == {MASK, "neutral head", "random heads, spread 0.4", "noise, spread 1.2"}
    # Without a reference of the run's own it is the neutral head's: nobody is more like it than itself.
    assert rows["neutral head"]["share"] == max(rate["share"] for rate in rows.values()) > 0
    assert said["gap"]["correlate"] == {"fitted": None, "critic": rows[MASK]["share"], "gap": None}


def test_a_fitted_filter_compares_with_what_the_search_compared_with(tmp_path):
    size = build_filter([], "otsdf", BASIS).shape
    nothing = {"otsdf": np.random.default_rng(0).normal(size=size).astype(np.float32)}
    given = claim(fitted=("dlib-hog", "otsdf"), critics=(), filters=nothing)
    said = verify(open_store(tmp_path), given, VIEWS, 0)
    rates = [r["rate"]["share"] for r in said["rows"] if r["what"] == "correlate"]
    assert rates == [0.0] * 4  # a filter of noise: the neutral head is no longer what it looks for
    assert gap_lines(said)[-1].startswith("Fitted models answer to their reference in 0%")


def test_every_machine_is_asked_about_every_subject(found):
    run, said = found
    assert json.loads(run.get("verify/verify.json")) == said
    assert run.list("verify/") == ["verify/identification.png", "verify/rates.png", "verify/verify.json"]
    subjects = [MASK, "neutral head", "random heads, spread 0.4", "noise, spread 1.2"]
    detected = {(r["subject"], r["machine"]): r for r in said["rows"] if r["what"] == "detect"}
    assert set(detected) == {(s, m) for s in subjects for m in ("dlib-hog", AUDIT, "viola-jones")}
    matched_rows = {(r["subject"], r["machine"]): r for r in said["rows"] if r["what"] == "match"}
    assert set(matched_rows) == {(s, m) for s in subjects for m in ("dlib-resnet", AUDIT)}
    for row in detected.values():
        assert row["rate"]["trials"] == VIEWS
        assert row["rate"]["low"] <= row["rate"]["share"] <= row["rate"]["high"]
    for row in matched_rows.values():
        assert [m["far"] for m in row["matches"]] == [1e-2, 1e-3, None]
        assert {m["rate"]["trials"] for m in row["matches"]} == {VIEWS // 2}
        # A view in which the audit saw no face was not embedded, and its pair was not compared.
        assert row["compared"] * 2 <= detected[row["subject"], AUDIT]["rate"]["hits"]
    # A nearly neutral head is a face, noise is none; a face that nobody saw matches nobody.
    assert detected[MASK, AUDIT]["rate"]["share"] > detected["noise, spread 1.2", AUDIT]["rate"]["share"]
    assert matched_rows["noise, spread 1.2", AUDIT]["compared"] == 0
    assert {m["rate"]["hits"] for m in matched_rows["noise, spread 1.2", AUDIT]["matches"]} == {0}


def test_controls_are_asked_about_like_the_elites_and_told_beside_them(tmp_path):
    """The first generation's best is the elite itself here, so that every machine says the same of both."""
    asked = claim(critics=("viola-jones",), fitted=("dlib-hog",), noise=5)
    asked = replace(asked, first=("i01-g0000-003", asked.elites[0][1]))
    said = verify(open_store(tmp_path), asked, VIEWS, 0)
    controls = said["controls"]
    assert controls["elite"] == MASK
    assert controls["subjects"]["first"] == "best of generation 0, i01-g0000-003"
    rates = {(r["subject"], r["machine"]): r["rate"] for r in said["rows"] if r["what"] == "detect"}
    assert {row["machine"] for row in controls["rows"]} == {"dlib-hog", AUDIT, "viola-jones"}
    for row in (row for row in controls["rows"] if row["what"] == "detect"):
        assert row["elite"] == rates[MASK, row["machine"]]
        assert {k: v for k, v in row["first"].items() if k != "more"} == row["elite"]
        assert row["first"]["more"]["share"] == 0
        assert row["noise"]["trials"] == 10  # two views of each of five masks, for four views are too few
        assert row["neutral"]["trials"] == VIEWS


def test_a_blank_has_no_neutral_and_no_random_heads(tmp_path):
    basis = "blank-oval-1"
    genome = np.full(len(basis_info(basis).gene_names), 0.2, np.float32)
    asked = claim(basis=basis, elites=[(MASK, genome)], fitted=("dlib-hog",), critics=(), spread=1.0)
    assert [(s.name, s.kind) for s in subjects_of(asked, 2)] == [
        (MASK, "elite"),
        ("blank", "neutral"),
        ("noise, spread 1", "noise"),
    ]
    said = verify(open_store(tmp_path), asked, 2, 0)
    assert said["controls"]["rows"][0]["neutral"]["hits"] == 0


def test_the_gap_is_that_of_the_elites_rows(found):
    _, said = found
    rows = [r for r in said["rows"] if r["subject"] == MASK and r["what"] == "detect"]
    own = {r["machine"]: r["rate"]["share"] for r in rows}
    assert said["gap"]["detect"] == {
        "fitted": own["dlib-hog"],
        "critic": own["viola-jones"],
        "gap": own["dlib-hog"] - own["viola-jones"],
    }
    assert said["gap"]["match"]["critic"] is None
    assert said["gap"]["match"]["gap"] is None


def test_a_calibration_of_another_alignment_is_called_stale(found):
    _, said = found
    assert any("another alignment" in line for line in said["warnings"])


def test_masks_are_searched_in_a_gallery_and_extrapolation_is_labelled(found):
    _, said = found
    search = said["identification"]
    assert (search["enrolled"], search["photos"]) == (11, 1)  # ten rendered people, one usable photo
    assert len(search["left_out"]) == 1
    assert "no face" in search["left_out"][0]
    for rate in search["rates"]:
        assert [p["size"] for p in rate["strangers"]] == [10, 11]
        assert rate["extrapolated"]["size"] == 52_000_000
        assert "not measured" in rate["extrapolated"]["formula"]
    shown = search["masks"][MASK]["candidates"]
    assert [c["rank"] for c in shown] == [1, 2, 3, 4, 5]
    assert [c["score"] for c in shown] == sorted(c["score"] for c in shown)


def test_photographs_of_the_object_are_judged_apart(found):
    _, said = found
    (row,) = said["photographs"]
    assert (row["mask"], row["photographs"]) == (MASK, 2)
    assert row["detected"]["audit"]["hits"] == 1
    broken, thin = row["left_out"]
    assert "broken.jpg" in broken
    assert "thin.png: 900 x 10 pixels" in thin


def test_a_target_is_matched_view_by_view_and_the_most_alike_reference_counts():
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(4, 128)).astype(np.float32)
    embeddings[3] = np.nan
    target = np.stack([embeddings[0] + 0.01, embeddings[1] - 0.01]).astype(np.float32)
    cuts = cuts_of(model_info("dlib-resnet"), calibration(), True, 0.4)
    row = matched_row(embeddings, target, "euclidean", cuts)
    assert row["compared"] == 3
    assert [(m["rate"]["hits"], m["rate"]["trials"]) for m in row["matches"]] == [(2, 4)] * 3
    none = matched(np.full(3, np.nan), cuts)
    assert (none["compared"], none["median"]) == (0, None)
    uncalibrated = cuts_of(model_info("dlib-resnet"), None, True, 0.4)
    assert [(c.far, c.threshold) for c in uncalibrated.cuts] == [(None, 0.6)]
    assert uncalibrated.pairs == ""
    assert gap([])["detect"] == {"fitted": None, "critic": None, "gap": None}


def test_who_passes_for_a_person_is_counted_against_that_person():
    rng = np.random.default_rng(2)
    info = model_info("dlib-resnet")
    others = rng.normal(0, 0.05, (400, 128)).astype(np.float32)
    person = rng.normal(0, 0.05, (2, 128)).astype(np.float32)
    pairs = person_pairs(info, others, person, 0.4)
    assert (pairs.kind, pairs.impostor_pairs) == (PERSON, 400)
    assert [r.needed for r in pairs.refused] == [3000, 30_000]  # 400 heads carry no smaller FAR
    distances = np.linalg.norm(others[:, None] - person[None], axis=2).min(axis=1)  # the nearest photograph
    np.testing.assert_allclose(likeness(others, person, "euclidean"), distances, rtol=1e-6)
    cuts = cuts_of(info, calibration(), True, 0.4, pairs)
    assert [(c.far, c.name) for c in cuts.cuts] == [(1e-2, "FAR 0.01"), (None, "published 0.6")]
    assert (distances < cuts.cuts[0].threshold).sum() == 4
    assert cuts.pairs == "other heads against this person's photographs, spread 0.4"
    assert person_pairs(info, others[:20], person, 0.4) is None  # too few for any FAR
    assert person_pairs(info, others[:0], person, 0.4) is None
    fallen_back = cuts_of(info, calibration(), True, 0.4, None)
    assert fallen_back.pairs == "render-render, spread 0.4"


def test_a_portrait_is_matched_at_its_person_s_own_threshold(tmp_path, monkeypatch):
    run = open_store(tmp_path / "run")
    # As of a recognizer that somebody brought and nobody calibrated.
    monkeypatch.setattr("worker.examination.verify.calibration_of", lambda run, model: None)
    Image.fromarray(skimage.data.astronaut()[0:260, 100:360]).save(tmp_path / "face.png")
    target = embed_photos([tmp_path / "face.png"])
    told = []
    given = claim(targets={"dlib-resnet": target}, critics=())
    said = verify(run, given, 2, 300, progress=lambda what, done, of: told.append((what, done, of)))
    found = said["calibration"]["dlib-resnet"]
    assert found["pairs"] == "other heads against this person's photographs, spread 0.4"
    assert [cut["far"] for cut in found["cuts"]] == [1e-2, None]
    # Rendered heads are less like a photograph than like each other: the person's threshold is the laxer one.
    between_renders = shipped("dlib-resnet").nearest(RENDERS, 0.4).thresholds[0]
    assert found["cuts"][0]["threshold"] > between_renders.threshold
    assert ("gallery", 300, 300) in told
    assert said["warnings"] == []
    rows = [r for r in said["rows"] if r["what"] == "match"]
    assert {m["threshold"] for r in rows for m in r["matches"]} == {c["threshold"] for c in found["cuts"]}


def test_the_target_comes_first_where_a_mask_is_the_person():
    rng = np.random.default_rng(1)
    people = rng.normal(size=(12, 128)).astype(np.float32)
    gallery = Gallery(people, tuple(f"rendered {k}" for k in range(12)), 12)
    masks = {"a": np.stack([people[5] + 0.01, people[5] - 0.01]), "b": np.full((2, 128), np.nan, np.float32)}
    strangers = rng.normal(size=(30, 128)).astype(np.float32)
    (pairs,) = calibration().sets
    said = identify(gallery, strangers, masks, 5, pairs, "euclidean")
    assert said["masks"]["a"]["candidates"][0]["entry"] == "rendered 5"
    assert said["masks"]["a"]["target_ranks"] == [1, 1]
    assert said["masks"]["b"] == {"searches": 0, "candidates": [], "target_ranks": None}
    for rate in said["rates"]:
        assert {p["rate"]["hits"] for p in rate["strangers"]} == {0}
        assert {p["rate"]["hits"] for p in rate["masks"]} == {0}  # the target is no false positive


def test_what_cannot_be_verified_is_refused_before_anything_is_written(tmp_path):
    run = open_store(tmp_path)
    for changes, views, says in (
        ({"elites": []}, 4, "no elite"),
        ({}, 3, "even"),
        ({"critics": ("dlib-hog",)}, 4, "took|take no part"),
        ({"critics": ("dlib-landmarks-5",)}, 4, "critic"),
        ({"critics": ("viola-jnes",)}, 4, "viola-jones"),
    ):
        with pytest.raises(BadInput, match=says):
            verify(run, claim(**changes), views)
    with pytest.raises(BadInput, match="--gallery 9: expected 0"):
        verify(run, claim(), 4, gallery=9)
    assert run.list() == []


def test_nothing_is_embedded_where_nothing_was_seen():
    panel = Panel(BASIS, ["dlib-resnet"], {}, "cpu")
    gray = torch.full((3, 160, 160, 3), 120, dtype=torch.uint8)
    boxes = torch.tensor([[0.0, 0.0, 160.0, 160.0]]).repeat(3, 1)
    said = panel.ask(Pictures(gray, torch.full((3, 5, 2), 80.0), boxes))
    assert not said.detected[AUDIT].any()
    assert np.isnan(said.embeddings["dlib-resnet"]).all()
    assert np.isnan(said.embeddings[AUDIT]).all()
    assert photo_entries([]) == ([], [], [])


def test_stills_are_large_and_of_every_subject():
    drawn = stills(claim(), 2, 5, size_px=200)
    controls = ["neutral head", "random heads, spread 0.4", "noise, spread 1.2"]
    assert [s.subject for s in drawn[::2]] == [MASK, *controls]
    assert all(s.pixels.shape == (200, 200, 3) for s in drawn)
    assert not np.array_equal(drawn[0].pixels, drawn[1].pixels)


def test_people_see_as_many_controls_of_each_kind_as_elites():
    drawn = stills_for_people(claim(), 2, 5, size_px=64)
    kinds = [still.kind for still in drawn]
    assert {kind: kinds.count(kind) for kind in ("elite", "twin", "noise", "head")} == dict.fromkeys(
        ("elite", "twin", "noise", "head"), kinds.count("elite")
    )
    masks = {still.kind: still.mask for still in drawn}
    assert masks["elite"] == MASK
    assert masks["twin"] == f"twins of {MASK}, 1"
    assert all(still.pixels.shape == (64, 64, 3) for still in drawn)
