"""Where a scenario is played: a spec, a store, Redis, and processes of the real command line."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
RUN = "chaos"
RUN_LIMIT_S = 900.0


class Skipped(Exception):
    """This machine cannot play a scenario; the text says why, on one line."""


class Broken(Exception):
    """A scenario did not go as it must; the text says how."""


class Place:
    """Servers, store and processes of one scenario.

    :param environment: what processes need to find the store, besides this process's own environment.
    """

    def __init__(
        self,
        folder: Path,
        spec: Path,
        store: str,
        redis: Any,
        s3: Any = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.spec, self.store, self.redis, self.s3 = folder, spec, store, redis, s3
        self.broker = str(redis.url)
        self.reference: Head | None = None  # where it is not the first row's
        self.pictures = True  # whether a run goes on to its pictures, or ends with its last checkpoint
        self._environment = {
            **os.environ,
            **(environment or {}),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
        }
        self._processes: list[subprocess.Popen[bytes]] = []
        self._crew: dict[int, str] = {}  # workers' logs by process id

    def process(
        self,
        log: str,
        *words: str,
        before: Sequence[str] = (),
        code: Path = ROOT,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """``datamask WORDS`` in a process group of its own.

        :param before: a program that starts it, and that program's options. code: a checkout of datamask.
        :param environment: more variables.
        """
        with (self.folder / log).open("ab") as file:
            made = subprocess.Popen(
                [*before, sys.executable, "-m", "coordinator.cli", *words],
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={**self._environment, "PYTHONPATH": str(code), **(environment or {})},
                start_new_session=True,
            )
        self._processes.append(made)
        return made

    def coordinator(
        self,
        *,
        executor: str = "celery",
        log: str = "coordinator.log",
        run: str = RUN,
        processes: int = 1,
        **how: Any,
    ) -> subprocess.Popen[bytes]:
        """``datamask evolve --resume``, as a container that is restarted would do it.

        :param processes: that share the islands. how: see :meth:`process`.
        """
        broker = ["--broker", self.broker] if executor == "celery" else []
        broker += ["--coordinators", f"{processes}"] if processes > 1 else []
        words = ["--store", self.store, "--run", run, "--resume", "--executor", executor, *broker]
        words += ["--log-format", "json", *(() if self.pictures else ("--no-pictures",))]
        return self.process(log, "evolve", str(self.spec), *words, **how)

    def worker(self, **how: Any) -> subprocess.Popen[bytes]:
        """``datamask worker`` on the CPU. how: see :meth:`process`."""
        log = f"worker-{len(self._crew)}.log"
        made = self.process(log, "worker", "--broker", self.broker, "--device", "cpu", **how)
        self._crew[made.pid] = log
        return made

    def begun(self, crew: Mapping[str, Any] | None = None, **how: Any) -> subprocess.Popen[bytes]:
        """Two workers and a coordinator, the first checkpoint committed; the coordinator.

        :param crew: how the workers are started, as ``how`` the coordinator; see :meth:`process`.
        """
        for _ in range(2):
            self.worker(**(crew or {}))
        coordinator = self.coordinator(**how)
        self.wait_for_epoch(0, coordinator)
        return coordinator

    def said_by(self, worker: subprocess.Popen[bytes]) -> str:
        """What a worker said so far."""
        return self.text(self._crew[worker.pid])

    def has_scored(self, worker: subprocess.Popen[bytes]) -> bool:
        """Whether a worker has ended a batch."""
        return ": scored, " in self.said_by(worker)

    def text(self, log: str) -> str:
        """What the processes of a log said so far."""
        path = self.folder / log
        return path.read_text(errors="replace") if path.exists() else ""

    def head(self, run: str = RUN) -> Head:
        """What is committed."""
        return Record(open_store(self.store).sub(run)).head()

    def searched(self, run: str = RUN) -> bool:
        """Whether the last checkpoint is committed: what is left are pictures."""
        spec = tomllib.loads(self.spec.read_text())
        head = self.head(run)
        epochs = -(-int(spec["search"]["generations"]) // int(spec["migration"]["every"]))
        return bool(head.parts) and head.epoch == epochs - 1

    def wait_for_epoch(self, epoch: int, coordinator: subprocess.Popen[bytes]) -> None:
        """Until a checkpoint is committed. :raises Broken: if the coordinator has ended before."""
        while coordinator.poll() is None:
            with contextlib.suppress(DatamaskError):
                head = self.head()
                if head.parts and head.epoch >= epoch:
                    return
            time.sleep(0.2)
        raise Broken(f"ended before checkpoint {epoch}: {self.text('coordinator.log')[-1500:]}")

    def wait_for(self, true: Callable[[], Any], what: str, timeout_s: float = RUN_LIMIT_S) -> None:
        """Until it is true. :raises Broken: if that takes too long."""
        deadline = time.monotonic() + timeout_s
        while not true():
            if time.monotonic() > deadline:
                raise Broken(f"not within {timeout_s:.0f} s: {what}")
            time.sleep(0.2)

    def end(self) -> None:
        """Kill what is left."""
        for process in self._processes:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a process and its children: its host has lost power."""
    signal_all(process, signal.SIGKILL)
    process.wait()


