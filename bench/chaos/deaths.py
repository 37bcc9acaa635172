"""Workers, Redis, store and coordinator are killed, and a second coordinator comes."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from bench.chaos.place import (
    Broken,
    Place,
    Scenario,
    exit_code,
    finished,
    in_bucket,
    in_folder,
    kill,
    refused,
)

OUTAGE_S = 20.0
KILL_EVERY_S = (3.0, 6.0)


def local(place: Place) -> str:
    """The reference."""
    finished(place, place.coordinator(executor="local"))
    return ""


def workers(count: int) -> Callable[[Place], str]:
    """Nothing breaks."""

    def run(place: Place) -> str:
        for _ in range(count):
            place.worker()
        finished(place, place.coordinator())
        return ""

    return run


def worker_killed(place: Place) -> str:
    """Of four workers one is killed every few seconds until the last checkpoint, and another one started.

    Whoever is killed has ended a batch before and is likely to be at the next; on a busy machine a worker
    takes longer to start than others live. The pictures at the end are one long job, and are left in peace.
    """
    crew = [place.worker() for _ in range(4)]
    coordinator = place.coordinator()
    chance, killed = random.Random(1), 0
    while coordinator.poll() is None and not place.searched():
        with contextlib.suppress(subprocess.TimeoutExpired):
            coordinator.wait(chance.uniform(*KILL_EVERY_S))
            break
        ready = [k for k, worker in enumerate(crew) if place.has_scored(worker)]
        if not ready:
            continue
        victim = chance.choice(ready)
        kill(crew[victim])
        crew[victim] = place.worker()
        killed += 1
    finished(place, coordinator)
    return f"{killed} killed"


def stack_killed(place: Place) -> str:
    """The one worker is killed, twice, with a stack of several islands' batches in hand, and replaced."""
    worker = place.worker()
    coordinator = place.coordinator()
    killed, client = 0, place.redis.client()
    while coordinator.poll() is None and not place.searched():
        time.sleep(0.01)
        if killed < 2 and place.has_scored(worker) and client.keys("datamask:beat:*:s*"):
            kill(worker)
            worker = place.worker()
            killed += 1
    finished(place, coordinator)
    apart = place.text("coordinator.log").count("go one by one")
    if killed < 2 or not apart:
        raise Broken(f"killed {killed} times, {apart} stacks were taken apart")
    return f"killed {killed} times with a stack in hand; {apart} taken apart"


def redis_lost(place: Place) -> str:
    """Redis is killed in mid-run and comes back after some seconds with nothing in it."""
    coordinator = place.begun()
    place.redis.stop()
    time.sleep(4)
    place.redis.start()
    finished(place, coordinator)
    return "killed in mid-run"


def store_lost(place: Place) -> str:
    """The S3 server answers nobody for 20 s."""
    coordinator = place.begun()
    place.s3.pause()
    time.sleep(OUTAGE_S)
    place.s3.resume()
    finished(place, coordinator)
    return "out of reach in mid-run"


def coordinator_killed(place: Place) -> str:
    """The coordinator is killed after the first and after the second checkpoint, and started again."""
    for _ in range(2):
        place.worker()
    for epoch in range(2):
        coordinator = place.coordinator()
        place.wait_for_epoch(epoch, coordinator)
        kill(coordinator)
    finished(place, place.coordinator())
    return "killed twice"


def shard_killed(place: Place) -> str:
    """One of two processes that share the islands is killed; the run stops with a line, and three go on."""
    for _ in range(2):
        place.worker()
    coordinator = place.coordinator(processes=2)
    place.wait_for_epoch(0, coordinator)
    children = Path(f"/proc/{coordinator.pid}/task/{coordinator.pid}/children").read_text().split()
    if len(children) != 2:
        raise Broken(f"expected two processes with islands, found {len(children)}")
    os.kill(int(children[1]), signal.SIGKILL)
    refused(place, coordinator, "was killed (SIGKILL)")
    finished(place, place.coordinator(processes=3))
    return "one of two killed; three went on"


def second_coordinator(place: Place) -> str:
    """A second coordinator is started on the run; it must refuse, and the first go on."""
    first = place.begun()
    second = place.coordinator(log="second.log")
    code = exit_code(second)
    said = place.text("second.log")
    if code != 2 or "a coordinator is at work" not in said:
        raise Broken(f"the second coordinator was not refused (exit {code}): {said[-500:]}")
    finished(place, first)
    return "the second was refused, exit 2"


SCENARIOS = {
    "local": Scenario("local executor, a folder", local, in_folder),
    "one": Scenario("1 worker, a folder", workers(1), in_folder),
    "four": Scenario("4 workers, S3", workers(4), in_bucket),
    "killed": Scenario("4 workers, one killed every few seconds, S3", worker_killed, in_bucket),
    "stack": Scenario("1 worker, killed in the middle of a stack, S3", stack_killed, in_bucket),
    "redis": Scenario("Redis killed, back empty, S3", redis_lost, in_bucket),
    "s3": Scenario("S3 out of reach for 20 s", store_lost, in_bucket),
    "coordinator": Scenario("coordinator killed and resumed, S3", coordinator_killed, in_bucket),
    "shards": Scenario("two coordinator processes, one killed, then three, S3", shard_killed, in_bucket),
    "second": Scenario("two coordinators on one run, S3", second_coordinator, in_bucket),
}
