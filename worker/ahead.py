"""While one piece of work is computed, the next one is read and the one before is written.

While work waits, its message is the queue's, as ever. When its computing begins the message is done with, and
the next one comes. From then on it lives by its beat: if this process dies, the coordinator hears no beat any
more, and sends it again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from celery import signals

UNWRITTEN = 2  # results that may wait for the store; with more, computing waits

Result = TypeVar("Result")

_every: list[Ahead] = []


class Ahead:
    """Computes one piece of work at a time, and writes in the same order, each in a thread of its own."""

    def __init__(self) -> None:
        self._computing = ThreadPoolExecutor(1, thread_name_prefix="datamask-compute")
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="datamask-write")
        self._free = threading.Semaphore(1)
        self._room = threading.Semaphore(UNWRITTEN)
        _every.append(self)

    def put(self, compute: Callable[[], Result], write: Callable[[Result], None]) -> None:
        """Have it computed and written. Returns as soon as computing begins.

        Neither may raise: there is nobody left to be told.
        """
        self._free.acquire()
        self._computing.submit(self._compute, compute, write)

    def drain(self) -> None:
        """Return when all that was put is written; nothing more may be put."""
        self._computing.shutdown()
        self._writing.shutdown()

    def _compute(self, compute: Callable[[], Result], write: Callable[[Result], None]) -> None:
        try:
            result = compute()
            self._room.acquire()
            self._writing.submit(self._write, write, result)
        finally:
            self._free.release()

    def _write(self, write: Callable[[Result], None], result: Result) -> None:
        try:
            write(result)
        finally:
            self._room.release()


_own = threading.local()


def ahead() -> Ahead:
    """The calling thread's own: a process of a worker has one thread that takes messages."""
    if not hasattr(_own, "ahead"):
        _own.ahead = Ahead()
    made: Ahead = _own.ahead
    return made


@signals.worker_process_shutdown.connect(weak=False)  # type: ignore[untyped-decorator]
def _drain(**_: Any) -> None:
    """A worker that is told to go ends what it has begun."""
    for each in _every:
        each.drain()
