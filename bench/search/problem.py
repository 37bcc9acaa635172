"""What a contender is asked and charged for: scored views, with a run's own objectives and fitness."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coordinator.run import Opened
from coordinator.search.seeds import ranking_seed, view_seed
from services.recognition.fitness import fitness
from services.shape.catalog import basis_info
from services.wire.plan import OK, Batch, Scores
from worker.scorer import Scorer

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

HELD_OUT_SEED = 20_261_125  # with the problem's seed: views that no contender is scored under
SEARCH_VIEWS = 240  # after so many, the best of them are ranked
CANDIDATES = 2
ARCHETYPE_SHARE = 0.9  # of the held-out views in which both detectors see a face
IDENTITY_SHARE = 0.5  # of the held-out views in which the face is seen and IDENTITY_DISTANCE or nearer
IDENTITY_DISTANCE = 0.45


class BudgetSpent(Exception):
    """The contender may score no more."""


@dataclass(frozen=True)
class Seen:
    """How one mask fares under held-out views.

    accepted: share of them in which it is accepted. hog, mmod: shares in which each detector sees a face.
    distance: median over the views that HOG sees, where the task has a target.
    """

    accepted: float
    hog: float
    mmod: float
    distance: float | None


@dataclass(frozen=True)
class Point(Seen):
    """Where a search stands after ``views`` scored views. fitness: of its incumbent, on the ranking views."""

    views: int
    fitness: float


class Problem:
    """Scores genomes until the budget is spent, and keeps the curve.

    Everyone is ranked alike: the best of the search's last masks are scored again on the run's ranking views,
    which is charged, and the best of all that were ranked is the incumbent. It alone is seen under held-out
    views, which is not charged. A search that holds another genome to be its best estimate, such as the mean
    of its distribution, says so by ``favorite``: it is ranked in place of the second best mask.
    """

    def __init__(
        self, opened: Opened, targets: Mapping[str, Floats], budget: int, held_out_views: int = 40
    ) -> None:
        self.opened, self.budget = opened, budget
        spec = opened.spec
        self.seed = spec.seed
        self.dimension = len(basis_info(spec.mask.basis).gene_names)
        self.limit, self.sigma, self.spread = spec.mask.limit, spec.search.sigma, spec.mask.spread
        self.from_noise = spec.mask.start == "noise"
        self.population = spec.search.population
        self.spent = 0
        self.scoring_s = 0.0
        self.best_seen: list[tuple[int, float]] = []
        self.curve: list[Point] = []
        self.incumbent: tuple[float, Floats] | None = None
        self.favorite: Callable[[], ArrayLike] | None = None
        self._targets, self._scorer = targets, Scorer(opened.plan, targets)
        self._held_out_views = held_out_views
        self._calls = 0
        self._unranked: list[tuple[float, Floats]] = []
        self._since_ranking = 0

    # -- what a start looks like, for contenders

    def rng(self) -> np.random.Generator:
        """A contender's own random numbers."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(97,)))

    def start_mean(self, rng: np.random.Generator) -> Doubles:
        """(d,) one noise genome, or the neutral head: what a search that has a mean begins with."""
        noise: Doubles = np.clip(rng.normal(0, self.spread, self.dimension), -self.limit, self.limit)
        return noise if self.from_noise else np.zeros(self.dimension)

    def start_population(self, rng: np.random.Generator, count: int) -> Doubles:
        """(count, d) noise genomes, or the neutral head with N(0, sigma) added to each gene."""
        width = self.spread if self.from_noise else self.sigma
        drawn: Doubles = rng.normal(0, width, (count, self.dimension))
        return np.clip(drawn, -self.limit, self.limit)

    # -- scoring

    def evaluate(self, genomes: ArrayLike) -> Doubles:
        """Fitness (n,), larger is better, of genomes (n, d), all under the same views, new ones every time.

        Genes beyond the limits count as at the limit. What cannot be scored is worth the least of the others,
        less 1: not every library takes infinity.

        :raises BudgetSpent: where less is left than they cost.
        """
        given = np.clip(np.asarray(genomes, np.float64), -self.limit, self.limit).astype(np.float32)
        values = self._fitness(given, view_seed(self.seed, self._calls), self.opened.spec.views.count)
        self._calls += 1
        self.told(given, values)
        finite = values[np.isfinite(values)]
        if self._since_ranking >= SEARCH_VIEWS:
            self._rank()
        return np.where(np.isfinite(values), values, (finite.min() if len(finite) else -10.0) - 1.0)

    def score(self, batch: Batch, cost: int) -> Scores:
        """Raw scores of one batch, ``cost`` views charged. :raises BudgetSpent: as in :meth:`evaluate`."""
        if self.spent + cost > self.budget:
            raise BudgetSpent
        if batch.plan != self._scorer.plan:  # a contender's own spec asks for more
            self._scorer = Scorer(batch.plan, self._targets)
        start = time.perf_counter()
        scores = self._scorer.score(batch)
        self.scoring_s += time.perf_counter() - start
        self.spent += cost
        return scores

    def told(self, genomes: Floats, values: Doubles) -> None:
        """Note what a search has seen of its masks."""
        self._since_ranking += len(genomes) * self.opened.spec.views.count
        self._unranked += [(float(v), g) for v, g in zip(values, genomes, strict=True) if np.isfinite(v)]
        best = float(np.max(values, initial=-np.inf))
        if np.isfinite(best) and (not self.best_seen or best > self.best_seen[-1][1]):
            self.best_seen.append((self.spent, best))

    def ranked(self, genomes: Floats, values: Doubles) -> None:
        """Note masks' fitness on the ranking views, and look at a new incumbent under held-out views."""
        for genome, value in zip(genomes, values, strict=True):
            if np.isfinite(value) and (self.incumbent is None or value > self.incumbent[0]):
                self.incumbent = (float(value), np.array(genome, np.float32))
        if self.incumbent is None:
            return
        best, genome = self.incumbent
        if not self.curve or best > self.curve[-1].fitness:
            seen = self.held_out(genome, self._held_out_views)
            self.curve.append(Point(seen.accepted, seen.hog, seen.mmod, seen.distance, self.spent, best))
        else:
            last = self.curve[-1]
            self.curve.append(replace(last, views=self.spent))

    def held_out(self, genome: Floats, count: int) -> Seen:
        """How the machines take one mask under held-out views, not charged."""
        batch = Batch(self.opened.plan, genome[None], HELD_OUT_SEED + self.seed, count)
        scores = self._scorer.score(batch)
        by_kind = {(m.kind, m.model): scores.raw[k, 0] for k, m in enumerate(self.opened.plan.quantities)}
        hog = by_kind["detect", "dlib-hog"] > 0
        mmod = by_kind["detect", "dlib-mmod"] > 0
        distance = by_kind.get(("identity", "dlib-resnet"))
        accepted = hog & mmod if distance is None else hog & (distance <= IDENTITY_DISTANCE)
        return Seen(
            accepted=float(accepted.mean()),
            hog=float(hog.mean()),
            mmod=float(mmod.mean()),
            distance=None if distance is None or not hog.any() else float(np.median(distance[hog])),
        )

    @property
    def share(self) -> float:
        """Of the held-out views, how many a mask must be accepted in."""
        return IDENTITY_SHARE if self.opened.spec.identity else ARCHETYPE_SHARE

    def values(self, scores: Scores) -> Doubles:
        """Fitness (n,), -inf where a genome could not be scored."""
        result = fitness(self.opened.objectives, list(scores.raw), scores.between, scores.status == OK)
        return result.fitness.astype(np.float64)

    def _fitness(self, genomes: Floats, seed: int, views: int) -> Doubles:
        batch = Batch(self.opened.plan, genomes, seed, views)
        return self.values(self.score(batch, len(genomes) * views))

    def _rank(self) -> None:
        entries = sorted(self._unranked, key=lambda entry: -entry[0])[:CANDIDATES]
        best = [genome for _, genome in entries]
        if self.favorite is not None:
            mean = np.asarray(self.favorite(), np.float64)
            best[CANDIDATES - 1 :] = [np.clip(mean, -self.limit, self.limit).astype(np.float32)]
        self._unranked, self._since_ranking = [], 0
        if best:
            genomes = np.stack(best)
            views = self.opened.spec.elites.ranking_views
            self.ranked(genomes, self._fitness(genomes, ranking_seed(self.seed), views))
