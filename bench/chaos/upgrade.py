"""A run that an earlier datamask began: its processes are replaced by today's, one by one."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from bench.chaos.place import (
    RUN_LIMIT_S,
    Broken,
    Place,
    Scenario,
    Skipped,
    exit_code,
    finished,
    in_folder,
    kill,
    refused,
)
from bench.support import ROOT

# The same arithmetic as today's, messages and plans of another version.
EARLIER = "feb5e22dbce3b1dc266759d5654d7cbf305962ca"
# Drew with other bits than today's, and had no number for that.
OTHER_BITS = "f10cf2f~1"


def checkout(commit: str, folder: Path) -> Path:
    """The code of a commit, in a folder. :raises Skipped: where the history does not reach back so far."""
    words = ["git", "-C", str(ROOT), "archive", commit, "coordinator", "services", "worker"]
    try:
        made = subprocess.run(words, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        raise Skipped(f"git finds no commit {commit[:9]} here: clone with the whole history") from None
    place = folder / f"code-{commit[:7]}"
    place.mkdir()
    subprocess.run(["tar", "-x", "-C", str(place)], input=made.stdout, check=True)
    return place


def upgraded(place: Place) -> str:
    """Today's worker comes first, while the earlier coordinator is at work, then today's coordinator."""
    old = checkout(EARLIER, place.folder)
    crew = [place.worker(code=old) for _ in range(2)]
    today = place.worker()
    # It listens before the earlier coordinator begins: on a quick machine the run would be over first.
    place.wait_for(lambda: " ready." in place.said_by(today), "today's worker listens")
    coordinator = place.coordinator(code=old)
    place.wait_for_epoch(0, coordinator)
    told_to_go(crew[0])
    told_to_go(coordinator)
    coordinator = place.coordinator()
    place.wait_for(lambda: place.has_scored(today) or coordinator.poll() is not None, "today's worker scores")
    if not place.has_scored(today):
        raise Broken(f"today's worker has scored nothing: {place.said_by(today)[-1500:]}")
    told_to_go(crew[1])
    place.worker()
    finished(place, coordinator)
    return "worker, coordinator, worker replaced in mid-run"


def refused_where_bits_differ(place: Place) -> str:
    """Neither today's local run nor today's workers go on with it; the earlier ones do."""
    old = checkout(OTHER_BITS, place.folder)
    finished(place, place.coordinator(code=old, executor="local", run="reference"))
    worker, coordinator = place.worker(code=old), place.coordinator(code=old)
    place.wait_for_epoch(0, coordinator)
    for process in (coordinator, worker):
        told_to_go(process)
    words = "arithmetic: the run has None, this scorer has"
    refused(place, place.coordinator(executor="local"), words, code=2)
    worker, coordinator = place.worker(), place.coordinator()
    refused(place, coordinator, words)
    kill(worker)
    place.worker(code=old)
    finished(place, place.coordinator(code=old))
    place.reference = place.head("reference")
    return "refused with one line; the earlier code goes on to its own bytes"


def told_to_go(process: subprocess.Popen[bytes]) -> None:
    """As ``docker stop`` does it."""
    process.send_signal(signal.SIGTERM)
    if exit_code(process) == -1:
        raise Broken(f"not gone after {RUN_LIMIT_S:.0f} s")


SCENARIOS = {
    "upgrade": Scenario("begun by an earlier datamask, upgraded", upgraded, in_folder, heavy=True),
    "upgrade-bits": Scenario(
        "begun by a datamask with other bits, upgraded", refused_where_bits_differ, in_folder, heavy=True
    ),
}
