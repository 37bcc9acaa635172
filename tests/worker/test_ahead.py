"""A worker reads ahead while it computes and writes behind, and neither without bounds."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from coordinator.queue.celery_executor import CeleryExecutor
from services.rendering.views import ViewRanges
from services.storage.open import open_store
from services.wire import beats
from services.wire.messages import SCORE, Origin, Work
from services.wire.plan import Batch, Plan, Quantity, batch_id
from services.wire.stack import is_stack
from worker.ahead import UNWRITTEN, Ahead

WAIT_S = 10.0


def test_one_computes_one_is_held_back_and_writes_are_bounded():
    line, computed, written = Ahead(), [], []
    go, store = threading.Semaphore(0), threading.Semaphore(0)

    def compute(k):
        go.acquire()
        computed.append(k)
        return k

    def write(k):
        store.acquire()
        written.append(k)

    taken = []

    def take():
        for k in range(UNWRITTEN + 2):
            line.put(lambda k=k: compute(k), write)
            taken.append(k)

    thread = threading.Thread(target=take)
    thread.start()

    def until(true):
        deadline = time.monotonic() + WAIT_S
        while not true():
            assert time.monotonic() < deadline
            time.sleep(0.002)

    until(lambda: taken == [0])  # the second has been read, and waits for the first
    go.release()
    until(lambda: (computed, taken) == ([0], [0, 1]))
    for _ in range(UNWRITTEN + 1):
        go.release()
    until(lambda: len(computed) == UNWRITTEN + 1)  # the store keeps everybody waiting: no more is computed
    time.sleep(0.05)
    assert (len(taken), written) == (UNWRITTEN + 1, [])
    for _ in range(UNWRITTEN + 2):
        store.release()
    thread.join(WAIT_S)
    line.drain()
    assert written == computed == list(range(UNWRITTEN + 2))


def test_what_fails_lets_the_next_one_in():
    line, written = Ahead(), []

    def broken():
        raise MemoryError

    line.put(broken, written.append)
    line.put(lambda: 1, written.append)
    line.drain()
    assert written == [1]


def test_work_that_hangs_is_not_alive_for_ever(redis_server, monkeypatch):
    monkeypatch.setattr(beats, "BEAT_EVERY_S", 0.05)
    work = Work("file:///runs", "run", "s" + "a" * 40)
    with redis_server.client() as client:
        heart = beats.Heartbeat(client, work, limit_s=0.2)
        heart.start()
        deadline = time.monotonic() + WAIT_S
        while not client.exists(beats.beat_key(work)):
            assert time.monotonic() < deadline
        while client.exists(beats.beat_key(work)):
            assert time.monotonic() < deadline
        heart.stop()


@pytest.mark.parametrize("sleep_s", [0.0, 0.4])
def test_stacks_go_through_and_a_worker_that_must_go_ends_the_one_it_has(
    redis_server, start_worker, tmp_path, sleep_s
):
    store = open_store(tmp_path / "runs", write=True)
    worker = start_worker(
        *("--pictures", "64"),
        module="bench.sleepers",
        environment={"DATAMASK_BENCH_SLEEP_S": f"{sleep_s}"},
    )
    worker.wait_ready()
    executor = CeleryExecutor(store.sub("run"), store.url, "run", redis_server.url)
    while not executor._line.crew(SCORE).pictures:
        time.sleep(0.05)
    plan = Plan("makehuman-mask-1", "0" * 64, {}, (Quantity("detect", "dlib-hog"),), ViewRanges())
    works = [Batch(plan, np.full((4, 3), k, np.float32), k, 2) for k in range(16)]
    names = [batch_id(work.encoded()) for work in works]
    for k, (name, work) in enumerate(zip(names, works, strict=True)):
        executor.submit(name, Origin(island=k, generation=0), work)
    done = [executor.wait()]
    if sleep_s:
        assert worker.stop(60) == 0  # the one in hand, and the one that was read, are ended
        start_worker(*("--pictures", "64"), module="bench.sleepers")
    done += [executor.wait() for _ in names[1:]]
    assert {one.batch for one in done} == set(names)
    assert all(is_stack(one.stack) and one.scores is not None and not one.failed for one in done)
    executor.close()
