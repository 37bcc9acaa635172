"""CMA-ES with a diagonal covariance matrix: learns one step size a gene, in time linear in the genes.

Ros and Hansen, "A Simple Modification in CMA-ES Achieving Linear Time and Space Complexity", PPSN X, 2008.
The update is `cmaes.SepCMA.tell`. Sampling is done here: that class keeps a random state of its own, which
its pickles drop, and has no place for migrants.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from coordinator.search.optimizers.around_mean import CmaFamily
from coordinator.search.optimizers.base import Doubles, Floats, Ints, Setup, State

# The smallest step of a gene, as a share of the first one: a search that has come to rest can still leave.
_SMALLEST_STEP = 1e-3


class SepCma(CmaFamily):
    """Draws from a normal distribution whose mean starts as the start genome, or as one noise genome.

    Genes beyond the bounds are set to the bound, and the update learns from what was scored.
    """

    name: ClassVar[str] = "sep-cma"

    def __init__(self, setup: Setup, seed: np.random.SeedSequence) -> None:
        # Imported here, for it takes half a second (it loads scipy.stats) that most commands need not wait.
        from cmaes import SepCMA

        super().__init__(setup, seed)
        self._smallest_step = _SMALLEST_STEP * setup.sigma
        self._cma = SepCMA(
            mean=self._first_mean(),
            sigma=setup.sigma,
            population_size=self.draws,
        )
        self._cma._C = (setup.deviations / setup.sigma) ** 2  # as far apart as the masks to breed from
        # The factor (d + 2) / 3 of Ros and Hansen can lift the learning rate above 1 where a population is
        # large and a genome short, and variances would turn negative. Hansen's tutorial (arXiv 1604.00772)
        # caps it so.
        self._cma._cmu = min(self._cma._cmu, 1 - self._cma._c1)

    @property
    def deviations(self) -> Doubles:
        """(d,) the distribution's standard deviation in each gene."""
        deviations: Doubles = self._cma._sigma * np.sqrt(self._cma._C)
        return deviations

    def _propose(self, migrants: Floats) -> tuple[Doubles, Ints]:
        mean, deviations = self.mean, self.deviations
        genomes = mean + deviations * self._rng.standard_normal((self.population_size, self.dimension))
        return self._with_migrants(genomes, migrants, (migrants - mean) / deviations)

    def _learn(self, genomes: Floats, fitness: Doubles) -> None:
        self._update(genomes, fitness)
        cma = self._cma
        # On a plateau, and where genes are pressed against their bounds, step sizes drift down without end.
        cma._sigma = max(cma._sigma, self._smallest_step)
        cma._C = np.maximum(cma._C, (self._smallest_step / cma._sigma) ** 2)

    def _own_state(self) -> State:
        return {**super()._own_state(), "variances": self._cma._C.copy()}

    def _own_restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        super()._own_restore(state)
        cma = self._cma
        cma._C = np.array(state["variances"], np.float64)
        cma._D = None
