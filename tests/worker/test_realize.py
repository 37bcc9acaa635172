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
from services.rendering.views import ViewRanges
from services.shape.basis import load_basis
from services.shape.decode import Decoder
from services.storage.open import open_store
from services.wire.jobs import Job
from services.wire.mask import Mask
from services.wire.objects import write_target
from services.wire.page_plan import PagePlan
from worker.exhibition.masks import audit_masks

BASIS = load_basis("makehuman-mask-1")
GENES = len(BASIS.gene_names)
VIEWS = 4


def elite(name="i00-g0002-001", spread=0.2, seed=1):
    genome = np.random.default_rng(seed).normal(0, spread, GENES).astype(np.float32)
    return Mask(name, 0, 2, genome, 0.41, np.array([0.8, -np.inf], np.float32), 0.03)


def make(run, elites, target=None, critics=("viola-jones",), progress=None):
    work = {
        "ranges": {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(ViewRanges()).items()},
        "held_out_views": VIEWS,
        "audit_seed": 11,
        "target": None if target is None else write_target(run, target),
        "critics": list(critics),
    }
    labels = ("dlib-hog", "dlib-mmod")
    job = Job(BASIS.id, BASIS.sha256, labels, tuple(elites), {}, PagePlan({}, {}, work))
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
