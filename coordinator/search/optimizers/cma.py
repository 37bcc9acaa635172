"""CMA-ES with its full covariance matrix: learns which genes move together.

Hansen, "The CMA Evolution Strategy: A Tutorial", arXiv 1604.00772. The update is `cmaes.CMA.tell`; sampling
is done here, for the reasons that stand in :mod:`coordinator.search.optimizers.sep_cma`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from coordinator.search.optimizers.around_mean import CmaFamily
from coordinator.search.optimizers.base import Doubles, Floats, Ints, Setup, State

# The smallest and the largest step in any direction, as shares of the first one.
_SMALLEST_STEP, _LARGEST_STEP = 1e-3, 1e3


class Cma(CmaFamily):
    """Draws from a normal distribution whose mean starts as the start genome, or as one noise genome.

    Migrants come in as in :class:`~coordinator.search.optimizers.sep_cma.SepCma`, their length measured with
    the full matrix. With g genes a checkpoint holds g x g numbers for each such island, a generation costs
    g cubed. Its bits hang on the linear algebra library that numpy was built with, as a scorer's
    hang on torch.
    """

    name: ClassVar[str] = "cma"

    def __init__(self, setup: Setup, seed: np.random.SeedSequence) -> None:
        from cmaes import CMA  # here, for it takes half a second

        super().__init__(setup, seed)
        self._cma = CMA(
            mean=self._first_mean(),
            sigma=setup.sigma,
            population_size=self.draws,
        )
        if len(setup.parents) > 1:  # as far apart as the masks to breed from
            self._cma._C = np.diag((setup.deviations / setup.sigma) ** 2)

    def _axes(self) -> tuple[Doubles, Doubles]:
        """The distribution's axes as columns (d, d), and its standard deviation along each (d,)."""
        cma = self._cma
        axes, lengths = cma._eigen_decomposition()
        shortest = _SMALLEST_STEP * self._setup.sigma / cma._sigma
        if lengths.min() < shortest:
            lengths = np.maximum(lengths, shortest)
            cma._D, cma._C = lengths, (axes * lengths**2) @ axes.T
        deviations: Doubles = cma._sigma * lengths
        return axes, deviations

    def _propose(self, migrants: Floats) -> tuple[Doubles, Ints]:
        mean = self.mean
        axes, deviations = self._axes()
        draws = self._rng.standard_normal((self.population_size, self.dimension))
        genomes = mean + (draws * deviations) @ axes.T
        return self._with_migrants(genomes, migrants, ((migrants - mean) @ axes) / deviations)

    def _learn(self, genomes: Floats, fitness: Doubles) -> None:
        self._update(genomes, fitness)
        cma, first = self._cma, self._setup.sigma
        cma._sigma = max(min(cma._sigma, _LARGEST_STEP * first), _SMALLEST_STEP * first)

    def _own_state(self) -> State:
        return {**super()._own_state(), "covariance": self._cma._C.copy()}

    def _own_restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        super()._own_restore(state)
        cma = self._cma
        cma._C = np.array(state["covariance"], np.float64)
        cma._B = cma._D = None
