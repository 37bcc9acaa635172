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

from coordinator.optimizers.base import AskTell, Doubles, Floats, Ints, Setup, State, ranking

# The smallest and the largest step of a gene, as shares of the first one: a search that has come to rest can
# still leave, and one on a plateau does not drift out of all numbers.
_SMALLEST_STEP, _LARGEST_STEP = 1e-3, 1e3


class Snes(AskTell):
    """Draws from a normal distribution whose mean starts as the start genome, or as one noise genome.

    Migrants replace the last draws; those too far out to be taken as draws are moved toward the mean, as in
    :class:`~coordinator.optimizers.sep_cma.SepCma`. The update learns from what was scored, so that genes
    beyond the bounds count as at the bound.
    """

    name: ClassVar[str] = "snes"
    samples_distribution: ClassVar[bool] = True

    def __init__(self, setup: Setup, seed: np.random.SeedSequence) -> None:
        super().__init__(setup, seed)
        n, d = setup.population_size - 1, setup.dimension  # the mean is no draw
        mean = setup.noise(self._rng, 1)[0] if setup.center is None else setup.center
        self._mean = setup.clipped(mean).astype(np.float64)
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

    @property
    def longest_injection(self) -> float:
        """The Mahalanobis length to which a migrant is cut (Hansen, arXiv 1110.4181, c_y)."""
        d = self.dimension
        return math.sqrt(d) + 2 * d / (d + 2)

    def _propose(self, migrants: Floats) -> tuple[Doubles, Ints]:
        n = self.population_size
        genomes = self._mean + self._deviations * self._rng.standard_normal((n, self.dimension))
        steps = migrants - self._mean
        lengths = np.linalg.norm(steps / self._deviations, axis=1, keepdims=True)
        shares = self.longest_injection / np.maximum(lengths, self.longest_injection)
        # A migrant that is close enough stays as it is, to the bit.
        genomes[n - len(migrants) :] = np.where(shares < 1, self._mean + shares * steps, migrants)
        return genomes, np.full((n, 2), -1, np.int64)

    def _learn(self, genomes: Floats, fitness: Doubles) -> None:
        draws = genomes[1:][ranking(fitness[1:])].astype(np.float64)
        steps = (draws - self._mean) / self._deviations
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
