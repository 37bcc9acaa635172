"""Several coordinator processes of one run: each drives its share of the islands, one more keeps the record.

The one that was started owns the run: it beats, commits, follows and ends it. The others are its children.
Each has a shard (see search/shard.py), a line to the workers and a pipe to its parent, and ends with the
pipe: where the parent is killed they go, and where one of them goes too early the run stops.

Why pipes and pickles of Python's own, and no engine for actors or islands (Ray, Dask, mpi4py, the archipelago
of pygmo): what is passed on is small, both ends are ours and on one host, and nothing may hang on the order
in which messages arrive. Those engines bring servers or a launcher, restart what died by rules of their own,
or let islands migrate whenever one gets there; bytes that follow from spec and seed would still be our work.
"""

from __future__ import annotations

import logging
import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from logging.handlers import QueueHandler
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from typing import Any

import numpy as np

from coordinator.queue.celery_executor import CeleryExecutor
from coordinator.queue.executor import Traffic
from coordinator.record.record import Head, Record
from coordinator.search.evolution import Hear
from coordinator.search.island import Generation
from coordinator.search.shard import Message, News, Shard, Terms
from services import logs
from services.errors import DatamaskError, Unavailable
from services.faults import said
from services.recognition.fitness import Fitness
from services.storage.open import open_store
from services.wire.plan import Scores

LISTEN_S = 1.0  # longest time between two looks at the clocks while shards are silent
TRAFFIC_S = 1.0  # how often a shard says what it has out
END_S = 5.0  # so long a process may take to go, until it is killed
_NONE = np.zeros((0, 0), np.float32)
_UNSEEN = Scores(_NONE, _NONE, _NONE.astype(np.uint8), _NONE, _NONE)
# With this process's search path, else a folder of the same name where the command is given would be taken.
_CODE = (
    "import sys; sys.path[:] = sys.argv[2:]; "
    "from coordinator.shard_processes import run_shard; run_shard(int(sys.argv[1]))"
)


@dataclass(frozen=True)
class _Start:
    """What a process is told first. head: where to go on, or None. of: how many processes there are."""

    terms: Terms
    head: Head | None
    number: int
    of: int
    store_url: str
    run: str
    broker: str = field(repr=False)
    log_level: int


@dataclass(frozen=True)
class Ended:
    """A shard's last word. cpu_s: processor time since its islands were made. peak_mb: memory."""

    cpu_s: float
    peak_mb: float
    batches: int


@dataclass(frozen=True)
class _Failed:
    """What ended a shard."""

    error: Exception


@dataclass
class _Child:
    """A process as its parent knows it. news: to be sent."""

    process: subprocess.Popen[bytes]
    connection: Connection[Any, Any]
    news: list[News] = field(default_factory=list)


class ShardProcesses:
    """Drives all islands of a run in ``count`` processes. See :class:`coordinator.search.evolution.Shards`.

    :param executor: of this process, which scores nothing: it counts the workers and has masks realized.
    :param url: of the run, for messages. store_url: the store that it lies in. broker: its Redis.
    """

    def __init__(
        self, count: int, executor: CeleryExecutor, url: str, store_url: str, run: str, broker: str
    ) -> None:
        self._count, self._executor, self._url = count, executor, url
        self._store_url, self._run, self._broker = store_url, run, broker
        self._head: Head | None = None
        self._children: list[_Child] = []
        self._traffic: dict[int, Traffic] = {}
        self._saving: Future[None] | None = None
        self._woken, self._waker = Pipe(duplex=False)
        self._listened = 0.0
        self.ended: dict[int, Ended] = {}

    @property
    def count(self) -> int:
        return self._count

    @property
    def over(self) -> bool:
        return len(self.ended) == self._count

    def restore(self, head: Head) -> None:
        self._head = head

    def begin(self, terms: Terms, hear: Hear) -> None:
        self._hear = hear
        for _ in range(self._count):
            ours, theirs = Pipe()
            with theirs:
                handle = theirs.fileno()
                # In a session of its own, so that Ctrl-C reaches this process alone, which ends the others.
                process = subprocess.Popen(
                    [sys.executable, "-c", _CODE, str(handle), *sys.path],
                    pass_fds=[handle],
                    start_new_session=True,
                    stdin=subprocess.DEVNULL,
                )
            self._children.append(_Child(process, ours))
        level = logging.getLogger().level
        for number in range(self._count):
            place = (self._store_url, self._run, self._broker)
            self._send(number, _Start(terms, self._head, number, self._count, *place, level))

    def wait(self, saving: Future[None] | None) -> None:
        """As in the protocol.

        :raises Unavailable: where a process has gone; :raises Exception: what a shard raised.
        """
        for number, child in enumerate(self._children):
            if child.news and number not in self.ended:
                self._send(number, child.news)
                child.news = []
        if saving is not None and saving is not self._saving:
            self._saving = saving
            saving.add_done_callback(self._wake)
        numbers = {c.connection: k for k, c in enumerate(self._children) if k not in self.ended}
        for ready in wait([*numbers, self._woken], LISTEN_S):
            if ready is self._woken:
                self._woken.recv_bytes()
                continue
            number = numbers[ready]  # type: ignore[index]
            try:
                heard = self._children[number].connection.recv()
            except (EOFError, OSError):
                raise self._gone(number) from None
            for message in heard:
                self._heard(number, message)
        if time.monotonic() - self._listened >= LISTEN_S:
            self._executor.listen()
            self._listened = time.monotonic()

    def tell(self, news: News, to: Sequence[int]) -> None:
        for number in to:
            self._children[number].news.append(news)

    def traffic(self) -> Traffic:
        """Figures of now, of all processes."""
        own, others = self._executor.traffic(), list(self._traffic.values())
        return Traffic(
            own.in_flight + sum(one.in_flight for one in others),
            own.resent + sum(one.resent for one in others),
            own.queued,
        )

    def close(self) -> None:
        for child in self._children:
            child.connection.close()
        for child in self._children:
            try:
                child.process.wait(END_S)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()

    def _heard(self, number: int, message: Any) -> None:
        if isinstance(message, logging.LogRecord):
            logging.getLogger(message.name).handle(message)
        elif isinstance(message, Traffic):
            self._traffic[number] = message
        elif isinstance(message, Ended):
            self.ended[number] = message
            self._traffic.pop(number, None)
        elif isinstance(message, _Failed):
            raise message.error
        else:
            self._hear(number, message)

    def _send(self, number: int, what: object) -> None:
        try:
            self._children[number].connection.send(what)
        except OSError:
            raise self._gone(number) from None

    def _gone(self, number: int) -> Exception:
        """What to raise where a process has gone: its last words, if it had any."""
        child = self._children[number]
        with suppress(EOFError, OSError):
            while child.connection.poll():
                for message in child.connection.recv():
                    if isinstance(message, _Failed):
                        return message.error
        with suppress(subprocess.TimeoutExpired):
            child.process.wait(END_S)
        code = child.process.poll()
        if code is None or code >= 0:
            how = f"ended too early (exit code {code})"
        else:
            how = f"was killed ({signal.Signals(-code).name})"
        return Unavailable(
            f"{self._url}: coordinator process {number + 1} of {self._count} (process id "
            f"{child.process.pid}) {how}; where memory is short, take fewer --coordinators"
        )

    def _wake(self, saving: Future[None]) -> None:
        with suppress(OSError):  # closed
            self._waker.send_bytes(b"saved")


