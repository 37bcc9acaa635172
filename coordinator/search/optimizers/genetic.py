"""A genetic algorithm on real genes: the fittest breed, as in Crispin's own search.

Crossover: Deb and Agrawal, "Simulated Binary Crossover for Continuous Search Space", Complex Systems 9, 1995.
Mutation: Deb and Goyal, "A Combined Genetic Adaptive Search (GeneAS) for Engineering Design", 1996; Deb,
"Multi-Objective Optimization using Evolutionary Algorithms", 2001, section 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from coordinator.search.optimizers.base import AskTell, Doubles, Floats, Ints, Setup, State, ranking

# Usual values of the literature above; the larger an index, the closer children stay to their parents.
_CROSSOVER_RATE = 0.9
_CROSSOVER_INDEX = 15.0
_MUTATION_INDEX = 20.0
_ELITE_SHARE = 0.05


class Genetic(AskTell):
    """Elites stay, and are scored anew, since every generation has views of its own; the rest are children.

    Rows: elites, children, migrants. For k migrants the k worst of the generation before do not breed.
    The first population is noise; or the start genome, and others with N(0, sigma) added to each gene of it;
    or several start genomes, each of them in turn.
    """

    name: ClassVar[str] = "genetic"
    tournament: ClassVar[int] = 3

    def __init__(self, setup: Setup, seed: np.random.SeedSequence) -> None:
        super().__init__(setup, seed)
        n, d = setup.population_size, setup.dimension
        self._elites = max(1, round(_ELITE_SHARE * n))
        if setup.center is None:
            population = setup.noise(self._rng, n)
        else:
            steps = setup.deviations * self._rng.standard_normal((n, d))
            around = setup.parents if len(setup.parents) else setup.center[None]
            steps[: len(around)] = 0
            population = around[np.arange(n) % len(around)] + steps
        # Where a gene has no bounds, noise itself says how far is far.
        width = setup.high.astype(np.float64) - setup.low
        self._width = np.where(np.isfinite(width), width, 5 * setup.spread)
        self._population: Floats = setup.clipped(population)
        self._fitness: Doubles = np.full(n, -np.inf)

    def _propose(self, migrants: Floats) -> tuple[Floats, Ints]:
        n, k = self.population_size, len(migrants)
        genomes = self._population.copy()
        parents = np.full((n, 2), -1, np.int64)
        if self.generation > 0:
            order = self._by_merit()
            elites = order[: self._elites]
            couples = order[self._tournaments(n - self._elites, self._breeders(k))]
            children, crossed = self._children(couples)
            genomes = np.concatenate([self._population[elites], children])
            parents[: self._elites, 0] = elites
            parents[self._elites :, 0] = couples[:, 0]
            parents[self._elites :, 1] = np.where(crossed, couples[:, 1], -1)
        genomes[n - k :] = migrants
        return genomes, parents

    def _by_merit(self) -> Ints:
        """Rows of the last generation, (n,), from the best to the worst."""
        return ranking(self._fitness)

    def _breeders(self, migrants: int) -> int:
        """How many of the best may breed."""
        return self.population_size - migrants

    def _tournaments(self, count: int, entrants: int) -> Ints:
        """Places in the ranking of tournament winners among the best `entrants`, (count, 2)."""
        # One uniform number an entry: how many are drawn does not hang on `entrants`.
        drawn = np.floor(self._rng.random((count, 2, self.tournament)) * entrants).astype(np.int64)
        winners: Ints = drawn.min(axis=2)
        return winners

    def _children(self, couples: Ints) -> tuple[Floats, NDArray[np.bool_]]:
        """A child (m, d) of each row of `couples` (m, 2), and whether both parents had a part in it (m,)."""
        rng, m, d = self._rng, len(couples), self.dimension
        first, second = self._population[couples[:, 0]], self._population[couples[:, 1]]
        crossed = (rng.random(m) < _CROSSOVER_RATE) & (couples[:, 0] != couples[:, 1])
        # Half of the genes are crossed; which parent a child's other genes come from is a coin toss too,
        # as it is when both children of a couple are kept.
        chosen = crossed[:, None] & (rng.random((m, d)) < 0.5)
        beta = spread_factor(rng.random((m, d)), _CROSSOVER_INDEX)
        sign = np.where(rng.random((m, d)) < 0.5, 1.0, -1.0)
        middle, half = (first + second) / 2, (first - second) / 2
        children = np.where(chosen, middle + sign * beta * half, first)
        mutated = rng.random((m, d)) < 1 / d
        shift = polynomial_shift(rng.random((m, d)), _MUTATION_INDEX) * self._width
        return self._setup.clipped(np.where(mutated, children + shift, children)), crossed

    def _learn(self, genomes: Floats, fitness: Doubles) -> None:
        self._population, self._fitness = genomes, fitness

    def _own_state(self) -> State:
        return {"population": self._population.copy(), "fitness": self._fitness.copy()}

    def _own_restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        self._population = np.array(state["population"], np.float32)
        self._fitness = np.array(state["fitness"], np.float64)


def spread_factor(uniform: Doubles, index: float) -> Doubles:
    """The spread of two children over that of their parents (Deb and Agrawal's beta), from numbers in [0, 1).

    Its density is (index + 1) / 2 * beta^index up to 1, and (index + 1) / 2 * beta^-(index + 2) beyond.
    """
    base = np.where(uniform <= 0.5, 2 * uniform, 1 / (2 * (1 - uniform)))
    factor: Doubles = base ** (1 / (index + 1))
    return factor


def polynomial_shift(uniform: Doubles, index: float) -> Doubles:
    """A mutation as a share of a gene's width (Deb and Goyal's delta), in [-1, 1), from numbers in [0, 1).

    Its density is (index + 1) / 2 * (1 - |delta|)^index.
    """
    power = 1 / (index + 1)
    shift: Doubles = np.where(uniform < 0.5, (2 * uniform) ** power - 1, 1 - (2 * (1 - uniform)) ** power)
    return shift
