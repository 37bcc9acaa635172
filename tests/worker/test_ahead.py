"""A worker reads ahead while it computes and writes behind, and neither without bounds."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import urllib.request

import numpy as np
import pytest

from coordinator.queue.celery_executor import CeleryExecutor
from services.errors import Unavailable
from services.rendering.views import ViewRanges
from services.storage.open import open_store
from services.wire import beats
from services.wire.messages import SCORE, Origin, Work
from services.wire.plan import Batch, Plan, Quantity, batch_id
from services.wire.stack import is_stack
from tests.support.ports import free_port
from tests.support.processes import until
from worker import metrics, reports
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


@pytest.fixture
def stacked(redis_server, tmp_path):
    """Call it when a worker is there: 16 batches of 8 views in stacks for it, and their executor."""
    store = open_store(tmp_path / "runs", write=True)
    executor = CeleryExecutor(store.sub("run"), store.url, "run", redis_server.url)

    def submitted():
        while not executor._line.crew(SCORE).pictures:
            time.sleep(0.05)
        plan = Plan("makehuman-mask-1", "0" * 64, {}, (Quantity("detect", "dlib-hog"),), ViewRanges())
        works = [Batch(plan, np.full((4, 3), k, np.float32), k, 2) for k in range(16)]
        names = [batch_id(work.encoded()) for work in works]
        for k, (name, work) in enumerate(zip(names, works, strict=True)):
            executor.submit(name, Origin(island=k, generation=0), work)
        return executor, names

    yield submitted
    executor.close()


def sleepers(start_worker, sleep_s, *words):
    environment = {"DATAMASK_BENCH_SLEEP_S": f"{sleep_s}"}
    return start_worker("--pictures", "64", *words, module="bench.sleepers", environment=environment)


@pytest.mark.parametrize("sleep_s", [0.0, 0.4])
def test_stacks_go_through_and_a_worker_that_must_go_ends_the_one_it_has(start_worker, stacked, sleep_s):
    worker = sleepers(start_worker, sleep_s)
    worker.wait_ready()
    executor, names = stacked()
    done = [executor.wait()]
    if sleep_s:
        assert worker.stop(60) == 0  # the one in hand, and the one that was read, are ended
        sleepers(start_worker, 0)
    done += [executor.wait() for _ in names[1:]]
    assert {one.batch for one in done} == set(names)
    assert all(is_stack(one.stack) and one.scores is not None and not one.failed for one in done)


def test_every_stack_is_counted_also_where_no_message_follows(start_worker, stacked):
    port = free_port()
    worker = sleepers(start_worker, 0.01, "--metrics-port", f"{port}")
    worker.wait_ready()
    executor, names = stacked()
    for _ in names:
        executor.wait()
    deadline = time.monotonic() + WAIT_S
    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        figures = {line.partition("{")[0]: line for line in lines if not line.startswith("#")}
        if f"{figures.get('datamask_views_total')}".endswith(" 128.0"):
            break
        assert time.monotonic() < deadline, figures
    outcomes = [line for line in lines if line.startswith("datamask_worker_batches_total")]
    assert len(outcomes) == 1
    assert 'outcome="scored"' in outcomes[0]
    stacks = worker.text().count(": scored, ")
    assert outcomes[0].endswith(f" {stacks}.0")
    assert f"datamask_batch_seconds_count {stacks}.0" in lines


def test_a_worker_that_computes_has_work(start_worker, stacked):
    worker = sleepers(start_worker, 0.4, "--idle-s", "1")
    worker.wait_ready()
    executor, names = stacked()
    assert {executor.wait().batch for _ in names} == set(names)
    assert worker.wait(60) == os.EX_OK
    last = worker.text().rpartition("no work for 1 s")
    assert ": scored, " in last[0]
    assert ": scored, " not in last[2]


def test_a_stack_whose_process_dies_is_counted_and_no_work_any_more(tmp_path, monkeypatch):
    monkeypatch.setenv(reports.VARIABLE, "")
    heard = reports.Reports(str(tmp_path))
    died = {"worker": metrics.worker_name(), "outcome": "died"}
    before = metrics.registry.get_sample_value("datamask_worker_batches_total", died) or 0.0
    words = "import sys; from worker.reports import tell; tell('s'); print(flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", words], **pipes) as process:
        process.stdout.readline()
        until(heard.under_way, process)
        process.kill()
    deadline = time.monotonic() + WAIT_S
    while heard.under_way():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert metrics.registry.get_sample_value("datamask_worker_batches_total", died) == before + 1
    with pytest.raises(Unavailable, match=r"path too long.*TMPDIR"):
        reports.Reports(f"{tmp_path}/{'x' * 120}")
