"""Workers that are stopped, killed or hang: their batch goes on elsewhere. Sleepers stand in for scorers."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest

from coordinator.queue.celery_executor import CeleryExecutor
from coordinator.queue.executor import Finished
from coordinator.run import objectives_of, plan_of
from coordinator.spec.spec import parse_spec
from services.errors import Unavailable
from services.storage.open import open_store
from services.wire.bells import bell_list, connect, decode_bell
from services.wire.messages import REALIZE, SCORE, Origin, Work
from services.wire.objects import scores_key
from services.wire.plan import Batch, batch_id
from worker.hooks import deaths

SPEC = {
    "search": {"islands": 1, "population": 4, "generations": 1},
    "views": {"count": 2},
    "objective": [{"kind": "detect", "model": "dlib-hog"}],
}


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path / "runs", write=True)


@pytest.fixture
def submitted(redis_server, store):
    """One batch that waits in the queue: the executor, and what the batch is."""
    spec = parse_spec(SPEC, "test")
    plan = plan_of(spec, objectives_of(spec, [None]))
    batch = Batch(plan, np.zeros((4, 3), np.float32), 1, 2)
    data = batch.encoded()
    executor = CeleryExecutor(store.sub("run"), store.url, "run", redis_server.url, resend_s=120.0)
    executor.submit(batch_id(data), Origin(island=0, generation=0, number=1, of=1), batch)
    executor._send_ready(wait=True)
    yield executor, Work(store.url, "run", batch_id(data))
    executor.close()


def eventually(true, timeout_s=30.0):
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def sleepers(start_worker, sleep_s, *words):
    worker = start_worker(
        *words, module="bench.sleepers", environment={"DATAMASK_BENCH_SLEEP_S": f"{sleep_s}"}
    )
    worker.wait_ready()
    return worker


def in_hand(client):
    """Messages that a worker has taken and not acknowledged."""
    return client.hlen("unacked")


def test_a_worker_that_must_go_gives_its_batch_back(redis_server, start_worker, store, submitted):
    executor, work = submitted
    worker = sleepers(start_worker, 60, "--grace-s", "0.5")
    with redis_server.client() as client:
        eventually(lambda: in_hand(client) == 1)
        assert client.llen(SCORE) == 0
        os.kill(worker.pid, signal.SIGQUIT)
        worker.wait()
        assert (client.llen(SCORE), in_hand(client)) == (1, 0), worker.text()
        assert deaths(client, work) == 0  # it was told to stop: nobody's fault
        assert store.sub("run").list("failures/") == []
        sleepers(start_worker, 0)
        assert executor.wait() == Finished(work.batch, 8)


def test_a_worker_that_may_take_its_time_ends_its_batch(redis_server, start_worker, store, submitted):
    executor, work = submitted
    worker = sleepers(start_worker, 1.5)
    with redis_server.client() as client:
        eventually(lambda: in_hand(client) == 1)
        assert worker.stop() == 0
        assert (client.llen(SCORE), in_hand(client)) == (0, 0)
    assert store.sub("run").exists(scores_key(work.batch))
    assert executor.wait() == Finished(work.batch, 8)


def test_a_spawned_process_works_as_a_forked_one(redis_server, start_worker, submitted):
    # What a GPU needs, for CUDA does not survive a fork.
    executor, work = submitted
    worker = sleepers(start_worker, 0, "--start-method", "spawn")
    assert executor.wait() == Finished(work.batch, 8)
    eventually(lambda: "run run, island 0, generation 0, batch 1/1: scored, 8 views" in worker.text())
    assert "[20" in worker.text()  # its lines look like the others
    assert worker.stop() == 0


def test_a_batch_whose_process_dies_goes_round_and_is_counted(redis_server, start_worker, store, submitted):
    _, work = submitted
    worker = sleepers(start_worker, 60)
    with redis_server.client() as client:
        eventually(lambda: in_hand(client) == 1 and worker.children())
        time.sleep(0.5)  # until the child has it
        for pid in worker.children():
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: deaths(client, work) == 1)
        assert "it goes back into the queue" in worker.text()
        eventually(lambda: in_hand(client) == 1)  # the next process has it
    assert store.sub("run").list("failures/") == []


def test_a_process_that_cannot_use_its_gpu_any_more_makes_room_for_another(
    redis_server, start_worker, store, submitted
):
    _, work = submitted
    # What sleeps for no number of seconds fails with these words.
    worker = sleepers(start_worker, "CUDA error: an illegal memory access was encountered")
    with redis_server.client() as client:
        for _ in range(2):
            before = set(worker.children())
            eventually(lambda before=before: set(worker.children()) - before)
        eventually(lambda: "goes back into the queue" in worker.text())
        assert deaths(client, work) == 0  # no fault of the batch's
        heard = [decode_bell(data) for data in client.lrange(bell_list(work), 0, -1)]
        assert heard[0].outcome == "trouble"
        assert "CUDA error" in heard[0].detail
        worker.kill()
    assert store.sub("run").list("failures/") == []


def test_a_batch_that_hangs_is_a_failure_with_its_reason(redis_server, start_worker, store, submitted):
    executor, work = submitted
    sleepers(start_worker, 60, "--limit-s", "1")
    assert executor.wait() == Finished(work.batch, failed=True)  # three times over the limit
    run = store.sub("run")
    keys = run.list("failures/")
    assert len(keys) == 3
    assert b"not done after 1" in run.get(keys[0])
    assert executor.traffic().resent == 2


def test_a_wrong_password_is_said_at_once_and_kept_secret(locked_redis, store):
    for password in ("", ":wrong@"):
        url = f"redis://{password}127.0.0.1:{locked_redis.port}/0"
        with pytest.raises(Unavailable, match="refuses us") as caught:
            CeleryExecutor(store.sub("run"), store.url, "run", url)
        assert "wrong@" not in str(caught.value)
        assert "\n" not in str(caught.value)
    CeleryExecutor(store.sub("run"), store.url, "run", locked_redis.url).close()


def test_workers_are_counted_while_they_listen(redis_server, start_worker, submitted):
    executor, _ = submitted
    worker = sleepers(start_worker, 0, "--concurrency", "2")
    executor.wait()
    eventually(lambda: executor._line.crew(SCORE).processes == 2)
    assert worker.stop() == 0
    assert executor._line.crew(SCORE).processes == 0
    assert connect(redis_server.url).exists(f"datamask:present:{REALIZE}") == 0
