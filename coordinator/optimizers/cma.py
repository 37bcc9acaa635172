"""CMA-ES with its full covariance matrix: learns which genes move together.

Hansen, "The CMA Evolution Strategy: A Tutorial", arXiv 1604.00772. The update is `cmaes.CMA.tell`; sampling
is done here, for the reasons that stand in :mod:`coordinator.optimizers.sep_cma`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from coordinator.optimizers.base import AskTell, Doubles, Floats, Ints, Setup, State, ranking

# The smallest and the largest step in any direction, as shares of the first one.
_SMALLEST_STEP, _LARGEST_STEP = 1e-3, 1e3


class Cma(AskTell):
    """Draws from a normal distribution whose mean starts as the start genome, or as one noise genome.

    Migrants come in as in :class:`~coordinator.optimizers.sep_cma.SepCma`, their length measured with the
    full matrix. With g genes a checkpoint holds g x g numbers for each such island, and a generation costs
    g cubed. Its bits hang on the linear algebra library that numpy was built with, as a scorer's
    hang on torch.
    """

    name: ClassVar[str] = "cma"
    samples_distribution: ClassVar[bool] = True

    def __init__(self, setup: Setup, seed: np.random.SeedSequence) -> None:
        from cmaes import CMA  # here, for it takes half a second

        super().__init__(setup, seed)
        mean = setup.noise(self._rng, 1)[0] if setup.center is None else setup.center
        self._cma = CMA(
            mean=setup.clipped(mean).astype(np.float64),
            sigma=setup.sigma,
            population_size=setup.population_size,
        )

    @property
    def mean(self) -> Doubles:
        """(d,) the distribution's mean."""
        mean: Doubles = self._cma._mean.copy()
        return mean

    @property
    def longest_injection(self) -> float:
        """The Mahalanobis length to which a migrant is cut (Hansen, arXiv 1110.4181, c_y)."""
        d = self.dimension
        return math.sqrt(d) + 2 * d / (d + 2)

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
        n, mean = self.population_size, self.mean
        axes, deviations = self._axes()
        draws = self._rng.standard_normal((n, self.dimension))
        genomes = mean + (draws * deviations) @ axes.T
        steps = migrants - mean
        lengths = np.linalg.norm((steps @ axes) / deviations, axis=1, keepdims=True)
        shares = self.longest_injection / np.maximum(lengths, self.longest_injection)
        # A migrant that is close enough stays as it is, to the bit.
        genomes[n - len(migrants) :] = np.where(shares < 1, mean + shares * steps, migrants)
        return genomes, np.full((n, 2), -1, np.int64)

    def _learn(self, genomes: Floats, fitness: Doubles) -> None:
        cma, before, first = self._cma, self._cma._sigma, self._setup.sigma
        # The update uses ranks alone. Places in the ranking keep -inf and ties out of it.
        cma.tell([(genomes[row].astype(np.float64), place) for place, row in enumerate(ranking(fitness))])
        # At most by e in one update, for the sake of migrants (arXiv 1110.4181).
        cma._sigma = float(min(cma._sigma, before * math.e, _LARGEST_STEP * first))
        cma._sigma = max(cma._sigma, _SMALLEST_STEP * first)

    def _own_state(self) -> State:
        cma = self._cma
        return {
            "mean": cma._mean.copy(),
            "sigma": np.array(cma._sigma, np.float64),
            "covariance": cma._C.copy(),
            "path": cma._pc.copy(),
            "path_sigma": cma._p_sigma.copy(),
        }

    def _own_restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        cma = self._cma
        cma._g = self._generation
        cma._mean = np.array(state["mean"], np.float64)
        cma._sigma = float(state["sigma"])
        cma._C = np.array(state["covariance"], np.float64)
        cma._pc = np.array(state["path"], np.float64)
        cma._p_sigma = np.array(state["path_sigma"], np.float64)
        cma._B = cma._D = None
