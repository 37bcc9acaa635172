"""Leave where nobody has work: a rented host costs money while it waits."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable

from celery.worker import state

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0


class Idle:
    """For how many seconds a worker's parent process has had no work, by a clock of seconds.

    :param under_way: whether its processes are at something whose message is done with.
    """

    def __init__(self, under_way: Callable[[], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self._under_way, self._clock = under_way, clock
        self._since = clock()
        self._received = self._count()

    @property
    def seconds(self) -> float:
        """Since the last message was received or ended, as far as looks tell; 0 while one is under work."""
        received = self._count()
        at_work = state.reserved_requests or state.active_requests or self._under_way()
        if at_work or received != self._received:
            self._since, self._received = self._clock(), received
        return self._clock() - self._since

    @staticmethod
    def _count() -> int:
        return sum(state.total_count.values())


def leave_after(idle_s: float, under_way: Callable[[], bool]) -> None:
    """From now on, end this worker as SIGTERM does once it has had no work for so many seconds; see Idle."""
    threading.Thread(target=_wait, args=(Idle(under_way), idle_s), name="datamask-idle", daemon=True).start()


def _wait(idle: Idle, idle_s: float) -> None:
    while idle.seconds < idle_s:
        time.sleep(LOOK_EVERY_S)
    log.info("no work for %g s: this worker leaves (--idle-s)", idle_s)
    os.kill(os.getpid(), signal.SIGTERM)
