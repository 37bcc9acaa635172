"""Some islands of a run, driven by their scores; and what such a shard and the run tell each other.

An ordinary run has one shard, in the coordinator's own process. A run with several coordinator processes has
one in each. A shard decides nothing that hangs on the islands of others: see search/evolution.py.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np

from coordinator.queue.executor import Executor, Finished
from coordinator.record.evaluations import Rows, rows_of
from coordinator.record.record import Head, Record, checkpoint_key
from coordinator.search.archive import Archive
from coordinator.search.breeding import Breeding
from coordinator.search.island import (
    AtCheckpoint,
    Emigrants,
    Float,
    Generation,
    Island,
    Life,
    NeedMigrants,
    NeedScores,
    Request,
)
from coordinator.search.optimizers import known_optimizer
from coordinator.search.topology import receivers, sources
from coordinator.spec.spec import Spec
from services.errors import CorruptData
from services.recognition.fitness import Objective
from services.shape.installed import know
from services.wire.mask import Mask
from services.wire.messages import Origin
from services.wire.objects import batch_key, failure_prefix, given_up, scores_key
from services.wire.plan import (
    STATUS_NAMES,
    Batch,
    Plan,
    Scores,
    batch_id,
    decode_scores,
    failed_scores,
    joined_scores,
)

# -- what shards and run tell each other


@dataclass(frozen=True)
class Terms:
    """What a shard must know of its run. dimension: genes of a mask."""

    spec: Spec
    plan: Plan
    objectives: tuple[Objective, ...]
    dimension: int
    breeding: Breeding | None = None


@dataclass(frozen=True)
class Part:
    """What one island brings to a checkpoint.

    ranked: its best on the ranking views; ranked_of: of how many that were scored there. archived: the best
    of the epoch in each cell, where the run has an archive. scored: whether any mask of the epoch was;
    statuses: how many have which, where none was.
    """

    island: int
    epoch: int
    state: bytes
    ranked: Sequence[Mask]
    ranked_of: int
    archived: Sequence[Mask]
    rows: Rows
    scored: bool
    statuses: Counter[str]


@dataclass(frozen=True)
class Emigrated:
    """Who leaves an island after an epoch: told where the shard has not all that take them."""

    island: int
    epoch: int
    emigrants: Emigrants


@dataclass(frozen=True)
class Fate:
    """Of a moment that all islands have: whether any batch of the shard's was scored.

    Told once for each moment, as soon as one was, or when it is known that none was. batch: one that failed;
    empty where no island had anything to score.
    """

    moment: Origin
    scored: bool
    batch: str = ""


@dataclass(frozen=True)
class ScoredElsewhere:
    """To shards: another one had a batch of this moment scored, so islands that had none may go on."""

    moment: Origin


@dataclass(frozen=True)
class Committed:
    """To shards: the epoch is in the record."""

    epoch: int


Message = Part | Emigrated | Fate | Finished | Generation
News = Emigrated | ScoredElsewhere | Committed


# -- a shard


@dataclass
class _Pending:
    """One request for scores: its batches in order, and those still out."""

    moment: Origin
    plan_views: int
    genomes: Float
    batches: list[str]
    out: set[str]
    scores: dict[str, Scores] = field(default_factory=dict)  # those that were read on the way


@dataclass
class Place:
    """Where one island stands."""

    island: Island
    life: Life
    request: Request | None = None
    pending: _Pending | None = None


class Shard:
    """Every island whose index leaves the rest ``number`` when it is divided by ``of``.

    Nothing here depends on the order in which batches come back: an island is advanced by its own scores and
    by the emigrants of its sources only.

    :param record: read, and rid of what a checkpoint covers; only the run writes it.
    :param tell: told what all islands together decide about.
    """

    def __init__(
        self,
        terms: Terms,
        record: Record,
        executor: Executor,
        tell: Callable[[Message], None],
        number: int = 0,
        of: int = 1,
    ) -> None:
        self.terms, self.spec, self.record = terms, terms.spec, record
        know(self.spec.mask.basis)  # another process may have checked the spec: what installed packages bring
        for name in self.spec.search.optimizers:
            known_optimizer(name)
        self._executor, self._tell = executor, tell
        self._count = self.spec.search.islands
        self.places = {
            k: Place(island, island.life())
            for k in range(number, self._count, of)
            for island in [Island(k, self.spec, terms.objectives, terms.dimension, terms.breeding)]
        }
        self._committed = 0  # epochs
        self._alive = len(self.places)
        self._heed: deque[Place] = deque()  # what waits for others, and may have them now
        self._waiting: dict[str, list[Place]] = {}  # by batch that is out
        self._emigrants: dict[int, dict[int, Emigrants]] = {}  # by epoch and island
        self._covered: dict[int, list[str]] = {}  # batches by epoch
        self._stacks: dict[str, int] = {}  # by name: the last epoch that has a batch in it
        self._known: Counter[Origin] = Counter()  # by moment: of how many islands the fate is known
        self._scored: set[Origin] = set()  # moments in which a batch was scored, here or elsewhere
        self._unlucky: dict[Origin, str] = {}  # by moment: a batch of an island of which all failed
        self._held: list[tuple[Place, _Pending]] = []  # every batch failed: they wait for others' fates
        self._gave_up: set[str] = set()  # batches that an earlier start set aside
        self._set_aside: set[str] = set()
        self._remover = ThreadPoolExecutor(1, thread_name_prefix="datamask-remove")
        self._removing: Future[None] | None = None
        self._leaving: frozenset[str] = frozenset()  # batches and stacks that are being removed

    @property
    def over(self) -> bool:
        """Whether every island has lived its generations."""
        return not self._alive

    @property
    def done(self) -> bool:
        """Whether, besides, all of that is in the record."""
        last = -(-self.spec.search.generations // self.spec.migration.every)
        return self.over and self._committed == last

    @property
    def busy(self) -> bool:
        """Whether batches are out."""
        return bool(self._waiting)

    def restore(self, head: Head) -> None:
        """Stand at the newest checkpoint. :raises CorruptData: if a part of it is damaged."""
        for index, place in self.places.items():
            key = checkpoint_key(head.epoch, f"i{index:02d}")
            place.island.restore(part_of(self.record, head, key), f"{self.record.url}/{key}")
            place.life = place.island.life()
        self._committed = head.epoch + 1

    def begin(self) -> None:
        """Have every island ask for its first scores."""
        self._gave_up = given_up(self.record.store)
        for place in self.places.values():
            self._advance(place, None)
        self.settle()

    def arrived(self, finished: Finished) -> None:
        """Hand a batch's scores to whoever asked for them."""
        places = self._waiting.pop(finished.batch, [])
        if finished.failed:
            self._set_aside.add(finished.batch)
        self._tell(replace(finished, data=None, scores=None))
        scores = finished.scores
        if scores is None and finished.data is not None:
            where = f"{self.record.url}/{scores_key(finished.batch)}"
            scores = decode_scores(finished.data, where)
        for place in places:
            if finished.stack:
                last = self._stacks.get(finished.stack, 0)
                self._stacks[finished.stack] = max(last, place.island.epoch)
            pending = place.pending
            if pending is None:
                continue
            pending.out.discard(finished.batch)
            if scores is not None:
                pending.scores[finished.batch] = scores
            if not pending.out:
                place.pending = None
                if self._set_aside.issuperset(pending.batches):
                    self._unlucky.setdefault(pending.moment, pending.batches[-1])
                    self._held.append((place, pending))
                    self._note_fate(pending.moment, scored=False)
                else:
                    self._note_fate(pending.moment, scored=True)
                    self._answer(place, pending)

    def hear(self, news: News) -> None:
        """Note what the run says; :meth:`settle` does what follows from it."""
        if isinstance(news, Emigrated):
            self._emigrated(news)
        elif isinstance(news, ScoredElsewhere):
            self._scored.add(news.moment)
        else:
            self._committed = news.epoch + 1
            self._heed.extend(self.places.values())
            self._forget(news.epoch)

    def settle(self) -> None:
        """Advance every island that waits for nothing but others, until none does."""
        moved = True
        while moved:
            moved = self._let_go()
            while self._heed:
                place = self._heed.popleft()
                request = place.request
                if isinstance(request, NeedMigrants):
                    migrants = self._migrants(place.island.index, request.epoch)
                    if migrants is not None:
                        self._advance(place, migrants)
                        moved = True
                elif isinstance(request, AtCheckpoint) and request.epoch <= self._committed:
                    # At most one epoch ahead of what is committed.
                    self._advance(place, None)
                    moved = True

    def close(self) -> None:
        """Wait until what was covered is removed."""
        self._remover.shutdown()

    # -- one island

    def _advance(self, place: Place, answer: object) -> None:
        """Send the answer and note what the island asks next."""
        try:
            place.request = place.life.send(answer)
        except StopIteration:
            place.request = None
            self._alive -= 1
            return
        if isinstance(place.request, NeedScores):
            self._submit(place, place.request)
        elif isinstance(place.request, NeedMigrants):
            island, epoch = place.island, place.request.epoch
            if not island.ranked_of[epoch]:
                self._note_fate(Origin(epoch=epoch), scored=False)
            self._heed.append(place)
            self._emigrated(Emigrated(island.index, epoch, island.emigrants.pop(epoch)))
        elif isinstance(place.request, AtCheckpoint):
            self._tell(self._part(place.island, place.request))
            self._heed.append(place)

    def _submit(self, place: Place, request: NeedScores) -> None:
        size = self.spec.search.batch_size
        works = [
            Batch(self.terms.plan, genomes, request.view_seed, request.view_count)
            for genomes in (request.genomes[k : k + size] for k in range(0, len(request.genomes), size))
        ]
        batches = [batch_id(work.encoded()) for work in works]
        # The very same ones again: what is about to go is no answer.
        if not self._leaving.isdisjoint(batches):
            self._wait_for_removal()
        if self._gave_up.issuperset(batches):  # it may be what stopped the run: that was to be mended
            self.record.remove([key for b in batches for key in self.record.store.list(failure_prefix(b))])
        place.pending = _Pending(request.moment, request.view_count, request.genomes, batches, set(batches))
        for number, (batch, work) in enumerate(zip(batches, works, strict=True), 1):
            self._covered.setdefault(place.island.epoch, []).append(batch)
            waiting = self._waiting.setdefault(batch, [])
            waiting.append(place)
            if len(waiting) == 1:
                origin = replace(request.moment, island=place.island.index, number=number, of=len(batches))
                self._executor.submit(batch, origin, work)

    def _answer(self, place: Place, pending: _Pending) -> None:
        before = len(place.island.history)
        self._advance(place, self._collect(pending))
        for generation in place.island.history[before:]:
            self._tell(generation)

    def _collect(self, pending: _Pending) -> Scores:
        parts = []
        size = self.spec.search.batch_size
        for k, batch in enumerate(pending.batches):
            count = len(pending.genomes[k * size : (k + 1) * size])
            if batch in self._set_aside:
                parts.append(failed_scores(self.terms.plan, count, pending.plan_views))
            elif batch in pending.scores:
                parts.append(pending.scores[batch])
            else:
                key = scores_key(batch)
                parts.append(decode_scores(self.record.store.get(key), f"{self.record.url}/{key}"))
        return joined_scores(parts)

    def _part(self, island: Island, reached: AtCheckpoint) -> Part:
        """Take the epoch out of the island, which keeps what it needs to go on."""
        generations, island.history = island.history, []
        ranked, ranked_of = island.ranked.pop(reached.epoch), island.ranked_of.pop(reached.epoch)
        archived = self._archived(generations)
        scored = any(generation.scored.any() for generation in generations)
        statuses = () if scored else (STATUS_NAMES[s] for g in generations for s in g.scores.status)
        rows = rows_of(
            *(generations, self.terms.plan.basis, self.terms.objectives, self.spec.record.evaluations),
            told={mask.id for mask in ranked},
            perhaps={mask.id for mask in archived},
        )
        return Part(
            *(island.index, reached.epoch, reached.state, ranked, ranked_of, archived),
            *(rows, scored, Counter(statuses)),
        )

    def _archived(self, generations: Sequence[Generation]) -> list[Mask]:
        archive = Archive.of(self.spec)
        if archive is None:
            return []
        for generation in generations:
            result = generation.result
            archive.add(
                *(generation.ids, generation.island, generation.number, generation.genomes),
                *(result.fitness, result.values, generation.scores.flipped, result.margins),
            )
        return archive.kept

    # -- what hangs on others

    def _note_fate(self, moment: Origin, *, scored: bool) -> None:
        """One more island knows whether any of its batches of this moment was scored."""
        self._known[moment] += 1
        all_known = self._known[moment] == len(self.places)
        if all_known:
            del self._known[moment]
        if moment in self._scored:
            return
        if scored:
            self._scored.add(moment)
            self._tell(Fate(moment, scored=True))
        elif all_known:
            self._tell(Fate(moment, scored=False, batch=self._unlucky.get(moment, "")))

    def _let_go(self) -> bool:
        """Let islands go on of which every batch failed, as soon as another one's was scored."""
        held, self._held = self._held, []
        for place, pending in held:
            if pending.moment in self._scored:
                self._answer(place, pending)
            else:
                self._held.append((place, pending))
        return len(self._held) < len(held)

    def _emigrated(self, told: Emigrated) -> None:
        self._emigrants.setdefault(told.epoch, {})[told.island] = told.emigrants
        took = receivers(self.spec.migration.topology, told.island, self._count)
        self._heed.extend(self.places[k] for k in took if k in self.places)
        if told.island in self.places and any(k not in self.places for k in took):
            self._tell(told)

    def _migrants(self, island: int, epoch: int) -> Emigrants | None:
        """Emigrants of the island's sources after an epoch, or None while one of them has not got there."""
        there = self._emigrants.get(epoch, {})
        taken = sources(self.spec.migration.topology, island, self._count)
        if any(source not in there for source in taken):
            return None
        found = [there[source] for source in taken]
        if not found:
            return Emigrants.none(self.terms.dimension)
        return Emigrants(
            ids=tuple(name for e in found for name in e.ids),
            genomes=np.concatenate([e.genomes for e in found]),
            fitness=np.concatenate([e.fitness for e in found]),
        )

    def _forget(self, epoch: int) -> None:
        """Let go of what only islands in a committed epoch needed, and have its batches removed."""
        self._emigrants.pop(epoch, None)
        every = self.spec.migration.every
        for moment in [m for m in self._scored if epoch_of(m, every) <= epoch]:
            self._scored.discard(moment)
            self._unlucky.pop(moment, None)
        gone = set(self._covered.pop(epoch, [])).difference(self._set_aside)
        # An island that is ahead may have asked for the very same batch again.
        covered = sorted(gone.difference(*self._covered.values()))
        covered += sorted(name for name, latest in self._stacks.items() if latest <= epoch)
        self._stacks = {name: latest for name, latest in self._stacks.items() if latest > epoch}
        self._wait_for_removal()
        keys = [scores_key(b) for b in covered] + [batch_key(b) for b in covered]
        self._removing, self._leaving = self._remover.submit(self.record.remove, keys), frozenset(covered)

    def _wait_for_removal(self) -> None:
        if self._removing is not None:
            self._removing.result()
        self._removing, self._leaving = None, frozenset()


def epoch_of(moment: Origin, every: int) -> int:
    """The epoch of a moment of an island's life, in a run that migrates after ``every`` generations."""
    if moment.epoch is not None:
        return moment.epoch
    return (moment.generation or 0) // every


def part_of(record: Record, head: Head, key: str) -> bytes:
    """A part of the newest checkpoint. :raises CorruptData: if it is not listed, gone or was changed."""
    sha256 = head.parts.get(key)
    if sha256 is None:
        raise CorruptData(f"{record.url}/HEAD: it does not list {key}; restore it from a copy of the run")
    return record.part(key, sha256)
