"""Who scores a batch. An executor is told ids and says when their scores are in the store."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from services.storage.store import Store

if TYPE_CHECKING:
    from worker.evaluate import Evaluator


@dataclass(frozen=True)
class Finished:
    """A batch that needs no more waiting. views: images scored for it now (0 where the scores were known)."""

    batch: str
    views: int = 0
    failed: bool = False


class Executor(Protocol):
    """Scores batches of one run."""

    def submit(self, batch: str, label: str) -> None:
        """Have ``batches/<batch>`` scored. ``label`` tells people what it is."""
        ...

    def wait(self) -> Finished:
        """Block until one of the submitted batches has its scores, or was given up."""
        ...

    def fingerprint(self) -> dict[str, str] | None:
        """What the scorers' bits depend on; None while no scorer has told."""
        ...

    def close(self) -> None:
        """Take no more work."""
        ...


class LocalExecutor:
    """Scores in this process, one batch at a time, in the order of submission."""

    def __init__(self, run: Store, evaluator: Evaluator) -> None:
        self._run = run
        self._evaluator = evaluator
        self._waiting: deque[str] = deque()

    def submit(self, batch: str, label: str) -> None:
        """Queue the batch; it is scored when somebody waits."""
        self._waiting.append(batch)

    def wait(self) -> Finished:
        """Score the oldest batch; after MAX_ATTEMPTS failures it is given up."""
        from worker.objects import MAX_ATTEMPTS, attempts

        batch = self._waiting.popleft()
        while attempts(self._run, batch) < MAX_ATTEMPTS:
            summary = self._evaluator.evaluate(self._run, batch)
            if summary.outcome in ("scored", "known"):
                return Finished(batch, summary.views)
        return Finished(batch, failed=True)

    def fingerprint(self) -> dict[str, str] | None:
        """This process's."""
        return self._evaluator.fingerprint()

    def close(self) -> None:
        """Nothing is held."""
