"""Several tasks side by side, each computing on one thread.

Torch's own threads split every small operation and wait for each other between them; whole tasks side by side
do not (measured: 10.8 against 15.2 ms a view on 2 cores). And what one thread computes does not depend on how
many there are, so that a run's bits do not depend on a machine's cores.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Done = TypeVar("Done")

_setting = threading.Lock()


class Lanes:
    """Runs tasks on ``count`` threads; on a GPU, whose work is parallel within, ``device`` makes it one.

    :param count: None takes as many as torch would use threads (``OMP_NUM_THREADS``, else the cores).
    """

    def __init__(self, device: str = "cpu", count: int | None = None) -> None:
        with _setting:
            threads = torch.get_num_threads()
        lanes = 1 if device != "cpu" else threads if count is None else count
        self._pool = ThreadPoolExecutor(lanes, thread_name_prefix="lane", initializer=_single)

    def map(self, task: Callable[[Item], Done], items: Iterable[Item]) -> list[Done]:
        """``task`` of every item, in the items' order. The first exception is raised."""
        return list(self._pool.map(task, items))


def _single() -> None:
    """Compute on one thread in the calling thread, for good.

    Torch makes the number that of every thread that uses it for the first time from then on. So another
    thread, which ends at once, sets it back.
    """
    with _setting:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        back = threading.Thread(target=torch.set_num_threads, args=(before,))
        back.start()
        back.join()
