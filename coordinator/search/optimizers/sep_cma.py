"""CMA-ES with a diagonal covariance matrix: learns one step size a gene, in time linear in the genes.

Ros and Hansen, "A Simple Modification in CMA-ES Achieving Linear Time and Space Complexity", PPSN X, 2008.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from coordinator.search.optimizers.base import Doubles, Floats, Ints, Setup, State
from coordinator.search.optimizers.cma_family import CmaFamily, Rates, damping

# The smallest step of a gene, as a share of the first one: a search that has come to rest can still leave.
_SMALLEST_STEP = 1e-3


class SepCma(CmaFamily):
    """Draws from a normal distribution whose mean starts as the start genome, or as one noise genome.

    Genes beyond the bounds are set to the bound, and the update learns from what was scored.
    """

    name: ClassVar[str] = "sep-cma"

    def __init__(self, setup: Setup, seed: np.random.SeedSequence) -> None:
        super().__init__(setup, seed)
        self._smallest_step = _SMALLEST_STEP * setup.sigma
        self._variances = (setup.deviations / setup.sigma) ** 2  # as far apart as the masks to breed from

    def _chosen_rates(self) -> Rates:
        d, half = self.dimension, self.draws // 2
        raw = np.array([math.log(half + 1) - math.log(rank + 1) for rank in range(half)])
        weights = raw / sum(raw)
        mu_eff = 1 / sum(weights**2)
        c_one = 2 / ((d + 1.3) ** 2 + mu_eff)
        c_mu = 2 / mu_eff / ((d + np.sqrt(2)) ** 2) + (1 - 1 / mu_eff) * min(
            1, (2 * mu_eff - 1) / ((d + 2) ** 2 + mu_eff)
        )
        # The factor (d + 2) / 3 of Ros and Hansen can lift the learning rate above 1 where a population is
        # large and a genome short, and variances would turn negative. Hansen's tutorial caps it so.
        c_mu = min((d + 2) / 3 * c_mu, 1 - c_one)
        c_sigma = (mu_eff + 2) / (d + mu_eff + 3)
        return Rates(weights, mu_eff, c_one, c_mu, 4 / (d + 4), c_sigma, damping(mu_eff, d, c_sigma))

    @property
    def deviations(self) -> Doubles:
        """(d,) the distribution's standard deviation in each gene."""
        deviations: Doubles = self._sigma * np.sqrt(self._variances)
        return deviations

    def _propose(self, migrants: Floats) -> tuple[Doubles, Ints]:
        mean, deviations = self._mean, self.deviations
        genomes = mean + deviations * self._rng.standard_normal((self.population_size, self.dimension))
        return self._with_migrants(genomes, migrants, (migrants - mean) / deviations)

    def _whitened(self, step: Doubles) -> Doubles:
        return step / np.sqrt(self._variances)

    def _learn_shape(self, steps: Doubles, kept: float) -> None:
        rates = self._rates
        ranked = np.sum(rates.weights[:, None] * steps[: len(rates.weights)] ** 2, axis=0)
        # The diagonal of eq. 47.
        self._variances = kept * self._variances + rates.c_one * self._path**2 + rates.c_mu * ranked

    def _learn(self, genomes: Floats, fitness: Doubles) -> None:
        super()._learn(genomes, fitness)
        # On a plateau, and where genes are pressed against their bounds, step sizes drift down without end.
        self._sigma = max(self._sigma, self._smallest_step)
        self._variances = np.maximum(self._variances, (self._smallest_step / self._sigma) ** 2)

    def _own_state(self) -> State:
        return {**super()._own_state(), "variances": self._variances.copy()}

    def _own_restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        super()._own_restore(state)
        self._variances = np.array(state["variances"], np.float64)
