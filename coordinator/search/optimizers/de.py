"""Differential evolution: a genome moves by the differences between others.

Storn and Price, "Differential Evolution", Journal of Global Optimization 11, 1997. The mutation
"current-to-pbest/1" is that of Zhang and Sanderson, "JADE: Adaptive Differential Evolution With Optional
External Archive", IEEE Transactions on Evolutionary Computation 13(5), 2009, equation 4 (without the archive
and the adaptation); the factor is dithered for every genome.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from coordinator.search.optimizers.base import AskTell, Doubles, Floats, Ints, Setup, State, ranking

_FACTOR = (0.4, 0.9)
_CROSSOVER_RATE = 0.9
_BEST_SHARE = 0.2
# A member keeps its place by the fitness that it once had, under other views: one lucky view set would keep
# it there for good. So what it once had pales in every generation, toward the median of the challengers.
_FORGETTING = 0.1


class De(AskTell):
    """Each row is a member's challenger, and takes its place where it is fitter (where it is as
    fit, it does not: on a plateau every challenger would win, and the population shrink to a point).

    Members outlive generations, so a genome's parents are told as the population as a whole, like draws from
    a distribution. Migrants challenge the last rows. The first population is noise; or the start genome, and
    others with N(0, sigma) added to each gene of it.
    """

    name: ClassVar[str] = "de"
    samples_distribution: ClassVar[bool] = True

    def __init__(self, setup: Setup, seed: np.random.SeedSequence) -> None:
        super().__init__(setup, seed)
        n, d = setup.population_size, setup.dimension
        if setup.center is None:
            members = setup.noise(self._rng, n)
        else:
            steps = setup.deviations * self._rng.standard_normal((n, d))
            steps[0] = 0
            members = setup.center + steps
        self._members: Floats = setup.clipped(members)
        self._fitness: Doubles = np.full(n, -np.inf)

    def _propose(self, migrants: Floats) -> tuple[Floats, Ints]:
        n, k = self.population_size, len(migrants)
        genomes = self._members.copy() if self.generation == 0 else self._challengers()
        genomes[n - k :] = migrants
        return genomes, np.full((n, 2), -1, np.int64)

    def _challengers(self) -> Floats:
        rng, n, d = self._rng, self.population_size, self.dimension
        members = self._members.astype(np.float64)
        best = ranking(self._fitness)[: max(2, round(_BEST_SHARE * n))]
        leaders = best[np.floor(rng.random(n) * len(best)).astype(np.int64)]
        # Two others than the row itself and than each other: steps of 1 to n - 1 around the circle of rows.
        rows = np.arange(n)
        one = 1 + np.floor(rng.random(n) * (n - 1)).astype(np.int64)
        two = 1 + np.floor(rng.random(n) * (n - 2)).astype(np.int64)
        two += two >= one
        first, second = members[(rows + one) % n], members[(rows + two) % n]
        factor = rng.uniform(*_FACTOR, (n, 1))
        moved = members + factor * (members[leaders] - members) + factor * (first - second)
        # At least one gene is the mutant's.
        crossed = rng.random((n, d)) < _CROSSOVER_RATE
        crossed[rows, np.floor(rng.random(n) * d).astype(np.int64)] = True
        # A gene beyond its bound comes to lie half-way to it (Zhang and Sanderson, section V).
        low, high = self._setup.low.astype(np.float64), self._setup.high.astype(np.float64)
        moved = np.where(moved < low, (members + low) / 2, moved)
        moved = np.where(moved > high, (members + high) / 2, moved)
        return self._setup.clipped(np.where(crossed, moved, members))

    def _learn(self, genomes: Floats, fitness: Doubles) -> None:
        known = fitness[np.isfinite(fitness)]
        if len(known):
            excess = np.maximum(self._fitness - float(np.median(known)), 0)
            self._fitness = self._fitness - _FORGETTING * excess
        wins = fitness > self._fitness
        self._members = np.where(wins[:, None], genomes, self._members)
        self._fitness = np.where(wins, fitness, self._fitness)

    def _own_state(self) -> State:
        return {"members": self._members.copy(), "fitness": self._fitness.copy()}

    def _own_restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        self._members = np.array(state["members"], np.float32)
        self._fitness = np.array(state["fitness"], np.float64)
