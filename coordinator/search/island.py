"""One island's life, told as a sequence of requests.

An island is a generator: it yields what it needs (scores, migrants, leave to go on past a checkpoint) and is
sent the answer. It never waits for a clock or for another island's speed, so that what it does depends on the
spec and the seed alone.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordinator.search import away, dial, pareto
from coordinator.search.breeding import Breeding
from coordinator.search.grid import Grid
from coordinator.search.niches import Niches
from coordinator.search.optimizers import Optimizer, make_optimizer
from coordinator.search.seeds import (
    island_seed,
    migration_rng,
    ranking_seed,
    release_seed,
    restart_seed,
    view_seed,
)
from coordinator.search.topology import migrant_rows
from coordinator.spec.spec import Spec
from services.recognition.fitness import Fitness, Objective, fitness, weighted_residuals
from services.shape.catalog import facts_of
from services.storage.codec import decode, encode
from services.wire.mask import Mask
from services.wire.messages import Origin
from services.wire.plan import OK, Scores

Float = NDArray[np.float32]

RELEASED_STEP = 0.3  # of the first step, for a search that lets go of its symmetry


@dataclass(frozen=True)
class NeedScores:
    """Genomes float32 (n, d) to be scored under ``view_count`` views from ``view_seed``.

    moment: of the island's life; all islands have the same ones.
    """

    genomes: Float
    view_seed: int
    view_count: int
    moment: Origin


@dataclass(frozen=True)
class Emigrants:
    """Masks that leave an island: ids, genomes float32 (k, d), fitness float32 (k,) on the ranking views."""

    ids: tuple[str, ...]
    genomes: Float
    fitness: Float

    @classmethod
    def none(cls, dimension: int) -> Emigrants:
        """Nobody leaves."""
        return cls((), np.zeros((0, dimension), np.float32), np.zeros(0, np.float32))

    def take(self, rows: Sequence[int]) -> Emigrants:
        """Those of the given rows."""
        chosen = np.asarray(rows, np.int64)
        return Emigrants(tuple(self.ids[k] for k in chosen), self.genomes[chosen], self.fitness[chosen])


@dataclass(frozen=True)
class NeedMigrants:
    """The masks (:class:`Emigrants`) that this island's neighbors send after ``epoch``."""

    epoch: int


@dataclass(frozen=True)
class AtCheckpoint:
    """The island's whole state just after migration ``epoch``; it goes on when it is told to."""

    epoch: int
    state: bytes


Request = NeedScores | NeedMigrants | AtCheckpoint
Life = Generator[Request, Any, None]


