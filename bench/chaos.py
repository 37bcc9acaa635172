"""``python -m bench.chaos``: break everything while a run goes on, and compare its checkpoints byte for byte.

Every row is one whole run of the same small spec and seed, with the real command line in processes of its
own, a real redis-server and moto's S3 server. Compared are what HEAD lists at the end: the parts of the last
checkpoint, and the evaluations of all epochs, by the SHA-256 of their bytes. Exit code 1 where a row differs
from the first, or a coordinator that is to be refused is not.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.support import ROOT, support
from coordinator.record.record import Head, Record
from services.errors import DatamaskError
from services.storage.open import open_store

SPEC = """
name = "chaos"
seed = 5
[search]
islands = 4
population = 4
generations = {generations}
optimizers = ["sep-cma", "genetic"]
[migration]
every = 3
count = 1
[views]
count = 2
size_px = 96
[elites]
count = 1
candidates = 1
ranking_views = 2
[verify]
views = 1
[[objective]]
kind = "detect"
model = "dlib-hog"
"""
RUN_LIMIT_S = 600.0
OUTAGE_S = 20.0
KILL_EVERY_S = (3.0, 6.0)


@dataclass
class Row:
    """One scenario. same: its checkpoint has the first row's bytes."""

    name: str
    seconds: float = 0.0
    done: str = ""
    parts: int = 0
    evaluations: int = 0
    same: bool = False
    notes: list[str] = field(default_factory=list)