# -- in a process of its own


def run_shard(handle: int) -> None:
    """Drive a shard, as whoever holds the other end of the pipe ``handle`` says, and leave."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the parent hears it, too, and closes the pipe
    _Driver(Connection(handle)).run()


class _Driver:
    """What runs in a shard's process."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._outbox: list[object] = []
        self._inbox: SimpleQueue[News] = SimpleQueue()
        self._executor: CeleryExecutor | None = None
        self._told_traffic = 0.0
        self._whole = False
        self._batches = 0

    def run(self) -> None:
        """To the shard's end, or to what it fails with; the parent is told."""
        try:
            start = self._connection.recv()
            logs.setup("text", start.log_level)
            logging.getLogger().handlers = [_Upward(self)]
            threading.Thread(target=self._read, daemon=True).start()
            self._drive(start)
        except Exception as error:
            self._outbox.append(_Failed(_carried(error)))
        self._flush()
        os._exit(0)  # whatever a thread still waits for

    def _drive(self, start: _Start) -> None:
        record = Record(open_store(start.store_url).sub(start.run))
        executor = CeleryExecutor(
            *(record.store, start.store_url, start.run, start.broker),
            coordinators=start.of,
            line=start.number + 1,
            before_waiting=self._flush,
        )
        self._whole = start.terms.spec.store.masks == "all"
        shard = Shard(start.terms, record, executor, self._tell, start.number, start.of)
        if start.head is not None:
            shard.restore(start.head)
        self._executor = executor
        began = time.process_time()
        shard.begin()
        while not shard.done:
            if shard.busy:
                finished = executor.wait()
                if finished is not None:
                    self._batches += 1
                    shard.arrived(finished)
            else:
                self._flush()
                shard.hear(self._inbox.get())
            while not self._inbox.empty():
                shard.hear(self._inbox.get())
            shard.settle()
        shard.close()
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        self._outbox.append(Ended(time.process_time() - began, peak_mb, self._batches))

    def _tell(self, message: Message) -> None:
        if isinstance(message, Generation) and not self._whole:
            message = _seen(message)
        self._outbox.append(message)

    def _flush(self) -> None:
        now = time.monotonic()
        if self._executor is not None and now - self._told_traffic >= TRAFFIC_S:
            self._outbox.append(self._executor.traffic())
            self._told_traffic = now
        if self._outbox:
            said, self._outbox = self._outbox, []
            self.say(said)

    def say(self, said: list[object]) -> None:
        """Send it now; for any thread."""
        try:
            with self._sending:
                self._connection.send(said)
        except OSError:
            os._exit(1)  # nobody listens any more

    def _read(self) -> None:
        while True:
            try:
                news = self._connection.recv()
            except (EOFError, OSError):
                os._exit(1)  # the run is over, or its coordinator was killed
            for one in news:
                self._inbox.put(one)
            if self._executor is not None:
                self._executor.wake()


class _Upward(QueueHandler):
    """Has the parent write this process's log lines."""

    def __init__(self, driver: _Driver) -> None:
        super().__init__(driver)  # type: ignore[arg-type]
        self._driver = driver

    def enqueue(self, record: logging.LogRecord) -> None:
        self._driver.say([record])


def _seen(generation: Generation) -> Generation:
    """The same without what only the search needs: watchers look at fitness and values."""
    fitness = Fitness(generation.result.fitness, generation.result.values, _NONE)
    return Generation(generation.island, generation.number, _NONE, (), _UNSEEN, fitness)


def _carried(error: Exception) -> Exception:
    """The error, or what stands for it where no pipe takes it; a fault of ours with its traceback."""
    if not isinstance(error, DatamaskError):
        error.add_note("in a coordinator process:\n" + "".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return Unavailable(f"a coordinator process failed ({said(error)})")
    return error