@dataclass(frozen=True)
class Generation:
    """What one generation of one island brought. Arrays have one row a genome."""

    island: int
    number: int
    genomes: Float
    parents: tuple[tuple[str, ...], ...]
    scores: Scores
    result: Fitness

    @cached_property
    def ids(self) -> list[str]:
        """Mask ids; not to be changed."""
        return [mask_id(self.island, self.number, k) for k in range(len(self.genomes))]

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Which of them could be scored, bool (n,)."""
        return np.asarray(self.scores.status == OK)

    @property
    def scored_masks(self) -> list[Mask]:
        """Those that have a fitness."""
        names, fitness, flipped = self.ids, self.result.fitness.tolist(), self.scores.flipped.tolist()
        rows = np.flatnonzero(self.scored & np.isfinite(self.result.fitness)).tolist()
        return [
            Mask(
                *(names[k], self.island, self.number, self.genomes[k]),
                *(fitness[k], self.result.values[k], flipped[k]),
            )
            for k in rows
        ]


def mask_id(island: int, generation: int, index: int) -> str:
    """``i03-g0041-007``."""
    return f"i{island:02d}-g{generation:04d}-{index:03d}"


@dataclass
class Island:
    """One population with its optimizer.

    history: generations since the last commit, oldest first. emigrants: by epoch. ranked: the best of the
    epoch on the ranking views, by epoch; ranked_of: of how many that were scored there.

    Where the spec has patience, an island that has found no better mask for so many epochs starts anew with
    other random numbers, as restarts of CMA-ES do (Auger and Hansen, "A Restart CMA Evolution Strategy With
    Increasing Population Size", CEC 2005), but its population stays as large as it is, for batches' sake.
    For as many epochs it takes no migrants: a neighbor's best would soon have it where it came from.
    Where the spec says when a face is found, an island that has found one starts anew, too, and keeps away
    from what it found: see search/away.py. Where the spec says after how many generations to let go of a
    symmetric search, it then goes on with each gene on its own, around its best mask. None of these is for
    optimizers that look for many kinds of masks: a best mask says nothing of their cells or fronts.

    Where the spec says with how many views to begin, there are more of them as masks come to be accepted: far
    from a face any view tells which mask is the better one, near it most views are alike.
    """

    index: int
    spec: Spec
    objectives: tuple[Objective, ...]
    dimension: int
    breeding: Breeding | None = None
    optimizer: Optimizer = field(init=False)
    _cells: Grid | Niches | None = field(init=False)
    epoch: int = 0
    history: list[Generation] = field(default_factory=list)
    emigrants: dict[int, Emigrants] = field(default_factory=dict)
    ranked: dict[int, list[Mask]] = field(default_factory=dict)
    ranked_of: dict[int, int] = field(default_factory=dict)
    restarts: int = 0
    _born: int = 0  # generation in which the present optimizer began
    _start: int = 0  # generation in which the present search began; a released one goes on
    _best: float = -np.inf  # fitness on the ranking views, since the last start
    _idle: int = 0  # epochs since it rose
    _alone: int = 0  # epochs yet without migrants
    _accepted: float = 0.0  # share of the ranking views in which the last epoch's best mask pleased everybody
    _released: Float | None = None  # genome (d,) from which on each gene moves on its own
    _found: list[Float] = field(default_factory=list)  # genomes (d,) of the faces of earlier starts
    _ids: list[str] = field(default_factory=list)
    _migrant_ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._cells = self.spec.cells()
        if self.breeding is not None:
            self.breeding = self.breeding.within(self.spec.mask.limit)
        self.optimizer = self._optimizer(island_seed(self.spec.seed, self.index))

    def _optimizer(self, seed: np.random.SeedSequence) -> Optimizer:
        search, mask, bred = self.spec.search, self.spec.mask, self.breeding
        free = self._released
        symmetric = free is None and search.symmetric_on(self.index)
        return make_optimizer(
            search.optimizers[self.index % len(search.optimizers)],
            dimension=self.dimension,
            population=search.population,
            seed=seed,
            start=free if free is not None else mask.start if bred is None else bred.masks,
            keep=None if bred is None else bred.keep(),
            grid=self._cells,
            aims=0 if self.spec.pareto is None else len(self.spec.pareto.aims),
            spread=mask.spread,
            limit=mask.limit,
            sigma=search.sigma if free is None else RELEASED_STEP * search.sigma,
            symmetry=facts_of(mask.basis).symmetry if symmetric else None,
        )

    @property
    def generation(self) -> int:
        """Generations that have been told."""
        return self._born + self.optimizer.generation

    def life(self) -> Life:
        """From where the island stands to the last generation, see the module's text."""
        while self.generation < self.spec.search.generations:
            recent: list[Generation] = []
            end = min((self.epoch + 1) * self.spec.migration.every, self.spec.search.generations)
            while self.generation < end:
                recent.append((yield from self._generation()))
            yield from self._rank(recent)
            migrants = yield NeedMigrants(self.epoch)
            stalled, found = self._stalled(), self._has_found()
            if found:
                self._found.append(self._best_ranked().genome)
            if stalled or found:
                self._restart()
            elif self._is_to_be_released():
                self._release()
            elif self._alone:
                self._alone -= 1
            else:
                self._receive(migrants)
            yield AtCheckpoint(self.epoch, self.state())
            self.epoch += 1

    def _stalled(self) -> bool:
        """Note the epoch's best mask; whether none was better for as long as the spec has patience."""
        best = max((mask.fitness for mask in self.ranked[self.epoch]), default=-np.inf)
        self._idle = 0 if best > self._best else self._idle + 1
        self._best = max(self._best, best)
        return not self.optimizer.moves_all_genes and 0 < self.spec.search.patience <= self._idle

    def _has_found(self) -> bool:
        """Whether the epoch's best mask is a face as surely as the spec asks."""
        wanted = None if self.optimizer.moves_all_genes else self.spec.search.found
        return wanted is not None and bool(self.ranked[self.epoch]) and self._accepted >= wanted

    def _best_ranked(self) -> Mask:
        """The epoch's best mask, of an epoch that ranked any."""
        return max(self.ranked[self.epoch], key=lambda mask: mask.fitness)

    def _is_to_be_released(self) -> bool:
        after, symmetric = self.spec.search.release, self.spec.search.symmetric_on(self.index)
        symmetric = symmetric and not self.optimizer.moves_all_genes
        lived = self.generation - self._start
        return 0 < after <= lived and symmetric and self._released is None and bool(self.ranked[self.epoch])

    def _release(self) -> None:
        """From now on each gene moves on its own, in small steps around the epoch's best mask."""
        self._released = self._best_ranked().genome
        self._born = self.generation
        self._ids, self._migrant_ids = [], ()
        self.optimizer = self._optimizer(release_seed(self.spec.seed, self.index, self.restarts))

    def _restart(self) -> None:
        self._start = self._born = self.generation
        self.restarts, self._released = self.restarts + 1, None
        self._best, self._idle, self._alone = -np.inf, 0, self.spec.search.patience
        self._accepted = 0.0
        self._ids, self._migrant_ids = [], ()
        self.optimizer = self._optimizer(restart_seed(self.spec.seed, self.index, self.restarts))

    def _receive(self, migrants: Emigrants) -> None:
        """Let in the fittest, as many as the optimizer can take."""
        rows = sorted(range(len(migrants.ids)), key=lambda k: (-migrants.fitness[k], migrants.ids[k]))
        welcome = migrants.take(rows[: self.optimizer.migrant_capacity])
        self._migrant_ids = welcome.ids
        if welcome.ids:
            self.optimizer.inject(welcome.genomes)

    def _generation(self) -> Generator[Request, Any, Generation]:
        number = self.generation
        genomes = self.optimizer.ask()
        parents = self._parents(number)
        views = self.spec.views.at(self._accepted)
        scores = yield NeedScores(
            genomes, view_seed(self.spec.seed, number), views, Origin(generation=number)
        )
        result = self._fitness(genomes, scores)
        residuals = weighted_residuals(self.objectives, result, scores.residuals)
        fits = self._cells.fits(result.margins) if isinstance(self._cells, Niches) else None
        self.optimizer.tell(genomes, result.fitness, self._aims(genomes, result), residuals, fits)
        done = Generation(self.index, number, genomes, parents, scores, result)
        self._ids = done.ids
        self.history.append(done)
        return done

    def _aims(self, genomes: Float, result: Fitness) -> NDArray[np.float64] | None:
        if self.spec.pareto is None:
            return None
        labels = tuple(objective.label for objective in self.objectives)
        return pareto.Aims(tuple(self.spec.pareto.aims), self.spec.mask.basis, labels).of(genomes, result)

    def _fitness(self, genomes: Float, scores: Scores) -> Fitness:
        """Fitness as the machines have it, less what the dial takes; a vetoed mask has the worst."""
        result = fitness(self.objectives, list(scores.raw), scores.between, scores.status == OK)
        total, mask = result.fitness, self.spec.mask
        if mask.abstraction:
            total = total - dial.loss(mask.abstraction, mask.basis, mask.spread, mask.limit, genomes)
        if self._found:
            symmetric = self.spec.search.symmetric_on(self.index)
            found = np.stack(self._found)
            total = total - away.loss(found, mask.basis, mask.spread, mask.limit, symmetric, genomes)
        if self.breeding is not None and len(self.breeding.vetoed):
            total = np.where(self.breeding.is_vetoed(genomes), np.float32(-np.inf), total)
        return replace(result, fitness=total.astype(np.float32))

    def _parents(self, number: int) -> tuple[tuple[str, ...], ...]:
        """Ids of each genome's parents: masks, a migrant's own id, or the distribution that CMA drew from."""
        distribution = (f"i{self.index:02d}-g{number - 1:04d}",) if number > self._start else ()
        ancestors = self.optimizer.last_ancestors
        found: list[tuple[str, ...]] = []
        rows = zip(self.optimizer.last_parents, self.optimizer.last_migrants, strict=True)
        for k, (row, migrant) in enumerate(rows):
            parents = tuple(self._ids[p] for p in dict.fromkeys(row.tolist()) if 0 <= p < len(self._ids))
            if migrant >= 0:
                found.append((self._migrant_ids[migrant],))
            elif ancestors is not None:
                pairs = dict.fromkeys((int(g), int(j)) for g, j in ancestors[k])
                found.append(tuple(mask_id(self.index, self._born + g, j) for g, j in pairs if g >= 0))
            elif parents or not self.optimizer.samples_distribution:
                found.append(parents)
            else:
                found.append(distribution)
        self._migrant_ids = ()
        return tuple(found)

    def _rank(self, recent: Sequence[Generation]) -> Generator[Request, Any, None]:
        """Score the epoch's best again on the ranking views: who may leave, who may stay as an elite."""
        wanted = max(self.spec.elites.candidates, self.spec.migration.count)
        pool = [mask for generation in recent for mask in generation.scored_masks]
        best = sorted(pool, key=lambda mask: (-mask.fitness, mask.id))[:wanted]
        best = self._with_mean(best, pool)
        there = {mask.id for mask in best}
        best += [mask for mask in self._pinned(pool) if mask.id not in there]
        self.ranked_of[self.epoch] = len(best)
        if not best:
            self._accepted = 0.0
            self.emigrants[self.epoch], self.ranked[self.epoch] = Emigrants.none(self.dimension), []
            return
        genomes = np.stack([mask.genome for mask in best])
        scores = yield NeedScores(
            genomes, ranking_seed(self.spec.seed), self.spec.elites.ranking_views, Origin(epoch=self.epoch)
        )
        result = self._fitness(genomes, scores)
        self._accepted = float((result.margins[int(np.argmax(result.fitness))] >= 0).all(axis=0).mean())
        rng = migration_rng(self.spec.seed, self.index, self.epoch)
        migration = self.spec.migration
        ranked = Emigrants(tuple(mask.id for mask in best), genomes, result.fitness)
        self.emigrants[self.epoch] = ranked.take(
            migrant_rows(genomes, result.fitness, migration.count, migration.select, rng).tolist()
        )
        pinned = {mask.id for mask in self._pinned(best)}
        self.ranked[self.epoch] = [
            replace(
                mask,
                fitness=float(f),
                values=values,
                flipped=float(flipped),
                pinned=mask.id in pinned,
                start=self._start if self.spec.search.found is not None else 0,
            )
            for mask, f, values, flipped in zip(
                best, result.fitness, result.values, scores.flipped, strict=True
            )
            if np.isfinite(f)
        ]

    def _with_mean(self, best: Sequence[Mask], pool: Sequence[Mask]) -> list[Mask]:
        """The same with the newest mean of the optimizer's distribution among them, where it has one.

        One generation's views may have been kind to others. The ranking views decide.
        """
        newest = mask_id(self.index, self.generation - 1, 0)
        mean = next((mask for mask in pool if mask.id == newest), None)
        if self.optimizer.mean is None or mean is None or newest in {mask.id for mask in best}:
            return list(best)
        return [*best[:-1], mean]

    def _pinned(self, pool: Sequence[Mask]) -> list[Mask]:
        """The pinned masks of the first generation; the first island answers for all islands."""
        if self.breeding is None or self.index or not len(self.breeding.pinned):
            return []
        first = [mask for mask in pool if mask.generation == 0]
        return [mask for mask in first if self.breeding.is_pinned(mask.genome[None])[0]]

    def state(self) -> bytes:
        """Checkpoint bytes of the island just after a migration."""
        meta: dict[str, Any] = {"epoch": self.epoch, "ids": self._ids, "migrants": list(self._migrant_ids)}
        if self.spec.search.patience or self.spec.search.found is not None:
            best = self._best if np.isfinite(self._best) else None
            meta["start"] = [self.restarts, self._born, best, self._idle, self._alone]
        if self.spec.views.first is not None:
            meta["accepted"] = self._accepted
        arrays = {f"optimizer.{k}": v for k, v in self.optimizer.state().items()}
        if self.spec.search.release:
            meta["release"] = [self._start, self._born]
        if self._released is not None:
            arrays["released"] = self._released
        if self._found:
            arrays["found"] = np.stack(self._found)
        return encode(arrays, meta)

    def restore(self, data: bytes, where: str) -> None:
        """Stand where :meth:`state` was taken. :raises CorruptData: for damaged bytes."""
        arrays, meta = decode(data, where)
        self._found = list(arrays.pop("found", []))
        self._released = arrays.pop("released", None)
        if self._released is not None:
            self.optimizer = self._optimizer(island_seed(self.spec.seed, self.index))
        self.optimizer.restore({k.removeprefix("optimizer."): v for k, v in arrays.items()})
        self.epoch = int(meta["epoch"]) + 1
        self._ids = list(meta["ids"])
        self._migrant_ids = tuple(meta["migrants"])
        self._accepted = float(meta.get("accepted", 0.0))
        if "start" in meta:
            self.restarts, self._born, best, self._idle, self._alone = meta["start"]
            self._best = -np.inf if best is None else float(best)
            self._start = self._born
        if "release" in meta:
            self._start, self._born = meta["release"]
