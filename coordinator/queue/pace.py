"""How many batches to have out at once, and when a silent one counts as lost: both from measured times."""

from __future__ import annotations

import math
from collections import deque
from statistics import median

REACTION_S = 0.5  # workers find work in the queue for so long while the coordinator is busy elsewhere
MOST_AHEAD = 32  # batches in the queue for each process, however short they are
FIRST_OUT = 8  # batches to have out before any worker has said that it is there
DEADLINE_MIN_S = 15.0  # longer than a heartbeat's interval: who is at work has beaten by then
SLACK = 3.0  # a batch may take so many times the longest of late
KEPT = 64  # measured times


class Pace:
    """Keeps the last batch times and the number of workers' processes.

    :param first_deadline_s: how long a batch may be silent while no time was measured yet; also the most that
        the shortest deadline can be.
    :param coordinators: how many processes give work to these workers for one run.
    """

    def __init__(self, first_deadline_s: float, coordinators: int = 1) -> None:
        self._first_s, self._coordinators = first_deadline_s, coordinators
        self._times: deque[float] = deque(maxlen=KEPT)
        self.processes = 0

    def measured(self, seconds: float) -> None:
        """A batch took a worker so long."""
        self._times.append(seconds)

    @property
    def batch_s(self) -> float | None:
        """The usual time of a batch; None while none was measured."""
        return median(self._times) if self._times else None

    @property
    def share(self) -> int:
        """Workers' processes that this coordinator process is to keep at work."""
        return -(-self.processes // self._coordinators)

    def most_out(self) -> int:
        """Batches that may be out: one in each process's hands and enough behind it.

        So a thousand islands do not put a thousand messages out for four workers, and no worker waits for the
        coordinator.
        """
        if not self.processes:
            return FIRST_OUT
        usual = self.batch_s
        ahead = 1 if usual is None else math.ceil(REACTION_S / max(usual, 1e-3))
        return max(FIRST_OUT, self.share * (1 + min(MOST_AHEAD, max(1, ahead))))

    def deadline_s(self, before: int) -> float:
        """How long a batch may be silent that has ``before`` others in front of it."""
        if not self._times:
            return self._first_s
        rounds = 1 + before / max(1, self.processes)
        return max(min(DEADLINE_MIN_S, self._first_s), SLACK * max(self._times) * rounds)
