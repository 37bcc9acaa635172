"""Jobs to realize masks: written down and read back, done once, refused by strangers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from coordinator.mask_files import exhibit_elites
from coordinator.queue.executor import LocalExecutor
from services.errors import BadInput, CorruptData
from services.shape.catalog import basis_info
from services.storage.open import open_store
from services.wire.jobs import Answer, AuditReport, Job, decode_answer, decode_job
from services.wire.mask import Mask
from services.wire.objects import attempts, batch_key, scores_key
from services.wire.page_plan import PagePlan
from services.wire.pin import Refused
from services.wire.plan import batch_id
from tests.support import runs
from worker.evaluate import Summary
from worker.exhibition.job import realize_job

BASIS = basis_info("makehuman-mask-1")
GENES = len(BASIS.gene_names)
LABELS = ("dlib-mmod", "dlib-hog")


def mask(name="i00-g0002-001", genes=GENES):
    genome = np.random.default_rng(1).normal(0, 0.2, genes).astype(np.float32)
    return Mask(name, 0, 2, genome, 0.41, np.array([-np.inf, 0.8], np.float32), 0.03)


def job(*masks, **changes):
    return replace(Job(BASIS.id, BASIS.sha256, LABELS, masks or (mask(),), {}), **changes)


def put(run, wanted):
    data = wanted.encoded()
    run.create(batch_key(batch_id(data)), data)
    return batch_id(data)


def test_a_job_comes_back_as_it_was_written():
    page = PagePlan({"name": "x"}, {"i00-g0000-003": mask().genome}, {"audit_seed": 3})
    wanted = job(mask(), mask("i01-g0000-000"), models={"dlib-hog": "00"}, page=page)
    found = decode_job(wanted.encoded(), "here")
    assert found.encoded() == wanted.encoded()
    assert [m.id for m in found.masks] == ["i00-g0002-001", "i01-g0000-000"]
    np.testing.assert_array_equal(found.masks[0].values, mask().values)
    assert found.labels == LABELS  # captions keep the spec's order
    assert (found.page.facts, found.page.work) == (page.facts, page.work)
    np.testing.assert_array_equal(found.page.genomes["i00-g0000-003"], mask().genome)
    assert decode_job(job().encoded(), "here").page is None


def test_answers_come_back():
    report = AuditReport(
        "i00-g0002-001", 1, 1.0, 0.4, {"viola-jones": 1.0}, None, None, None, None, [{"a": 1}]
    )
    answer = Answer((report,), "no room for the film")
    assert decode_answer(answer.encoded(), "here") == answer
    with pytest.raises(CorruptData, match="here"):
        decode_answer(b"nothing", "here")


def test_hostile_and_foreign_jobs_are_refused():
    with pytest.raises(BadInput, match="one name a mask"):
        job(mask("a/b")).encoded()
    with pytest.raises(BadInput):
        job(mask("..")).encoded()
    with pytest.raises(BadInput, match="no elite"):
        replace(job(), masks=()).encoded()
    data = bytearray(job().encoded())
    data[-3] ^= 1
    with pytest.raises(CorruptData, match="here"):
        decode_job(bytes(data), "here")


def test_a_job_writes_meshes_once(tmp_path):
    run = open_store(tmp_path, write=True)
    name = put(run, job())
    assert realize_job(run, name) == Summary(name, "scored")
    assert run.list("masks/") == ["masks/i00-g0002-001/genome.json", "masks/i00-g0002-001/mask.glb"]
    assert json.loads(run.get("masks/i00-g0002-001/genome.json"))["values"]["dlib-mmod"] is None
    assert decode_answer(run.get(scores_key(name)), "here") == Answer()
    assert realize_job(run, name).outcome == "known"
    assert realize_job(run, "0" * 40).outcome == "gone"


def test_a_machine_with_other_parts_refuses(tmp_path):
    run = open_store(tmp_path, write=True)
    for wanted, word in (
        (job(basis_sha256="0" * 64), "basis makehuman-mask-1"),
        (job(models={"dlib-hog": "0" * 64}), "model dlib-hog"),
    ):
        with pytest.raises(Refused, match=word):
            realize_job(run, put(run, wanted))
    assert run.list("failures/") == []


def test_a_page_that_fails_leaves_the_run_done(tmp_path, caplog):
    grown = runs.grow(tmp_path / "run", generations=5, elites=1, islands=1)
    run, opened = grown.record.store, grown.opened
    run.create("film.mp4/in-the-way", b"")  # no film can be written: a folder has its name
    given = (opened.spec, grown.record, opened.objectives, LocalExecutor(run, None), grown.elites)
    (report,) = exhibit_elites(*given)
    assert report.id == grown.elites[0].id
    (said,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert said.endswith(f"datamask exhibit {run.url}")
    assert "film.mp4" in said
    assert "\n" not in said
    assert run.exists(f"masks/{report.id}/audit.json")
    assert not run.exists("report.html")


def test_bytes_under_another_id_are_not_believed(tmp_path):
    run = open_store(tmp_path, write=True)
    run.create(batch_key("1" * 40), job().encoded())
    with pytest.raises(CorruptData, match="another batch"):
        realize_job(run, "1" * 40)
    assert attempts(run, "1" * 40) == 0
