"""Masks are realized beside the search: what is new, once, and never in its way."""

from __future__ import annotations

import numpy as np
import pytest

from coordinator.mask_files import JOBS_OUT, MASKS_A_JOB, MaskFiles, forget_failures, put_job
from coordinator.queue.executor import Finished, LocalExecutor
from coordinator.record.record import Record
from coordinator.search.island import Generation
from coordinator.spec.spec import parse_spec
from services.recognition.fitness import Fitness, Objective
from services.shape.catalog import basis_info
from services.storage.open import open_store
from services.wire.jobs import Job, decode_job
from services.wire.mask import Mask
from services.wire.objects import batch_key, failures, record_failure
from services.wire.page_plan import PagePlan
from services.wire.plan import NOT_FINITE, Scores

GENES = len(basis_info("makehuman-mask-1").gene_names)
OBJECTIVES = (Objective("detect", "dlib-hog", 1.0, 0.0),)
SPEC = {
    "search": {"islands": 1, "population": 4, "generations": 4},
    "migration": {"every": 2, "count": 1},
    "objective": [{"kind": "detect", "model": "dlib-hog"}],
}


class Slow:
    """An executor that never gets to its jobs unless somebody waits."""

    def __init__(self, failing=False):
        self.asked, self.failing = [], failing

    def realize(self, job, origin, progress=None):
        self.asked.append(job)

    def realized(self, job, *, wait=False):
        return Finished(job, failed=self.failing) if wait else None


@pytest.fixture
def record(tmp_path):
    return Record(open_store(tmp_path, write=True))


def files(record, executor, masks="elites"):
    return MaskFiles(parse_spec({**SPEC, "store": {"masks": masks}}, "test"), record, OBJECTIVES, executor)


def ranked(name):
    return Mask(name, 0, 1, np.zeros(GENES, np.float32), 0.5, np.array([0.5], np.float32), 0.1)


def generation(number, count=4):
    fitness = np.linspace(0, 1, count).astype(np.float32)
    status = np.zeros(count, np.uint8)
    status[0] = NOT_FINITE
    flat = np.zeros(count, np.float32)
    scores = Scores(np.zeros((1, count, 1), np.float32), flat, status, flat, flat[:, None])
    result = Fitness(fitness, fitness[:, None], fitness[:, None, None])
    genomes = np.full((count, GENES), 0.1, np.float32)
    return Generation(0, number, genomes, ((),) * count, scores, result)


def asked(record, executor):
    store = record.store
    return [[m.id for m in decode_job(store.get(batch_key(j)), j).masks] for j in executor.asked]


def test_an_elite_is_asked_for_once(record):
    executor = Slow()
    shown = files(record, executor)
    shown.begin([ranked("i00-g0000-000")])
    shown.generation_done(generation(0))
    shown.epoch_done(0, [ranked("i00-g0000-000"), ranked("i00-g0001-002")])
    shown.epoch_done(1, [ranked("i00-g0001-002")])
    assert asked(record, executor) == [["i00-g0000-000", "i00-g0001-002"]]
    shown.finish()
    assert record.store.list("batches/") == []


def test_all_means_every_mask_that_could_be_scored(record):
    executor = Slow()
    shown = files(record, executor, "all")
    for number in (0, 1, 2):  # the third is of the next epoch
        shown.generation_done(generation(number))
    shown.epoch_done(0, [ranked("i00-g0001-003")])
    (names,) = asked(record, executor)
    assert names[0] == "i00-g0001-003"
    assert set(names) == {f"i00-g{g:04d}-{k:03d}" for g in (0, 1) for k in (1, 2, 3)}
    assert len(names) == 6


@pytest.fixture
def behind(record):
    """Two jobs more than may be under way, and workers that have got to none: the executor, and the files."""
    executor = Slow()
    shown = files(record, executor, "all")
    shown.generation_done(generation(0, MASKS_A_JOB * (JOBS_OUT + 2)))
    shown.epoch_done(0, [])
    assert len(executor.asked) == JOBS_OUT
    return executor, shown


def test_workers_that_are_behind_are_not_flooded(behind):
    executor, shown = behind
    shown.finish()
    assert len(executor.asked) == JOBS_OUT + 2


class Quick(Slow):
    """Workers that are done with a job as soon as somebody asks."""

    def realized(self, job, *, wait=False):
        return Finished(job)


def test_workers_that_keep_up_leave_nothing_waiting(record):
    executor = Quick()
    shown = files(record, executor, "all")
    for number in (0, 1):
        shown.generation_done(generation(number, MASKS_A_JOB * JOBS_OUT))
    shown.epoch_done(0, [])
    assert len(executor.asked) == 2 * JOBS_OUT
    shown.epoch_done(1, [])
    shown.finish()
    assert len(executor.asked) == 2 * JOBS_OUT  # nothing was left for the end
    assert record.store.list("batches/") == []


def test_workers_that_caught_up_are_asked_for_more_before_the_epoch_ends(behind):
    executor, shown = behind
    executor.realized = Quick().realized
    shown.generation_done(generation(2))
    assert len(executor.asked) == JOBS_OUT + 2


def test_what_failed_before_the_pictures_were_made_is_forgotten_and_no_batch_is(record):
    store = record.store
    wanted = (ranked("i00-g0000-000"),)
    basis = "makehuman-mask-1", basis_info("makehuman-mask-1").sha256
    pictures = put_job(record, Job(*basis, ("dlib-hog",), wanted, {}, PagePlan({}, {}, {})))
    masks = put_job(record, Job(*basis, ("dlib-hog",), wanted, {}))
    store.create(batch_key("b" * 40), b"no job")
    for name in (pictures, masks, "b" * 40, "c" * 40):
        record_failure(store, name, "Traceback\nOSError: no room")
    forget_failures(record)
    assert sorted(failures(store)) == sorted([masks, "b" * 40, "c" * 40])
    assert store.list("batches/") == sorted([batch_key(masks), batch_key("b" * 40)])


def test_a_mask_that_cannot_be_written_does_not_stop_the_search(record, caplog):
    executor = Slow(failing=True)
    shown = files(record, executor)
    shown.epoch_done(0, [ranked("i00-g0000-000")])
    shown.finish()
    assert "could not be written" in caplog.text
    assert len(record.store.list("batches/")) == 1  # for whoever looks into it


def test_on_one_machine_the_files_are_there_at_once(record):
    shown = files(record, LocalExecutor(record.store, None))
    shown.epoch_done(0, [ranked("i00-g0000-000")])
    assert record.store.list("masks/") == [
        "masks/i00-g0000-000/genome.json",
        "masks/i00-g0000-000/mask.glb",
    ]
    shown.finish()
    assert record.store.list("batches/") == record.store.list("scores/") == []