def signal_all(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to a process and its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def finished(place: Place, coordinator: subprocess.Popen[bytes], log: str = "coordinator.log") -> None:
    """Wait for the coordinator's good end. :raises Broken: with its last words."""
    code = exit_code(coordinator)
    if code != 0:
        raise Broken(f"exit {code}: {place.text(log)[-1500:]}")


def refused(place: Place, process: subprocess.Popen[bytes], words: str, code: int = 1) -> str:
    """Wait until a coordinator has given up as it should; returns its one line.

    :param words: that the line must hold. code: its exit code.
    :raises Broken: if it ended otherwise, or with a traceback.
    """
    found = exit_code(process)
    said = place.text("coordinator.log")
    lines = [line for line in said.splitlines() if line.startswith("datamask: ")]
    if found != code or "Traceback" in said or not lines or words not in lines[-1]:
        raise Broken(f"exit {found}, expected {code} and a line with {words!r}: {said[-1500:]}")
    return lines[-1]


def exit_code(process: subprocess.Popen[bytes]) -> int:
    """Of a process that ends by itself; -1 where it does not in time."""
    try:
        return process.wait(RUN_LIMIT_S)
    except subprocess.TimeoutExpired:
        return -1


Setting = Callable[[Path, Path], AbstractContextManager[Place]]


@dataclass(frozen=True)
class Scenario:
    """One row of the table.

    play: drives one run to its end and says in a few words what it did. at: makes the place of a folder and
    a spec. heavy: takes minutes, or needs what not every machine has; its run makes no pictures.
    """

    title: str
    play: Callable[[Place], str]
    at: Setting
    heavy: bool = False


@contextlib.contextmanager
def in_folder(folder: Path, spec: Path) -> Iterator[Place]:
    """A fresh Redis and an empty folder."""
    with ExitStack() as stack:
        redis = stack.enter_context(support("redis_server").running_redis(folder))
        place = Place(folder, spec, str(folder / "runs"), redis)
        stack.callback(place.end)
        yield place


@contextlib.contextmanager
def in_bucket(folder: Path, spec: Path) -> Iterator[Place]:
    """A fresh Redis and moto's S3 server."""
    with ExitStack() as stack:
        redis = stack.enter_context(support("redis_server").running_redis(folder))
        s3 = stack.enter_context(support("s3_server").running_s3(folder))
        stack.enter_context(in_environment(s3.environment()))
        place = Place(folder, spec, s3.url, redis, s3)
        stack.callback(place.end)
        yield place


@contextlib.contextmanager
def in_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """This process, too, looks into the store: give it the variables for a while."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
