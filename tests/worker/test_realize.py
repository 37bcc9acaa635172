"""Realize: the files that a run leaves, made by the real parts."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image as Pillow

from services.errors import BadInput
from services.recognition import catalog
from services.recognition.classical.cascade import ViolaJones
from services.recognition.dlib.audit import audit
from services.rendering.views import ViewRanges, sample_views
from services.shape.basis import load_basis
from services.shape.decode import Decoder
from services.storage.open import open_store
from services.wire.jobs import Job
from services.wire.mask import Mask
from services.wire.objects import write_target
from services.wire.page_plan import PagePlan
from worker.examination.controls import noise_of
from worker.exhibition.masks import audit_masks, views_of
from worker.eye import Eye

BASIS = load_basis("makehuman-mask-1")
GENES = len(BASIS.gene_names)
VIEWS = 4


def elite(name="i00-g0002-001", spread=0.2, seed=1):
    genome = np.random.default_rng(seed).normal(0, spread, GENES).astype(np.float32)
    return Mask(name, 0, 2, genome, 0.41, np.array([0.8, -np.inf], np.float32), 0.03)


CONTROLS = {"first": "i01-g0000-003", "noise": 6, "spread": 1.2, "limit": 1.5}
FIRST = np.random.default_rng(8).normal(0, 0.6, GENES).astype(np.float32)


def make(run, elites, target=None, critics=("viola-jones",), progress=None, **more):
    work = {
        "ranges": {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(ViewRanges()).items()},
        "held_out_views": VIEWS,
        "audit_seed": 11,
        "target": None if target is None else write_target(run, target),
        "critics": list(critics),
        **more,
    }
    labels = ("dlib-hog", "dlib-mmod")
    genomes = {CONTROLS["first"]: FIRST}
    job = Job(BASIS.id, BASIS.sha256, labels, tuple(elites), {}, PagePlan({}, genomes, work))
    return audit_masks(run, job, progress)


@pytest.fixture(scope="module")
def realized(tmp_path_factory):
    run = open_store(tmp_path_factory.mktemp("run"))
    first, second = elite(), elite("i01-g0001-004", 0.3, 2)
    target = np.random.default_rng(3).normal(0, 0.1, (2, 128)).astype(np.float32)
    told = []
    reports = make(run, [first, second], target, progress=lambda *step: told.append(step))
    return run, [first, second], reports, told


def test_every_promised_file_is_there_and_opens(realized):
    run, elites, _, _ = realized
    each = ("audit.json", "front.png", "genome.json", "mask.glb", "views.png")
    expected = {f"masks/{e.id}/{name}" for e in elites for name in each}
    expected |= {"audit.json"}
    assert {key for key in run.list() if not key.startswith("targets/")} == expected
    for key in expected:
        if key.endswith(".png"):
            with Pillow.open(io.BytesIO(run.get(key))) as picture:
                picture.load()
                assert min(picture.size) >= 360, key


def test_the_glb_and_the_genome_give_the_same_vertices(realized):
    run, elites, _, _ = realized
    for mask in elites:
        data = run.get(f"masks/{mask.id}/genome.json")
        weights = json.loads(data)["weights"]
        genome = np.array([weights[name] for name in BASIS.gene_names], np.float32)
        np.testing.assert_array_equal(genome, mask.genome)
        vertices = Decoder(BASIS).decode(torch.from_numpy(genome[None]))[0].numpy()
        loaded = trimesh.load(
            io.BytesIO(run.get(f"masks/{mask.id}/mask.glb")), file_type="glb", process=False
        )
        (mesh,) = loaded.geometry.values()
        assert len(mesh.faces) == len(BASIS.triangles)
        np.testing.assert_allclose(mesh.vertices, vertices, atol=1e-6)
        facts = json.loads(data)
        assert (facts["id"], facts["island"], facts["generation"]) == (mask.id, 0, 2)
        assert facts["basis"] == {"id": BASIS.id, "sha256": BASIS.sha256}
        assert facts["values"] == {"dlib-hog": pytest.approx(0.8), "dlib-mmod": None}


def test_the_audit_adds_up(realized):
    run, elites, reports, _ = realized
    assert [r.id for r in reports] == [e.id for e in elites]
    for report in reports:
        detected = [v for v in report.per_view if v["detected"]]
        assert report.views == len(report.per_view) == VIEWS
        assert report.hog_rate == len(detected) / VIEWS
        assert detected, "a nearly neutral mask is a face to HOG in some view"
        assert report.hog_median_score == pytest.approx(np.median([v["hog_score"] for v in detected]))
        assert report.distance_median == pytest.approx(np.median([v["distance"] for v in detected]))
        assert report.distance_below == {"0.6": 0.0, "0.45": 0.0}  # the target is random
        assert report.critics["viola-jones"] == np.mean(
            [v["critics"]["viola-jones"] for v in report.per_view]
        )
        if len(detected) > 1:
            assert 0 < report.self_distance_median <= report.self_distance_max < 1.2
        assert json.loads(run.get(f"masks/{report.id}/audit.json")) == {"format": 1, **asdict(report)}
    table = json.loads(run.get("audit.json"))
    assert (table["view_seed"], table["views"]) == (11, VIEWS)
    assert [row["hog_rate"] for row in table["masks"]] == [r.hog_rate for r in reports]
    assert "per_view" not in table["masks"][0]


def test_judges_and_critics_are_asked_at_the_runs_thresholds(tmp_path):
    run, said = open_store(tmp_path), {}
    for threshold in (-9.0, 1e9):
        more = {"judges": ["dlib-hog"], "thresholds": {"dlib-hog": threshold, "viola-jones": threshold}}
        (report,) = make(run, [elite()], **more)
        said[threshold] = {**report.judges, **report.critics}
    assert said[-9.0]["dlib-hog"] == 1.0
    assert said[1e9] == {"dlib-hog": 0.0, "viola-jones": 0.0}


def test_controls_are_what_machines_say_one_by_one(tmp_path):
    """Each picture drawn alone by the other way to the renderer, and asked about by itself."""
    run = open_store(tmp_path)
    (report,) = make(run, [elite()], critics=("viola-jones",), judges=["dlib-hog"], controls=CONTROLS)
    found = json.loads(run.get("audit.json"))["controls"]
    assert found["elite"] == report.id
    assert found["subjects"] == {
        "noise": "noise, spread 1.2",
        "first": "best of generation 0, i01-g0000-003",
        "neutral": "neutral head",
    }
    views, eye, cascade = sample_views(ViewRanges(), VIEWS, 11), Eye(BASIS), ViolaJones()
    noise = np.random.default_rng([11, 1]).standard_normal((6, GENES), dtype=np.float32) * np.float32(1.2)
    noise = np.clip(noise, -1.5, 1.5)
    shown = {
        "elite": [(elite().genome, k) for k in range(VIEWS)],
        "neutral": [(np.zeros(GENES, np.float32), k) for k in range(VIEWS)],
        "first": [(FIRST, k) for k in range(VIEWS)],
        "noise": [(genome, k % VIEWS) for k, genome in enumerate(noise)],  # each once, the views in turn
    }
    expected = {}
    for kind, pictures in shown.items():
        seen = {"audit": 0, "viola-jones": 0, "dlib-hog": 0}
        for genome, k in pictures:
            _, drawn = eye.every(genome[None], views.take(slice(k, k + 1)))
            image, box = drawn.images[0].numpy(), drawn.box_px[0].numpy()
            seen["audit"] += audit(image, None, box)[0].detected
            seen["viola-jones"] += cascade.detect(image, box)[0].accepted
            score = catalog.detector("dlib-hog").score(drawn.images[0], drawn.box_px[0]).score
            seen["dlib-hog"] += float(score[0]) > 0
        expected[kind] = {machine: (hits, len(pictures)) for machine, hits in seen.items()}
    told = {
        kind: {row["machine"]: (row[kind]["hits"], row[kind]["trials"]) for row in found["rows"]}
        for kind in shown
    }
    assert told == expected
    assert expected["neutral"]["audit"][0] > expected["noise"]["audit"][0]  # it can tell them apart
    assert report.judges == {"dlib-hog": expected["elite"]["dlib-hog"][0] / VIEWS}


def test_controls_are_the_same_for_one_seed_and_none_where_none_are_wanted(tmp_path):
    told = []
    for name, more in (("one", {"controls": CONTROLS}), ("two", {"controls": CONTROLS}), ("none", {})):
        run = open_store(tmp_path / name)
        target = np.random.default_rng(3).normal(0, 0.1, (2, 128)).astype(np.float32)
        make(run, [elite()], target, critics=(), **more)
        told.append(json.loads(run.get("audit.json"))["controls"])
    assert told[0] == told[1]
    assert told[2] is None
    asked = [(row["machine"], row["what"], row["threshold"]) for row in told[0]["rows"]]
    assert asked == [
        ("audit", "detect", ""),
        ("audit", "match", "below 0.6"),
        ("audit", "match", "below 0.45"),
    ]


def test_fewer_noise_masks_than_views_are_spread_over_them():
    views = sample_views(ViewRanges(), 20, 1)
    for count in (5, 20, 45):
        subject = noise_of(np.random.default_rng(0), GENES, count, 1.2, 3.0)
        taken = views_of(subject, views).yaw_deg
        assert len(taken) == count
        assert len(set(taken.tolist())) == min(count, 20)
        assert np.abs(taken[: min(count, 20)].mean()) < 8  # from one end of the range to the other


def test_progress_counts_to_the_end_of_each_stage(realized):
    _, _, _, told = realized
    for stage in ("masks", "audit"):
        steps = [(done, total) for name, done, total in told if name == stage]
        assert steps == [(k + 1, len(steps)) for k in range(len(steps))]
        assert steps


def test_the_same_run_gives_the_same_bytes_without_a_target(tmp_path):
    one, two = open_store(tmp_path / "one"), open_store(tmp_path / "two")
    (report,) = make(one, [elite()], critics=())
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        make(two, [elite()], critics=())
    finally:
        torch.set_num_threads(before)
    assert report.distance_median is None
    assert report.distance_below is None
    assert report.critics == {}
    assert one.list() == two.list()
    front = f"masks/{report.id}/front.png"  # OpenGL's own threads draw it: alike, not always to the bit
    assert [k for k in one.list() if one.get(k) != two.get(k) and k != front] == []
    first, second = (np.array(Pillow.open(io.BytesIO(s.get(front))), int) for s in (one, two))
    assert np.abs(first - second).mean() < 0.05


def test_no_elites_and_bad_ids_are_refused_before_anything_is_written(tmp_path):
    run = open_store(tmp_path)
    with pytest.raises(BadInput, match="no elite"):
        make(run, [])
    for name in ("../out", "/etc/x", "a/b", "", ".hidden", "x\ny", "..\\x", "a/../../b"):
        with pytest.raises(BadInput):
            make(run, [elite(name)])
    with pytest.raises(BadInput, match="one name a mask"):
        make(run, [elite(), elite()])
    assert run.list() == []
    assert list(tmp_path.parent.glob("out*")) == []


def test_genomes_and_critics_that_cannot_be_used_are_named(tmp_path):
    run = open_store(tmp_path)
    good = elite()
    with pytest.raises(BadInput, match=good.id):
        make(run, [replace(good, genome=good.genome[:-1])])
    with pytest.raises(BadInput, match="finite"):
        make(run, [replace(good, genome=np.full(GENES, np.nan, np.float32))])
    with pytest.raises(BadInput, match="critic"):
        make(run, [good], critics=("dlib-landmarks-5",))
    with pytest.raises(BadInput, match="viola-jones"):
        make(run, [good], critics=("viola-jnes",))
    assert run.list() == []
