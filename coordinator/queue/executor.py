"""Who scores a batch. An executor is told ids and says when their scores are in the store."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from services.errors import CorruptData
from services.faults import as_one_line
from services.progress import Progress
from services.storage.store import ObjectMissing, Store
from services.wire.messages import Origin
from services.wire.objects import MAX_ATTEMPTS, attempts, batch_key, scores_key
from services.wire.plan import Batch, Scores
from services.wire.stack import (
    MOST_BATCHES,
    PICTURE_PX,
    decode_stacked,
    encode_stack,
    is_stack,
    stack_id,
)

if TYPE_CHECKING:
    from worker.evaluate import Evaluator


@dataclass(frozen=True)
class Finished:
    """A batch that needs no more waiting. views: images scored for it now (0 where the scores were known).

    data: the score object, where somebody has read it already; scores: what was in one. stack: in which the
    batch was sent, if it was sent in one; it may be removed with the last of its batches.
    """

    batch: str
    views: int = 0
    failed: bool = False
    data: bytes | None = field(default=None, compare=False, repr=False)
    scores: Scores | None = field(default=None, compare=False, repr=False)
    stack: str = field(default="", compare=False)


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

    def submit(self, batch: str, origin: Origin, work: Batch | None = None) -> None:
        """Have ``batches/<batch>`` scored. ``origin`` tells people what it is.

        :param work: what is in the batch, to be written first, alone or in a stack; None: it is in the store.
        """
        ...

    def wait(self) -> Finished | None:
        """Block until one of the submitted batches has its scores, or was given up; None: something else is
        to be looked at first.

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


def stacked_scores(run: Store, names: Iterable[str]) -> dict[str, Finished]:
    """By batch, what lies in the scores of these stacks. :raises CorruptData: where one cannot be read."""
    found = {}
    for name in names:
        where = f"{run.url}/{scores_key(name)}"
        with suppress(ObjectMissing):
            for batch, scores in decode_stacked(run.get(scores_key(name)), where).items():
                found[batch] = Finished(batch, scores=scores, stack=name)
    return found


def removed_meanwhile(run: Store, batch: str) -> CorruptData:
    """What to raise where a batch is gone, and nobody here could write it again."""
    where = f"{run.url}/{batch_key(batch)}"
    return CorruptData(f"{where}: it was removed while the run waits for it; go on with --resume")


def most_together(work: Batch | None, pictures: int) -> int:
    """How many batches like this one a worker has room for at a time, at least 1.

    :param pictures: that it has room for, of PICTURE_PX; 0: nobody has said so yet.
    """
    if work is None:
        return 1
    size = max(work.plan.ranges.size_px, PICTURE_PX)
    room = pictures * PICTURE_PX**2 // size**2 // (len(work.genomes) * work.view_count)
    return max(1, min(room, MOST_BATCHES))


def fair_share(batches: int, processes: int) -> int:
    """How many of all batches under way leave every process two messages: one in hand and one behind it."""
    return -(-batches // (2 * max(1, processes)))


def is_like(one: Batch | None, other: Batch) -> bool:
    """Whether two batches can be in one stack."""
    return one is not None and one.view_count == other.view_count and one.plan is other.plan


AT_ONCE = 2
"""Stacks under work in a local executor: while one is read or written, the other fills the cores."""


class LocalExecutor:
    """Scores in this process, in the order of submission, AT_ONCE stacks side by side."""

    def __init__(self, run: Store, evaluator: Evaluator) -> None:
        # Now, not at the first checkpoint: trimesh catches everything while it is imported, Ctrl-C too.
        from worker.exhibition.job import realize_job

        self._realize_job = realize_job
        self._run = run
        self._evaluator = evaluator
        self._waiting: deque[tuple[str, Batch | None]] = deque()
        self._scoring: deque[Future[list[Finished]]] = deque()
        self._in_hand = 0  # batches that are being scored
        self._done: deque[Finished] = deque()
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="batch")
        self._realized: dict[str, Finished] = {}
        # What a resumed run knows already. A single batch's scores are met when it is evaluated.
        stacks = [key.removeprefix(scores_key("")) for key in run.list(scores_key(""))]
        self._known = stacked_scores(run, filter(is_stack, stacks))

    def submit(self, batch: str, origin: Origin, work: Batch | None = None) -> None:
        """Queue the batch; it is scored when somebody waits."""
        if batch in self._known:
            self._done.append(self._known.pop(batch))
        else:
            self._waiting.append((batch, work))

    def wait(self) -> Finished:
        """The oldest batches' scores, the next under way; after MAX_ATTEMPTS failures one is given up."""
        while not self._done:
            while self._waiting and len(self._scoring) < AT_ONCE:
                group = self._next()
                self._in_hand += len(group)
                self._scoring.append(self._threads.submit(self._score, group))
            finished = self._scoring.popleft().result()
            self._in_hand -= len(finished)
            self._done.extend(finished)
        return self._done.popleft()

    def _next(self) -> dict[str, Batch | None]:
        """What goes through together: the oldest batch, and those behind it that are like it."""
        batch, work = self._waiting.popleft()
        group = {batch: work}
        if work is not None:
            share = fair_share(1 + len(self._waiting) + self._in_hand, AT_ONCE // 2)
            count = min(share, most_together(work, self._evaluator.room))
            while len(group) < count and self._waiting and is_like(self._waiting[0][1], work):
                group.update([self._waiting.popleft()])
        return group

    def _score(self, group: Mapping[str, Batch | None]) -> list[Finished]:
        works = {batch: work for batch, work in group.items() if work is not None}
        if len(works) > 1:
            data = encode_stack(works)
            name = stack_id(data)
            self._run.create(batch_key(name), data)
            with as_one_line():
                views = self._evaluator.evaluate(self._run, name).views
            found = stacked_scores(self._run, [name])
            if found:
                sizes = {b: len(w.genomes) * w.view_count if views else 0 for b, w in works.items()}
                return [replace(found[batch], views=sizes[batch]) for batch in works]
            return [replace(self._alone(*one), stack=name) for one in works.items()]
        return [self._alone(*one) for one in group.items()]

    def _alone(self, batch: str, work: Batch | None) -> Finished:
        while attempts(self._run, batch) < MAX_ATTEMPTS:
            if work is not None:  # again, too: whoever had the very same one may have removed it
                self._run.create(batch_key(batch), work.encoded())
            with as_one_line():
                summary = self._evaluator.evaluate(self._run, batch)
            if summary.outcome in ("scored", "known"):
                return Finished(batch, summary.views)
            if summary.outcome == "gone" and work is None:
                raise removed_meanwhile(self._run, batch)
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
        return Traffic(in_flight=len(self._waiting) + self._in_hand)

    def join(self) -> None:
        """See Executor.join."""
        with as_one_line():
            self._evaluator.join(self._run)

    def close(self) -> None:
        """Let go of what waits; what is being scored is finished first, for it may be writing."""
        self._threads.shutdown(cancel_futures=True)
