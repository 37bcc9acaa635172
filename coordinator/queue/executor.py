"""Who scores a batch. An executor is told ids and says when their scores are in the store."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from services.faults import as_one_line
from services.progress import Progress
from services.storage.store import Store
from services.wire.messages import Origin

if TYPE_CHECKING:
    from worker.evaluate import Evaluator


@dataclass(frozen=True)
class Finished:
    """A batch that needs no more waiting. views: images scored for it now (0 where the scores were known).

    data: the score object, where somebody has read it already.
    """

    batch: str
    views: int = 0
    failed: bool = False
    data: bytes | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Traffic:
    """Figures of an executor. in_flight: batches that are out. resent: batches sent again so far.

    queued: messages that no worker has taken yet, by queue.
    """

    in_flight: int = 0
    resent: int = 0
    queued: Mapping[str, int] = field(default_factory=dict)


class Executor(Protocol):
    """Has batches of one run scored, and its masks realized."""

    def submit(self, batch: str, origin: Origin, data: bytes | None = None) -> None:
        """Have ``batches/<batch>`` scored. ``origin`` tells people what it is.

        :param data: the batch object, to be written first; None: it is in the store.
        """
        ...

    def wait(self) -> Finished:
        """Block until one of the submitted batches has its scores, or was given up.

        :raises DatamaskError: where the machine or the infrastructure is at fault, which counts against no
            batch.
        """
        ...

    def realize(self, job: str, origin: Origin, progress: Progress | None = None) -> None:
        """Have the masks of ``batches/<job>`` realized, beside the search. See :mod:`services.wire.jobs`."""
        ...

    def realized(self, job: str, *, wait: bool = False) -> Finished | None:
        """What became of a job, told once; None while it is under work. ``wait``: until it is done."""
        ...

    def traffic(self) -> Traffic:
        """Figures of now; may be asked by another thread."""
        ...

    def join(self) -> None:
        """Join the run's scorers, where scoring is this process's own work; on a cluster every worker does.

        :raises Refused: where this machine would score otherwise than the run's first.
        """
        ...

    def close(self) -> None:
        """Take no more work."""
        ...


AT_ONCE = 2
"""Batches under work in a local executor: while one is read or written, the other fills the cores."""


class LocalExecutor:
    """Scores in this process, in the order of submission, AT_ONCE batches side by side."""

    def __init__(self, run: Store, evaluator: Evaluator) -> None:
        # Now, not at the first checkpoint: trimesh catches everything while it is imported, Ctrl-C too.
        from worker.exhibition.job import realize_job

        self._realize_job = realize_job
        self._run = run
        self._evaluator = evaluator
        self._waiting: deque[str] = deque()
        self._scoring: deque[Future[Finished]] = deque()
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="batch")
        self._realized: dict[str, Finished] = {}

    def submit(self, batch: str, origin: Origin, data: bytes | None = None) -> None:
        """Queue the batch; it is scored when somebody waits."""
        from services.wire.objects import batch_key

        if data is not None:
            self._run.create(batch_key(batch), data)
        self._waiting.append(batch)

    def wait(self) -> Finished:
        """The oldest batch's scores, the next one under way; after MAX_ATTEMPTS failures one is given up."""
        while self._waiting and len(self._scoring) < AT_ONCE:
            self._scoring.append(self._threads.submit(self._score, self._waiting.popleft()))
        return self._scoring.popleft().result()

    def _score(self, batch: str) -> Finished:
        from services.wire.objects import MAX_ATTEMPTS, attempts

        while attempts(self._run, batch) < MAX_ATTEMPTS:
            with as_one_line():
                summary = self._evaluator.evaluate(self._run, batch)
            if summary.outcome in ("scored", "known"):
                return Finished(batch, summary.views)
        return Finished(batch, failed=True)

    def realize(self, job: str, origin: Origin, progress: Progress | None = None) -> None:
        """Do the job now. An error is not hidden: there is no other worker that could do better."""
        with as_one_line():
            summary = self._realize_job(self._run, job, progress)
        self._realized[job] = Finished(job, failed=summary.outcome not in ("scored", "known"))

    def realized(self, job: str, *, wait: bool = False) -> Finished | None:
        """What became of a job, told once."""
        return self._realized.pop(job, None)

    def traffic(self) -> Traffic:
        """What waits or is being scored."""
        return Traffic(in_flight=len(self._waiting) + len(self._scoring))

    def join(self) -> None:
        """See Executor.join."""
        with as_one_line():
            self._evaluator.join(self._run)

    def close(self) -> None:
        """Let go of what waits; what is being scored is finished first, for it may be writing."""
        self._threads.shutdown(cancel_futures=True)
