"""A run with several coordinator processes gives the bytes of one, and ends as one does, whatever dies."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import closing
from pathlib import Path

import pytest
import tomli_w

import datamask
from bench.here import Here
from bench.made_up import scores_of
from coordinator.queue.executor import Finished
from coordinator.record.record import Record
from coordinator.run import evolve_run, open_run
from coordinator.spec.spec import parse_spec
from services.storage.open import open_store
from tests.support.processes import until

SPEC = {
    "name": "several",
    "seed": 4,
    "search": {
        "islands": 5,
        "population": 6,
        "generations": 5,
        "batch": 4,
        "optimizers": ["sep-cma", "genetic"],
        "patience": 1,
    },
    "migration": {"every": 2, "count": 1},
    "views": {"count": 2},
    "elites": {"count": 3, "candidates": 2, "ranking_views": 2},
    "archive": {},
    "record": {"evaluations": "1 in 4"},
    "objective": [{"kind": "detect", "model": "dlib-hog"}],
}
LONG = {**SPEC, "search": {**SPEC["search"], "generations": 60}}


def record_of(run):
    """All that is committed, by key; a killed coordinator may leave earlier checkpoints as well."""
    head = Record(run).head()
    return {key: run.get(key) for key in [*head.parts, *head.evaluations, *run.list("rankings/")]}


def reference(folder, spec):
    """The record of one process without a queue."""
    run = open_store(folder, write=True).sub("reference")
    opened = open_run(parse_spec(spec, "test"), Record(run), resume=False)
    with closing(opened.record):
        evolve_run(opened, Silent(scores_of), [], lambda evolution: None)
    return record_of(run)


class Silent(Here):
    """Makes no files of masks."""

    def realize(self, job, origin, progress=None):
        pass

    def realized(self, job, *, wait=False):
        return Finished(job)


@pytest.fixture
def evolve(tmp_path, redis_server, start_python):
    """``datamask evolve`` on workers, without pictures, in a process of its own."""

    def start(run, coordinators, spec=SPEC, executor="celery"):
        (tmp_path / "spec.toml").write_text(tomli_w.dumps(spec))
        (tmp_path / "services.py").write_text("raise RuntimeError('whatever is called so where one stands')")
        words = ["--store", "runs", "--run", run, "--resume", "--no-pictures", "--log-format", "json"]
        words += ["--executor", executor, "--broker", redis_server.url, "--coordinators", f"{coordinators}"]
        return start_python("-P", "-m", "coordinator.cli", "evolve", "spec.toml", *words, log=f"{run}.log")

    return start


def children(pid):
    """Living processes that a process has started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_two_and_three_processes_write_the_bytes_of_one(redis_server, start_worker, evolve, tmp_path):
    start_worker("--pictures", "64", module="bench.sleepers").wait_ready()
    expected = reference(tmp_path, SPEC)
    assert len(expected) == 7 + 3 + 3
    for coordinators in (2, 3):
        run = open_store(tmp_path / "runs").sub(f"run-{coordinators}")
        process = evolve(f"run-{coordinators}", coordinators)
        assert process.wait(120) == 0, (tmp_path / f"run-{coordinators}.log").read_text()
        assert record_of(run) == expected
        assert not run.list("batches/") + run.list("scores/")
    words = {"store": tmp_path / "runs", "run": "python", "executor": "celery", "broker": redis_server.url}
    with datamask.evolve(SPEC, pictures=False, coordinators=2, **words) as evolving:
        assert [generation.number for generation in evolving] == list(range(SPEC["search"]["generations"]))
        assert record_of(open_store(tmp_path / "runs" / "python")) == expected


@pytest.mark.slow
def test_whoever_dies_says_so_in_a_line_and_the_bytes_are_the_same(
    redis_server, start_worker, evolve, tmp_path
):
    worker = start_worker(
        *("--pictures", "64"), module="bench.sleepers", environment={"DATAMASK_BENCH_SLEEP_S": "0.01"}
    )
    worker.wait_ready()
    expected = reference(tmp_path, LONG)
    run = open_store(tmp_path / "runs").sub("run")

    def said():
        """The lines of the latest start that are for people; all others are JSON."""
        text = (tmp_path / "run.log").read_text()
        assert "Traceback" not in text
        return [line for line in text.splitlines() if not line.startswith("{")]

    def started(coordinators):
        """A start that has committed one epoch more, and its other processes."""
        (tmp_path / "run.log").write_text("")
        before = Record(run).head()
        process = evolve("run", coordinators, LONG)
        until(lambda: Record(run).head().epoch > before.epoch, process, timeout_s=90.0)
        others = children(process.pid)
        assert len(others) == coordinators
        return process, others

    def gone(pids):
        deadline = time.monotonic() + 30
        while [pid for pid in pids if lives(pid)]:
            assert time.monotonic() < deadline, "they live on"
            time.sleep(0.05)

    # One of the others is killed: the run stops, and says which.
    process, others = started(2)
    os.kill(others[1], signal.SIGKILL)
    assert process.wait(60) == 1
    gone(others)
    (line,) = said()
    assert f"coordinator process 2 of 2 (process id {others[1]}) was killed (SIGKILL)" in line
    assert "--run run --resume --executor celery --coordinators 2" in line

    # The first one is killed, or told to go: the others go with it.
    process, others = started(3)
    process.kill()
    gone(others)
    process, others = started(2)
    process.terminate()
    assert process.wait(60) == 130
    gone(others)

    # Another coordinator has taken over.
    process, others = started(2)
    beat = json.loads(run.get("beat.json"))
    run.put("beat.json", json.dumps({**beat, "owner": beat["owner"] + 1, "ended": True}).encode())
    assert process.wait(60) == 1
    gone(others)
    assert "another coordinator has taken this run over" in "".join(said())

    # What one of the others cannot read is said in the words of one process.
    part = max(key for key in run.list("checkpoints/") if key.endswith("/i01"))
    whole = run.get(part)
    run.put(part, b"damaged")
    (tmp_path / "run.log").write_text("")
    assert evolve("run", 2, LONG).wait(60) == 1
    assert f"{part}: its bytes do not match the hash in HEAD" in "".join(said())
    run.put(part, whole)

    assert evolve("run", 1, LONG).wait(120) == 0
    assert record_of(run) == expected


def test_more_processes_than_a_run_has_use_for_are_refused_in_a_line(evolve, tmp_path):
    for executor, coordinators, words in (
        (
            "local",
            2,
            "--coordinators 2: without workers one process feeds all cores of this machine; expected 1",
        ),
        (
            "celery",
            6,
            "--coordinators 6: each process drives islands of its own, and the spec has 5; expected 1 to 5",
        ),
    ):
        assert evolve("run", coordinators, executor=executor).wait(60) == 2
        assert words in (tmp_path / "run.log").read_text()
    assert not (tmp_path / "runs").exists()


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
