"""What scoring processes tell their worker's parent: what they have ended, and which stacks they are at.

A stack's message is done with when its computing begins, so that celery cannot tell. Nobody waits for a
report, and one that is lost costs a figure, never a result.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time

from services.errors import Unavailable, reason_of
from services.wire.app import HARD_LIMIT_S
from worker import metrics

VARIABLE = "DATAMASK_REPORTS"  # the parent's socket: forked and spawned processes find it alike
LOOK_EVERY_S = 1.0


def tell(batch: str, outcome: str = "", views: int = 0, seconds: float = 0.0) -> None:
    """Say that work has ended, how, and what of; without an outcome: that a stack's computing begins."""
    said = json.dumps([os.getpid(), batch, outcome, views, seconds]).encode()
    with (
        contextlib.suppress(OSError, KeyError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line,
    ):
        line.setblocking(False)
        line.sendto(said, os.environ[VARIABLE])


class Reports:
    """Hears reports in the parent process, as long as it lives, and counts what has ended.

    :param folder: where nobody else may write.
    :raises Unavailable: where there can be no socket in it.
    """

    def __init__(self, folder: str) -> None:
        self._begun: dict[tuple[int, str], float] = {}
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._line.settimeout(LOOK_EVERY_S)
        os.environ[VARIABLE] = f"{folder}/reports"
        try:
            self._line.bind(os.environ[VARIABLE])
        except OSError as error:
            raise Unavailable(
                f"{folder}: cannot make a socket ({reason_of(error)}); set TMPDIR to another folder"
            ) from error
        threading.Thread(target=self._listen, name="datamask-reports", daemon=True).start()

    def under_way(self) -> bool:
        """Whether a stack is computed, or waits to be written."""
        return bool(self._begun)

    def _listen(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                self._hear(*json.loads(self._line.recv(4096)))
            for (pid, batch), began in list(self._begun.items()):
                if not os.path.exists(f"/proc/{pid}"):
                    self._hear(pid, batch, "died", 0, 0.0)
                elif time.monotonic() - began > HARD_LIMIT_S:  # it hangs
                    del self._begun[pid, batch]

    def _hear(self, pid: int, batch: str, outcome: str, views: int, seconds: float) -> None:
        if outcome:
            self._begun.pop((pid, batch), None)
            metrics.count(outcome, views, seconds)
        else:
            self._begun[pid, batch] = time.monotonic()
