"""Drive the islands: have their batches scored, pass migrants on, commit checkpoints."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from coordinator.queue.executor import Executor, Finished
from coordinator.record.evaluations import encode_generations, unscored
from coordinator.record.rankings import encode_ranking
from coordinator.record.record import Record, checkpoint_key, evaluations_key, ranking_key
from coordinator.search.archive import PART, Archive
from coordinator.search.breeding import Breeding
from coordinator.search.elites import best_of_each_start, choose_elites
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
from coordinator.search.topology import receivers, sources
from coordinator.spec.spec import Spec
from services.errors import BadInput, CorruptData, DatamaskError
from services.recognition.fitness import Objective
from services.wire.mask import Mask, decode_masks, encode_masks
from services.wire.messages import Origin
from services.wire.objects import batch_key, failure_prefix, given_up, last_words, scores_key
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
    states: dict[int, bytes] = field(default_factory=dict)


class Evolution:
    """One run from where its record stands to its last generation.

    Nothing here depends on the order in which batches come back: an island is advanced by its own scores and
    by the emigrants of its sources only.
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
    ) -> None:
        self.spec, self.record, self.plan, self.objectives = spec, record, plan, objectives
        self._executor = executor
        self._watchers = watchers
        islands = [Island(k, spec, objectives, dimension, breeding) for k in range(spec.search.islands)]
        self.places = [Place(island, island.life()) for island in islands]
        said, cells = spec.archive, spec.cells()
        self.archive = Archive(cells, said.admit) if said is not None and cells is not None else None
        self._committed = 0  # epochs
        self._saver = ThreadPoolExecutor(1, thread_name_prefix="datamask-commit")
        self._saving: Future[None] | None = None  # the commit under way
        self._alive = len(self.places)
        self._there: Counter[int] = Counter()  # islands whose state of an epoch is known
        self._heed: deque[Place] = deque()  # what waits for others, and may have them now
        self._waiting: dict[str, list[Place]] = {}
        self._covered: dict[int, list[str]] = {}
        self._stacks: dict[str, int] = {}  # by name: the last epoch that has a batch in it
        # By moment and island: whether any of its batches was scored; None where it had nothing to score.
        self._fates: dict[Origin, dict[int, bool | None]] = {}
        self._held: list[tuple[Place, _Pending]] = []  # every batch failed: they wait for others' fates
        self._gave_up: set[str] = set()  # batches that an earlier start set aside
        self.best: list[Mask] = []
        self.set_aside: list[str] = []
        self.scored_views = 0
        self.started = time.monotonic()

    @property
    def epochs(self) -> int:
        """How many epochs the whole run has."""
        return -(-self.spec.search.generations // self.spec.migration.every)

    def restore(self) -> None:
        """Stand at the newest checkpoint. :raises CorruptData: if a part of it is damaged."""
        head = self.record.head()
        if not head.parts:
            return
        epoch = head.epoch
        for place in self.places:
            key = checkpoint_key(epoch, f"i{place.island.index:02d}")
            place.island.restore(self._part(head.parts, key), f"{self.record.url}/{key}")
            place.life = place.island.life()
        key = checkpoint_key(epoch, "elites")
        self.best = decode_masks(self._part(head.parts, key), f"{self.record.url}/{key}")
        if self.archive is not None:
            key = checkpoint_key(epoch, PART)
            self.archive.restore(self._part(head.parts, key), f"{self.record.url}/{key}")
        self._committed = epoch + 1

    def _part(self, parts: object, key: str) -> bytes:
        sha256 = parts.get(key) if isinstance(parts, dict) else None
        if sha256 is None:
            raise CorruptData(
                f"{self.record.url}/HEAD: it does not list {key}; restore it from a copy of the run"
            )
        return self.record.part(key, sha256)

    def run(self) -> None:
        """Evolve until every island has lived its generations. An exception adds no checkpoint.

        :raises DatamaskError: where every batch of a generation failed; :raises BadInput: where no mask of an
            epoch could be scored, nor one before.
        """
        for _ in self.steps():
            pass

    def steps(self) -> Iterator[None]:
        """:meth:`run`, pausing after every batch that came back; it may be left at any pause."""
        self._gave_up = given_up(self.record.store)
        try:
            for place in self.places:
                self._advance(place, None)
            self._settle()
            yield
            while self._alive or self._saving is not None:
                if self._saving is not None and not self._waiting:
                    wait([self._saving])
                else:
                    self._arrived(self._executor.wait())
                self._settle()
                yield
        finally:
            self._saver.shutdown()  # a commit that has begun is ended

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
            ranking = self._fates.setdefault(Origin(epoch=place.request.epoch), {})
            ranking.setdefault(place.island.index, None)
            index, count = place.island.index, len(self.places)
            self._heed.append(place)
            self._heed.extend(self.places[k] for k in receivers(self.spec.migration.topology, index, count))
        elif isinstance(place.request, AtCheckpoint):
            place.states[place.request.epoch] = place.request.state
            self._there[place.request.epoch] += 1
            self._heed.append(place)

    def _submit(self, place: Place, request: NeedScores) -> None:
        size = self.spec.search.batch_size
        works = [
            Batch(self.plan, genomes, request.view_seed, request.view_count)
            for genomes in (request.genomes[k : k + size] for k in range(0, len(request.genomes), size))
        ]
        batches = [batch_id(work.encoded()) for work in works]
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

    def _arrived(self, finished: Finished) -> None:
        places = self._waiting.pop(finished.batch, [])
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
                scored = not set(pending.batches).issubset(self.set_aside)
                self._fates.setdefault(pending.moment, {})[place.island.index] = scored
                if scored:
                    self._answer(place, pending)
                else:
                    self._held.append((place, pending))

    def _answer(self, place: Place, pending: _Pending) -> None:
        before = len(place.island.history)
        self._advance(place, self._collect(pending))
        for generation in place.island.history[before:]:
            for watcher in self._watchers:
                watcher.generation_done(generation)

    def _let_go(self) -> bool:
        """Let islands go on of which every batch failed, as soon as another one's was scored.

        :raises DatamaskError: where none was, on any island: then it is not these masks.
        """
        held, self._held = self._held, []
        for place, pending in held:
            fates = self._fates[pending.moment]
            if True in fates.values():
                self._answer(place, pending)
            elif len(fates) == len(self.places):
                url, words = self.record.url, last_words(self.record.store, pending.batches[-1])
                raise DatamaskError(
                    f"{url}: every batch of {pending.moment.words} failed; the last one said: {words}; see "
                    f"datamask show {url}"
                )
            else:
                self._held.append((place, pending))
        self._fates = {m: fates for m, fates in self._fates.items() if len(fates) < len(self.places)}
        return len(self._held) < len(held)

    def _collect(self, pending: _Pending) -> Scores:
        parts = []
        size = self.spec.search.batch_size
        for k, batch in enumerate(pending.batches):
            count = len(pending.genomes[k * size : (k + 1) * size])
            if batch in self.set_aside:
                parts.append(failed_scores(self.plan, count, pending.plan_views))
            elif batch in pending.scores:
                parts.append(pending.scores[batch])
            else:
                key = scores_key(batch)
                parts.append(decode_scores(self.record.store.get(key), f"{self.record.url}/{key}"))
        return joined_scores(parts)

    # -- all islands

    def _settle(self) -> None:
        """Advance every island that waits for nothing but others, until none does."""
        moved = True
        while moved:
            moved = self._let_go()
            moved = self._commit_ready() or moved
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

    def _migrants(self, island: int, epoch: int) -> Emigrants | None:
        """Emigrants of the island's sources after an epoch, or None while one of them has not got there."""
        found = []
        for source in sources(self.spec.migration.topology, island, len(self.places)):
            emigrants = self.places[source].island.emigrants.get(epoch)
            if emigrants is None:
                return None
            found.append(emigrants)
        if not found:
            return Emigrants.none(self.places[island].island.dimension)
        return Emigrants(
            ids=tuple(name for e in found for name in e.ids),
            genomes=np.concatenate([e.genomes for e in found]),
            fitness=np.concatenate([e.fitness for e in found]),
        )

    def _commit_ready(self) -> bool:
        """Note a commit that is done and begin the next one that is due; whether islands may go on."""
        noted = self._saving is not None and self._saving.done()
        if self._saving is not None and noted:
            self._saving.result()
            self._saving = None
            self._committed += 1
            self._heed.extend(self.places)
            for watcher in self._watchers:
                watcher.epoch_done(self._committed - 1, self.elites())
        if self._saving is None and self._there[self._committed] == len(self.places):
            self._begin_commit(self._committed)
        return noted

    def _begin_commit(self, epoch: int) -> None:
        """Take an epoch's part of every island, and have it written while they go on."""
        del self._there[epoch]
        parts, generations = {}, []
        ranked, ranked_of = [], 0
        last = min((epoch + 1) * self.spec.migration.every, self.spec.search.generations)
        self._stop_if_none_scored(epoch, last)
        for place in self.places:
            island = place.island
            parts[checkpoint_key(epoch, f"i{island.index:02d}")] = place.states.pop(epoch)
            for generation in island.history:
                if generation.number < last:
                    generations.append(generation)
                    self._archived(generation)
            island.history = [g for g in island.history if g.number >= last]
            ranked += island.ranked.pop(epoch)
            ranked_of += island.ranked_of.pop(epoch)
            island.emigrants.pop(epoch, None)
        self.best = best_of_each_start(self.best + ranked, self.spec.elites.count)
        parts[checkpoint_key(epoch, "elites")] = encode_masks(self.best)
        if self.archive is not None:
            parts[checkpoint_key(epoch, PART)] = self.archive.encoded([o.label for o in self.objectives])
        gone = set(self._covered.pop(epoch, [])).difference(self.set_aside)
        # An island that is ahead may have asked for the very same batch again.
        covered = sorted(gone.difference(*self._covered.values()))
        covered += sorted(name for name, latest in self._stacks.items() if latest <= epoch)
        self._stacks = {name: latest for name, latest in self._stacks.items() if latest > epoch}
        told = {mask.id for mask in ranked}
        told |= set() if self.archive is None else {mask.id for mask in self.archive.kept}
        ranking = encode_ranking(ranked, ranked_of * self.spec.elites.ranking_views)
        self._saving = self._saver.submit(self._save, epoch, parts, generations, told, ranking, covered)

    def _save(
        self,
        epoch: int,
        parts: dict[str, bytes],
        generations: list[Generation],
        told: set[str],
        ranking: bytes,
        covered: list[str],
    ) -> None:
        """Write a checkpoint, then remove what it covers. In a thread: nothing here looks at an island.

        told: ids of masks whose rows stay, whichever the run keeps.
        """
        which = self.spec.record.evaluations
        table = encode_generations(generations, self.plan.basis, self.objectives, which, told)
        self.record.store.put(ranking_key(epoch), ranking)
        self.record.commit(epoch, parts, {evaluations_key(epoch): table})
        self.record.remove([scores_key(b) for b in covered] + [batch_key(b) for b in covered])
        if epoch >= 2:  # the last two checkpoints stay
            self.record.remove(self.record.store.list(f"checkpoints/e{epoch - 2:05d}/"))

    def _stop_if_none_scored(self, epoch: int, last: int) -> None:
        """:raises BadInput: where no mask was scored, in this epoch or before."""
        every = [g for place in self.places for g in place.island.history if g.number < last]
        if not self.best and not any(generation.scored.any() for generation in every):
            statuses = Counter(STATUS_NAMES[status] for g in every for status in g.scores.status)
            raise BadInput(
                f"{self.record.url}: no mask of epoch {epoch + 1} could be scored: {unscored(statuses)}"
            )

    def _archived(self, generation: Generation) -> None:
        if self.archive is not None:
            result = generation.result
            self.archive.add(
                *(generation.ids, generation.island, generation.number, generation.genomes),
                *(result.fitness, result.values, generation.scores.flipped, result.margins),
            )

    def elites(self) -> list[Mask]:
        """The run's elites, best first: each island's best before any island's second."""
        return choose_elites(self.best, self.spec.elites.count)
