"""What all islands of a run decide together: which masks fail everywhere, what is committed, who is best."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Protocol

from coordinator.queue.executor import Executor, Finished
from coordinator.record.evaluations import Rows, encode_rows, unscored
from coordinator.record.rankings import encode_ranking
from coordinator.record.record import Head, Record, checkpoint_key, evaluations_key, ranking_key
from coordinator.search.archive import PART, Archive
from coordinator.search.breeding import Breeding
from coordinator.search.elites import best_of_each_start, choose_elites
from coordinator.search.island import Generation
from coordinator.search.shard import (
    Committed,
    Emigrated,
    Fate,
    Message,
    News,
    Part,
    ScoredElsewhere,
    Shard,
    Terms,
    epoch_of,
    part_of,
)
from coordinator.search.topology import receivers
from coordinator.spec.spec import Spec
from services.errors import BadInput, DatamaskError
from services.recognition.fitness import Objective
from services.wire.mask import Mask, decode_masks, encode_masks
from services.wire.messages import Origin
from services.wire.objects import last_words
from services.wire.plan import Plan

log = logging.getLogger(__name__)


class Watcher(Protocol):
    """Whoever follows a run: progress bars, metrics."""

    def batch_done(self, finished: Finished, genomes: int) -> None:
        """A batch came back."""
        ...

    def generation_done(self, generation: Generation) -> None:
        """An island told its optimizer."""
        ...

    def epoch_done(self, epoch: int, elites: Sequence[Mask]) -> None:
        """A checkpoint was committed."""
        ...


Hear = Callable[[int, Message], None]  # the number of the shard that says it, and what


class Shards(Protocol):
    """All islands of a run, wherever they are driven. Island k is in shard k % ``count``."""

    @property
    def count(self) -> int:
        """How many shards there are."""
        ...

    @property
    def over(self) -> bool:
        """Whether every island has lived its generations, and all that was said has been heard."""
        ...

    def restore(self, head: Head) -> None:
        """Before :meth:`begin`: stand at the newest checkpoint."""
        ...

    def begin(self, terms: Terms, hear: Hear) -> None:
        """Have the islands ask for their first scores. hear: called from now on, within :meth:`wait`, too."""
        ...

    def wait(self, saving: Future[None] | None) -> None:
        """Block until something has happened on an island, or ``saving`` is done."""
        ...

    def tell(self, news: News, to: Sequence[int]) -> None:
        """Say it to the shards of these numbers."""
        ...

    def close(self) -> None:
        """End them, in whatever state they are; raises nothing."""
        ...


class Evolution:
    """One run from where its record stands to its last generation.

    :param shards: who drives the islands; None: this process does, with the executor.
    """

    def __init__(
        self,
        spec: Spec,
        record: Record,
        plan: Plan,
        objectives: tuple[Objective, ...],
        dimension: int,
        executor: Executor,
        watchers: Sequence[Watcher] = (),
        breeding: Breeding | None = None,
        shards: Shards | None = None,
    ) -> None:
        self.spec, self.record, self.plan, self.objectives = spec, record, plan, objectives
        self._terms = Terms(spec, plan, objectives, dimension, breeding)
        self._shards = _Here(self._terms, record, executor) if shards is None else shards
        self._watchers = watchers
        self.archive = Archive.of(spec)
        self._committed = 0  # epochs
        self._saver = ThreadPoolExecutor(1, thread_name_prefix="datamask-commit")
        self._saving: Future[None] | None = None  # the commit under way
        self._parts: dict[int, dict[int, Part]] = {}  # by epoch and island, of those that are not committed
        self._scored: set[Origin] = set()  # moments in which a batch was scored, on any island
        self._unscored: dict[Origin, list[str]] = {}  # by moment: what shards in which none was say
        self.best: list[Mask] = []
        self.set_aside: list[str] = []
        self.scored_views = 0
        self.started = time.monotonic()

    @property
    def epochs(self) -> int:
        """How many epochs the whole run has."""
        return -(-self.spec.search.generations // self.spec.migration.every)

    @property
    def generations_committed(self) -> int:
        """Of all islands together."""
        search = self.spec.search
        return search.islands * min(self._committed * self.spec.migration.every, search.generations)

    def restore(self) -> None:
        """Stand at the newest checkpoint. :raises CorruptData: if a part of it is damaged."""
        head = self.record.head()
        if not head.parts:
            return
        self._shards.restore(head)
        key = checkpoint_key(head.epoch, "elites")
        self.best = decode_masks(part_of(self.record, head, key), f"{self.record.url}/{key}")
        if self.archive is not None:
            key = checkpoint_key(head.epoch, PART)
            self.archive.restore(part_of(self.record, head, key), f"{self.record.url}/{key}")
        self._committed = head.epoch + 1

    def run(self) -> None:
        """Evolve until every island has lived its generations. An exception adds no checkpoint.

        :raises DatamaskError: where every batch of a generation failed; :raises BadInput: where no mask of an
            epoch could be scored, nor one before.
        """
        for _ in self.steps():
            pass

    def steps(self) -> Generator[None, None, None]:
        """:meth:`run`, pausing whenever something has happened; it may be left at any pause."""
        try:
            self._shards.begin(self._terms, self._hear)
            yield
            while not self._shards.over or self._saving is not None:
                self._shards.wait(self._saving)
                self._note_commit()
                yield
        finally:
            self._shards.close()
            self._saver.shutdown()  # a commit that has begun is ended

    def elites(self) -> list[Mask]:
        """The run's elites, best first: each island's best before any island's second."""
        return choose_elites(self.best, self.spec.elites.count)

    # -- what shards say

    def _hear(self, shard: int, message: Message) -> None:
        if isinstance(message, Finished):
            self._arrived(message)
        elif isinstance(message, Generation):
            for watcher in self._watchers:
                watcher.generation_done(message)
        elif isinstance(message, Fate):
            self._note_fate(shard, message)
        elif isinstance(message, Emigrated):
            took = receivers(self.spec.migration.topology, message.island, self.spec.search.islands)
            self._shards.tell(message, sorted({k % self._shards.count for k in took} - {shard}))
        else:
            self._parts.setdefault(message.epoch, {})[message.island] = message
            self._commit_if_due()

    def _arrived(self, finished: Finished) -> None:
        self.scored_views += finished.views
        if finished.failed:
            self.set_aside.append(finished.batch)
            log.warning(
                "batch %s failed too often and is set aside; its masks count as not scored, see "
                "datamask show %s",
                *(finished.batch, self.record.url),
                extra={"batch": finished.batch},
            )
        for watcher in self._watchers:
            watcher.batch_done(finished, self.spec.search.batch_size)

    def _note_fate(self, shard: int, fate: Fate) -> None:
        """Tell the other shards where a batch was scored.

        :raises DatamaskError: where none of a moment's was, on any island: then it is not these masks.
        """
        moment = fate.moment
        if fate.scored and moment not in self._scored:
            self._scored.add(moment)
            self._unscored.pop(moment, None)
            self._shards.tell(ScoredElsewhere(moment), [k for k in range(self._shards.count) if k != shard])
        elif moment not in self._scored:
            said = self._unscored.setdefault(moment, [])
            said.append(fate.batch)
            failed = [batch for batch in said if batch]
            if len(said) == self._shards.count and failed:
                url, words = self.record.url, last_words(self.record.store, failed[0])
                raise DatamaskError(
                    f"{url}: every batch of {moment.words} failed; the last one said: {words}; see "
                    f"datamask show {url}"
                )

    # -- checkpoints

    def _note_commit(self) -> None:
        """Note a commit that is done, and begin the next one if it is due."""
        if self._saving is None or not self._saving.done():
            return
        self._saving.result()
        self._saving = None
        epoch, self._committed = self._committed, self._committed + 1
        self._forget(epoch)
        for watcher in self._watchers:
            watcher.epoch_done(epoch, self.elites())
        self._shards.tell(Committed(epoch), range(self._shards.count))
        self._commit_if_due()

    def _forget(self, epoch: int) -> None:
        """Let go of fates that nobody asks for any more."""
        every = self.spec.migration.every
        self._scored = {moment for moment in self._scored if epoch_of(moment, every) > epoch}
        self._unscored = {m: said for m, said in self._unscored.items() if epoch_of(m, every) > epoch}

    def _commit_if_due(self) -> None:
        epoch = self._committed
        if self._saving is None and len(self._parts.get(epoch, ())) == self.spec.search.islands:
            parts = self._parts.pop(epoch)
            self._begin_commit(epoch, [parts[island] for island in sorted(parts)])

    def _begin_commit(self, epoch: int, parts: Sequence[Part]) -> None:
        """Take what is best of an epoch's parts, and have all written while islands go on."""
        if not self.best and not any(part.scored for part in parts):
            statuses = sum((part.statuses for part in parts), Counter())
            raise BadInput(
                f"{self.record.url}: no mask of epoch {epoch + 1} could be scored: {unscored(statuses)}"
            )
        ranked = [mask for part in parts for mask in part.ranked]
        views = sum(part.ranked_of for part in parts) * self.spec.elites.ranking_views
        self.best = best_of_each_start(self.best + ranked, self.spec.elites.count)
        objects = {checkpoint_key(epoch, f"i{part.island:02d}"): part.state for part in parts}
        objects[checkpoint_key(epoch, "elites")] = encode_masks(self.best)
        held: set[str] = set()
        if self.archive is not None:
            for part in parts:
                self.archive.merge(part.archived)
            held = {mask.id for mask in self.archive.kept}
            objects[checkpoint_key(epoch, PART)] = self.archive.encoded([o.label for o in self.objectives])
        rows = [part.rows for part in parts]
        self._saving = self._saver.submit(self._save, epoch, objects, rows, held, ranked, views)

    def _save(
        self,
        epoch: int,
        objects: dict[str, bytes],
        rows: Sequence[Rows],
        held: set[str],
        ranked: Sequence[Mask],
        views: int,
    ) -> None:
        """Write a checkpoint. In a thread: nothing here looks at what islands change.

        held: ids of what the archive holds. views: that were scored for the ranking.
        """
        table = encode_rows(rows, self.objectives, self.spec.record.evaluations, held)
        self.record.store.put(ranking_key(epoch), encode_ranking(ranked, views))
        self.record.commit(epoch, objects, {evaluations_key(epoch): table})
        if epoch >= 2:  # the last two checkpoints stay
            self.record.remove(self.record.store.list(f"checkpoints/e{epoch - 2:05d}/"))


class _Here:
    """The one shard of an ordinary run, in this process."""

    count = 1

    def __init__(self, terms: Terms, record: Record, executor: Executor) -> None:
        self._executor = executor
        self._shard = Shard(terms, record, executor, self._said)
        self._hear: Hear = lambda shard, message: None

    @property
    def over(self) -> bool:
        return self._shard.over

    def restore(self, head: Head) -> None:
        self._shard.restore(head)

    def begin(self, terms: Terms, hear: Hear) -> None:
        self._hear = hear
        self._shard.begin()

    def wait(self, saving: Future[None] | None) -> None:
        if saving is not None and not self._shard.busy:
            wait([saving])
            return
        finished = self._executor.wait()
        if finished is not None:
            self._shard.arrived(finished)
        self._shard.settle()

    def tell(self, news: News, to: Sequence[int]) -> None:
        if to:
            self._shard.hear(news)
            self._shard.settle()

    def close(self) -> None:
        self._shard.close()

    def _said(self, message: Message) -> None:
        self._hear(0, message)
