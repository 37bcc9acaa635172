"""An executor for measurements: batches are scored in this process, in the order in which they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from coordinator.queue.executor import Finished, Traffic
from services.progress import Progress
from services.wire.messages import Origin
from services.wire.plan import Batch, Scores


class Here:
    """Implements coordinator.queue.executor.Executor. score: what a batch gets."""

    def __init__(self, score: Callable[[Batch], Scores]) -> None:
        self._score = score
        self._waiting: deque[tuple[str, Batch]] = deque()

    def submit(self, batch: str, origin: Origin, work: Batch | None = None) -> None:
        if work is None:
            raise ValueError(f"{origin.words}: expected the batch itself")
        self._waiting.append((batch, work))

    def wait(self) -> Finished:
        name, batch = self._waiting.popleft()
        return Finished(name, len(batch.genomes) * batch.view_count, scores=self._score(batch))

    def realize(self, job: str, origin: Origin, progress: Progress | None = None) -> None:
        raise NotImplementedError("measurements make no pictures of a run")

    def realized(self, job: str, *, wait: bool = False) -> Finished | None:
        return None

    def traffic(self) -> Traffic:
        return Traffic(in_flight=len(self._waiting))

    def join(self) -> None:
        pass

    def close(self) -> None:
        self._waiting.clear()
