"""Separable natural evolution strategies: a mean and a step size a gene, moved along the natural gradient.

Schaul, Glasmachers and Schmidhuber, "High Dimensions and Heavy Tails for Natural Evolution Strategies", GECCO
2011, algorithm 1; utilities and learning rates: Wierstra et al., "Natural Evolution Strategies", JMLR 15,
2014, table 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from coordinator.search.optimizers.around_mean import AroundMean
from coordinator.search.optimizers.base import Doubles, Floats, Ints, Setup, State, ranking

# The smallest and the largest step of a gene, as shares of the first one: a search that has come to rest can
# still leave, and one on a plateau does not drift out of all numbers.
_SMALLEST_STEP, _LARGEST_STEP = 1e-3, 1e3


class Snes(AroundMean):
    """Draws from a normal distribution whose mean starts as the start genome, or as one noise genome.

    The update learns from what was scored, so that genes beyond the bounds count as at the bound.
    """

    name: ClassVar[str] = "snes"

    def __init__(self, setup: Setup, seed: np.random.SeedSequence) -> None:
        super().__init__(setup, seed)
        n, d = self.draws, setup.dimension
        self._mean = self._first_mean()
        self._deviations = setup.deviations.copy()
        self._rate = (3 + math.log(d)) / (5 * math.sqrt(d))
        raw = np.maximum(0, math.log(n / 2 + 1) - np.log(np.arange(1, n + 1)))
        self._utilities: Doubles = raw / raw.sum() - 1 / n

    @property
    def mean(self) -> Doubles:
        """(d,) the distribution's mean."""
        return self._mean.copy()

    @property
    def deviations(self) -> Doubles:
        """(d,) the distribution's standard deviation in each gene."""
        return self._deviations.copy()

    def _propose(self, migrants: Floats) -> tuple[Doubles, Ints]:
        mean, deviations = self._mean, self._deviations
        genomes = mean + deviations * self._rng.standard_normal((self.population_size, self.dimension))
        return self._with_migrants(genomes, migrants, (migrants - mean) / deviations)

    def _learn(self, genomes: Floats, fitness: Doubles) -> None:
        steps = (genomes[ranking(fitness)].astype(np.float64) - self._mean) / self._deviations
        u = self._utilities[:, None]
        self._mean = self._mean + self._deviations * (u * steps).sum(axis=0)
        # At most by e in one update, for the sake of migrants.
        growth = np.minimum(self._rate / 2 * (u * (steps**2 - 1)).sum(axis=0), 1.0)
        sigma = self._setup.sigma
        self._deviations = np.clip(
            self._deviations * np.exp(growth), _SMALLEST_STEP * sigma, _LARGEST_STEP * sigma
        )
        self._mean = np.clip(self._mean, self._setup.low, self._setup.high)

    def _own_state(self) -> State:
        return {"mean": self._mean.copy(), "deviations": self._deviations.copy()}

    def _own_restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        self._mean = np.array(state["mean"], np.float64)
        self._deviations = np.array(state["deviations"], np.float64)
