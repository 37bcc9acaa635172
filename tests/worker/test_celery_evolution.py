"""A whole small evolution on real worker processes gives the bytes that the local executor gives."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from dataclasses import replace

import pytest

from coordinator.queue.celery_executor import CeleryExecutor
from coordinator.queue.executor import LocalExecutor
from coordinator.record.record import Record
from coordinator.run import evolve_run, open_run
from coordinator.spec.spec import parse_spec
from services.errors import Unavailable
from services.storage.open import open_store
from services.wire import pin
from services.wire.app import make_app
from services.wire.bells import Bell, bell_list, decode_bell
from services.wire.messages import SCORE, Work
from services.wire.objects import MAX_ATTEMPTS, attempts, batch_key, scores_key
from worker.evaluate import Evaluator
from worker.hooks import MAX_DEATHS, deaths_key

SPEC = {
    "name": "tiny",
    "seed": 11,
    "search": {"islands": 2, "population": 4, "generations": 2},
    "migration": {"every": 2, "count": 1},
    "views": {"count": 2, "size_px": 96},
    "elites": {"count": 2, "candidates": 2, "ranking_views": 2},
    "objective": [{"kind": "detect", "model": "dlib-hog"}],
}


def evolved(store, name, make_executor):
    """Checkpoint hashes by key of one run of SPEC."""
    run = store.sub(name)
    record = Record(run)
    opened = open_run(parse_spec(SPEC, "test"), record, resume=False)
    executor = make_executor(run)
    try:
        evolve_run(opened, executor, [], lambda evolution: None)
    finally:
        executor.close()
        record.close()
    keys = run.list("checkpoints/")
    assert keys
    return {key: hashlib.sha256(run.get(key)).hexdigest() for key in keys}


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path / "runs", write=True)


@pytest.fixture
def local(store):
    return evolved(store, "local", lambda run: LocalExecutor(run, Evaluator("cpu")))


@pytest.mark.slow
def test_same_bytes_as_local_though_a_worker_is_killed(redis_server, start_worker, store, local):
    first, second = start_worker(), start_worker()
    first.wait_ready()
    second.wait_ready()

    def kill_one_at_work():
        run = store.sub("cluster")
        while not run.list("scores/"):
            time.sleep(0.02)
        first.kill()

    killer = threading.Thread(target=kill_one_at_work, daemon=True)
    killer.start()

    def on_workers(run):
        # What the killed worker held comes back by the coordinator's own deadline, not by Redis's.
        return CeleryExecutor(run, store.url, "cluster", redis_server.url, resend_s=4.0)

    assert evolved(store, "cluster", on_workers) == local
    killer.join(10)
    assert not killer.is_alive()
    assert pin.pinned(store.sub("cluster")) == Evaluator("cpu").fingerprint()
    assert "run cluster, island 0, generation 1, batch 1/1: scored, 8 views" in second.text()
    assert second.stop() == 0


def test_what_workers_refuse_and_what_they_survive(redis_server, start_worker, store):
    run = store.sub("portrait-001")
    batch = "c" * 40
    work = Work(store.url, "portrait-001", batch)
    executor = CeleryExecutor(run, store.url, "portrait-001", redis_server.url)
    worker = start_worker()
    worker.wait_ready()
    send = make_app(redis_server.url).send_task
    with redis_server.client() as client:

        def bell():
            for _ in range(10):  # the first batch loads the networks, on cores that others use as well
                if found := client.brpop([bell_list(work)], timeout=4):
                    return replace(decode_bell(found[1]), seconds=0.0)
            return None

        # What is no message, or makes no sense, is dropped; the worker goes on.
        noise = [b"noise", b"\xff", b"null", b"[]", b'{"task": "masks.score.4"}', b"[" * 100_000]
        client.rpush(SCORE, *noise)
        send(SCORE, kwargs={**work.kwargs(), "run": "../../etc"}, queue=SCORE)
        send(SCORE, kwargs=work.kwargs(), queue=SCORE)
        assert bell() == Bell(batch, "gone")
        assert worker.text().count("message dropped: ") == len(noise) + 1
        assert "Traceback" not in worker.text()

        # A damaged batch is nobody's failure, and the coordinator hears why.
        run.create(batch_key(batch), b"not a batch")
        send(SCORE, kwargs=work.kwargs(), queue=SCORE)
        heard = bell()
        assert heard.outcome == "trouble"
        assert batch in heard.detail
        assert run.list("failures/") == []

        # Scores that are there are not made again.
        run.create(scores_key(batch), b"scores")
        send(SCORE, kwargs=work.kwargs(), queue=SCORE)
        assert bell() == Bell(batch, "known")
        assert run.get(scores_key(batch)) == b"scores"

        # A batch that killed one process after another is set aside instead of going round for ever.
        killer = "d" * 40
        run.create(batch_key(killer), b"whatever kills")
        count = deaths_key(Work(store.url, "portrait-001", killer))
        client.set(count, MAX_DEATHS)
        send(SCORE, kwargs={**work.kwargs(), "batch": killer}, queue=SCORE)
        assert bell() == Bell(killer, "failed")
        assert attempts(run, killer) == MAX_ATTEMPTS
        assert not client.exists(count)

        # A stack that killed one is not tried again: its batches are.
        stack = "s" + killer
        client.set(deaths_key(Work(store.url, "portrait-001", stack)), 1)
        send(SCORE, kwargs={**work.kwargs(), "batch": stack}, queue=SCORE)
        assert bell() == Bell(stack, "apart")

        # A worker of another kind is refused with the difference.
        other = store.sub("other")
        pin.pin(other, {**Evaluator("cpu").fingerprint(), "torch": "1.0"})
        work = Work(store.url, "other", batch)
        send(SCORE, kwargs=work.kwargs(), queue=SCORE)
        heard = bell()
        assert heard.outcome == "refused"
        assert "torch: the run has 1.0" in heard.detail
    executor.close()
    assert worker.stop() == 0


def test_a_worker_whose_library_is_broken_is_in_trouble_and_fails_no_batch(
    redis_server, start_worker, store, tmp_path
):
    library = tmp_path / "broken" / "numba"
    library.mkdir(parents=True)
    library.joinpath("__init__.py").write_text("open_library = None\nopen_library.path  # as if half updated")
    paths = [str(library.parent), *filter(None, [os.environ.get("PYTHONPATH")]), os.getcwd()]
    start_worker(environment={"PYTHONPATH": os.pathsep.join(paths)}).wait_ready()

    def on_workers(run):
        return CeleryExecutor(run, store.url, "cluster", redis_server.url, trouble_s=1.0)

    with pytest.raises(Unavailable, match=r"AttributeError at __init__\.py:2: 'NoneType'.*--resume"):
        evolved(store, "cluster", on_workers)
    assert store.sub("cluster").list("failures/") == []
    assert store.sub("cluster").list("checkpoints/") == []