class Place:
    """Servers, store and processes of one scenario."""

    def __init__(self, folder: Path, spec: Path, store: str, redis: Any, s3: Any) -> None:
        self.folder, self.spec, self.store, self.redis, self.s3 = folder, spec, store, redis, s3
        self._environment = {
            **os.environ,
            **(s3.environment() if s3 else {}),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
        }
        self._processes: list[subprocess.Popen[bytes]] = []
        self._crew: dict[int, str] = {}  # workers' logs by process id

    def process(self, log: str, *words: str) -> subprocess.Popen[bytes]:
        """``datamask WORDS`` in a process group of its own."""
        with (self.folder / log).open("ab") as file:
            made = subprocess.Popen(
                [sys.executable, "-m", "coordinator.cli", *words],
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=self._environment,
                start_new_session=True,
            )
        self._processes.append(made)
        return made

    def coordinator(
        self, *, executor: str = "celery", log: str = "coordinator.log"
    ) -> subprocess.Popen[bytes]:
        """``datamask evolve --resume``, as a container that is restarted would do it."""
        broker = ["--broker", self.redis.url] if executor == "celery" else []
        words = ["--store", self.store, "--run", "chaos", "--resume", "--executor", executor, *broker]
        return self.process(log, "evolve", str(self.spec), *words, "--log-format", "json")

    def worker(self) -> subprocess.Popen[bytes]:
        """``datamask worker`` on the CPU."""
        log = f"worker-{len(self._crew)}.log"
        made = self.process(log, "worker", "--broker", self.redis.url, "--device", "cpu")
        self._crew[made.pid] = log
        return made

    def has_scored(self, worker: subprocess.Popen[bytes]) -> bool:
        """Whether a worker has ended a batch."""
        return ": scored, " in self.text(self._crew[worker.pid])

    def text(self, log: str) -> str:
        """What the processes of a log said so far."""
        path = self.folder / log
        return path.read_text(errors="replace") if path.exists() else ""

    def head(self) -> Head:
        """What is committed."""
        return Record(open_store(self.store).sub("chaos")).head()

    def searched(self) -> bool:
        """Whether the last checkpoint is committed: what is left are pictures."""
        spec = tomllib.loads(self.spec.read_text())
        head = self.head()
        epochs = -(-int(spec["search"]["generations"]) // int(spec["migration"]["every"]))
        return bool(head.parts) and head.epoch == epochs - 1

    def wait_for_epoch(self, epoch: int, coordinator: subprocess.Popen[bytes]) -> None:
        """Until a checkpoint is committed (or the coordinator has ended)."""
        while coordinator.poll() is None:
            with contextlib.suppress(DatamaskError):
                head = self.head()
                if head.parts and head.epoch >= epoch:
                    return
            time.sleep(0.2)

    def end(self) -> None:
        """Kill what is left."""
        for process in self._processes:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a process and its children: its host has lost power."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


# Each scenario drives one run to its end and says in a few words what it did.
Scenario = Callable[[Place], str]


def finished(place: Place, coordinator: subprocess.Popen[bytes]) -> None:
    """Wait for the coordinator's good end. :raises RuntimeError: with its last words."""
    try:
        code = coordinator.wait(RUN_LIMIT_S)
    except subprocess.TimeoutExpired:
        code = -1
    if code != 0:
        raise RuntimeError(f"exit {code}: {place.text('coordinator.log')[-1500:]}")


def local(place: Place) -> str:
    """The reference."""
    finished(place, place.coordinator(executor="local"))
    return ""


def workers(count: int) -> Scenario:
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
        raise RuntimeError(f"killed {killed} times, {apart} stacks were taken apart")
    return f"killed {killed} times with a stack in hand; {apart} taken apart"


def redis_lost(place: Place) -> str:
    """Redis is killed in mid-run and comes back after some seconds with nothing in it."""
    for _ in range(2):
        place.worker()
    coordinator = place.coordinator()
    place.wait_for_epoch(0, coordinator)
    alive = coordinator.poll() is None
    place.redis.stop()
    time.sleep(4)
    place.redis.start()
    finished(place, coordinator)
    return f"killed in mid-run: {_yes(alive)}"


def store_lost(place: Place) -> str:
    """The S3 server answers nobody for 20 s."""
    for _ in range(2):
        place.worker()
    coordinator = place.coordinator()
    place.wait_for_epoch(0, coordinator)
    alive = coordinator.poll() is None
    place.s3.pause()
    time.sleep(OUTAGE_S)
    place.s3.resume()
    finished(place, coordinator)
    return f"out for {OUTAGE_S:.0f} s in mid-run: {_yes(alive)}"


def coordinator_killed(place: Place) -> str:
    """The coordinator is killed after the first and after the second checkpoint, and started again."""
    for _ in range(2):
        place.worker()
    killed = 0
    for epoch in range(2):
        coordinator = place.coordinator()
        place.wait_for_epoch(epoch, coordinator)
        killed += coordinator.poll() is None
        kill(coordinator)
    finished(place, place.coordinator())
    return f"killed {killed} times"


def second_coordinator(place: Place) -> str:
    """A second coordinator is started on the run; it must refuse, and the first go on."""
    for _ in range(2):
        place.worker()
    first = place.coordinator()
    place.wait_for_epoch(0, first)
    alive = first.poll() is None
    second = place.coordinator(log="second.log")
    code = second.wait(RUN_LIMIT_S)
    said = place.text("second.log")
    if not alive or code != 2 or "a coordinator is at work" not in said:
        raise RuntimeError(f"the second coordinator was not refused (exit {code}): {said[-500:]}")
    finished(place, first)
    return "the second was refused, exit 2"


SCENARIOS: dict[str, tuple[str, bool, Scenario]] = {
    # name: what a person reads, whether the store is a bucket, what happens
    "local": ("local executor, a folder", False, local),
    "one": ("1 worker, a folder", False, workers(1)),
    "four": ("4 workers, S3", True, workers(4)),
    "killed": ("4 workers, one killed every few seconds, S3", True, worker_killed),
    "stack": ("1 worker, killed in the middle of a stack, S3", True, stack_killed),
    "redis": ("Redis killed, back empty, S3", True, redis_lost),
    "s3": ("S3 out of reach for 20 s", True, store_lost),
    "coordinator": ("coordinator killed and resumed, S3", True, coordinator_killed),
    "second": ("two coordinators on one run, S3", True, second_coordinator),
}


@contextlib.contextmanager
def at(folder: Path, generations: int, bucket: bool) -> Iterator[Place]:
    """Fresh servers, an empty store."""
    spec = folder / "chaos.toml"
    spec.write_text(SPEC.format(generations=generations))
    with ExitStack() as stack:
        redis = stack.enter_context(support("redis_server").running_redis(folder))
        s3 = stack.enter_context(support("s3_server").running_s3(folder)) if bucket else None
        if s3 is not None:
            os.environ.update(s3.environment())
        place = Place(folder, spec, s3.url if s3 else str(folder / "runs"), redis, s3)
        stack.callback(place.end)
        yield place


def chaos(names: Sequence[str], generations: int, console: Console) -> list[Row]:
    """Run the scenarios, the reference first; each is compared with it."""
    rows: list[Row] = []
    reference: Head | None = None
    for name in dict.fromkeys(["local", *names]):
        title, bucket, scenario = SCENARIOS[name]
        row = Row(title)
        rows.append(row)
        console.print(f"{title} ...", highlight=False)
        with (
            tempfile.TemporaryDirectory(prefix="datamask-chaos-") as folder,
            at(Path(folder), generations, bucket) as place,
        ):
            began = time.monotonic()
            watch = _Alarm(console, title)
            try:
                row.done = scenario(place)
                head = place.head()
            except (RuntimeError, DatamaskError, subprocess.TimeoutExpired) as error:
                row.notes.append(f"{error}")
                continue
            finally:
                watch.cancel()
                row.seconds = round(time.monotonic() - began, 1)
        reference = reference or head
        row.parts, row.evaluations = len(head.parts), len(head.evaluations)
        row.same = head.done and _compared(head) == _compared(reference)
        if not row.same:
            row.notes += _differences(reference, head)
        console.print(f"  same bytes: {'yes' if row.same else 'NO'}, {row.seconds:.0f} s", style="dim")
    return rows


class _Alarm(threading.Timer):
    """Tells a person that a scenario takes long."""

    def __init__(self, console: Console, title: str) -> None:
        super().__init__(120, lambda: console.print(f"  {title}: still at it", style="dim"))
        self.daemon = True
        self.start()


def _compared(head: Head) -> tuple[int, dict[str, str], dict[str, str]]:
    return head.epoch, dict(head.parts), dict(head.evaluations)


def _differences(one: Head, other: Head) -> list[str]:
    lines = [] if other.done else ["the run is not complete"]
    if one.epoch != other.epoch:
        lines.append(f"last checkpoint {other.epoch}, not {one.epoch}")
    for ours, theirs in ((one.parts, other.parts), (one.evaluations, other.evaluations)):
        lines += [f"differs: {key}" for key in sorted({*ours, *theirs}) if ours.get(key) != theirs.get(key)]
    return lines


def _yes(value: bool) -> str:
    return "yes" if value else "no, it had ended before"


def show(rows: Sequence[Row], console: Console) -> None:
    """Print the one table."""
    table = Table("what happened", "", "seconds", "same bytes", title="chaos", title_justify="left")
    for row in rows:
        table.add_row(row.name, row.done, f"{row.seconds:.0f}", "yes" if row.same else "NO")
    console.print(table)
    first = rows[0]
    console.print(
        f"Compared: {first.parts} parts of the last checkpoint and {first.evaluations} evaluation files, as "
        "HEAD lists them, by SHA-256.",
        highlight=False,
    )
    for row in rows:
        for note in row.notes:
            console.print(f"{row.name}: {note}", style="red", markup=False, highlight=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print, compare."""
    parser = argparse.ArgumentParser("python -m bench.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(SCENARIOS), help="scenarios (default: %(default)s)")
    parser.add_argument("--generations", type=int, default=18, help="of each run (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="the same for machines")
    arguments = parser.parse_args(argv)
    names = [name.strip() for name in arguments.only.split(",") if name.strip()]
    if unknown := [name for name in names if name not in SCENARIOS]:
        parser.error(f"--only {', '.join(unknown)}: expected some of {', '.join(SCENARIOS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # nothing that was started is left behind
    console = Console(stderr=arguments.json)
    rows = chaos(names, arguments.generations, console)
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        show(rows, console)
    return 0 if all(row.same for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
