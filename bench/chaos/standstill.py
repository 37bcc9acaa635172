"""Processes that stand still (SIGSTOP), for longer than deadlines: their host swaps or sleeps."""

from __future__ import annotations

import os
import shutil
import signal
import time

from bench.chaos.place import (
    Place,
    Scenario,
    Skipped,
    finished,
    in_bucket,
    refused,
    signal_all,
)

# Longer than beats (12 s), presence (20 s), the coordinator's sign of life (10 s), its patience with Redis
# (30 s) and with the store (60 s), and the first deadline of a batch (60 s).
STILL_S = 90.0
ELSEWHERE = ("unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh")


def workers_still(place: Place) -> str:
    """One of two workers stops with work in hand, later the other one; then both go on."""
    crew = [place.worker() for _ in range(2)]
    coordinator = place.coordinator()
    place.wait_for_epoch(0, coordinator)
    place.wait_for(lambda: place.has_scored(crew[0]), "the first worker scores")
    signal_all(crew[0], signal.SIGSTOP)
    place.wait_for_epoch(1, coordinator)
    signal_all(crew[1], signal.SIGSTOP)
    time.sleep(STILL_S)
    for worker in crew:
        signal_all(worker, signal.SIGCONT)
    finished(place, coordinator)
    return f"both for {STILL_S:.0f} s, one for longer"


def coordinator_still(place: Place) -> str:
    """The workers go on as far as they have work."""
    coordinator = place.begun()
    signal_all(coordinator, signal.SIGSTOP)
    time.sleep(STILL_S)
    signal_all(coordinator, signal.SIGCONT)
    finished(place, coordinator)
    return f"for {STILL_S:.0f} s"


def coordinator_overtaken(place: Place) -> str:
    """Another host's coordinator takes the run over; the first one wakes up in the midst of that."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        raise Skipped("a host name of one's own needs root and unshare")
    first = place.begun()
    signal_all(first, signal.SIGSTOP)
    second = place.coordinator(log="second.log", before=ELSEWHERE)
    place.wait_for(lambda: second.poll() is not None or place.head().epoch >= 1, "the second goes on")
    signal_all(first, signal.SIGCONT)
    refused(place, first, "another coordinator has taken this run over")
    finished(place, second, log="second.log")
    return "the first one ended with one line"


SCENARIOS = {
    "still-workers": Scenario("workers stand still, S3", workers_still, in_bucket, heavy=True),
    "still-coordinator": Scenario("coordinator stands still, S3", coordinator_still, in_bucket, heavy=True),
    "overtaken": Scenario(
        "coordinator stands still, another host's takes over, S3",
        coordinator_overtaken,
        in_bucket,
        heavy=True,
    ),
}
