"""CMA-ES with a diagonal covariance matrix: learns one step size a gene, in time linear in the genes.

Ros and Hansen, "A Simple Modification in CMA-ES Achieving Linear Time and Space Complexity", PPSN X, 2008.
The update is `cmaes.SepCMA.tell`. Sampling is done here: that class keeps a random state of its own, which
its pickles drop, and has no place for migrants.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from coordinator.optimizers.base import AskTell, Doubles, Floats, Ints, Setup, State, ranking

# The smallest step of a gene, as a share of the first one: a search that has come to rest can still leave.
_SMALLEST_STEP = 1e-3


class SepCma(AskTell):
    """Draws from a normal distribution whose mean starts as the start genome, or as one noise genome.

    Migrants replace the last draws, moved toward the mean where they are too far out to be taken as draws:
    Hansen, "Injecting External Solutions Into CMA-ES", INRIA RR-7748, 2011 (arXiv 1110.4181).
    Genes beyond the bounds are set to the bound, and the update learns from what was scored.
    """

    name: ClassVar[str] = "sep-cma"
    samples_distribution: ClassVar[bool] = True

    def __init__(self, setup: Setup, seed: np.random.SeedSequence) -> None:
        # Imported here, for it takes half a second (it loads scipy.stats) that most commands need not wait.
        from cmaes import SepCMA

        super().__init__(setup, seed)
        mean = setup.noise(self._rng, 1)[0] if setup.center is None else setup.center
        self._smallest_step = _SMALLEST_STEP * setup.sigma
        self._cma = SepCMA(
            mean=setup.clipped(mean).astype(np.float64),
            sigma=setup.sigma,
            population_size=setup.population_size,
        )
        self._cma._C = (setup.deviations / setup.sigma) ** 2  # as far apart as the masks to breed from
        # The factor (d + 2) / 3 of Ros and Hansen can lift the learning rate above 1 where a population is
        # large and a genome short, and variances would turn negative. Hansen's tutorial (arXiv 1604.00772)
        # caps it so.
        self._cma._cmu = min(self._cma._cmu, 1 - self._cma._c1)

    @property
    def mean(self) -> Doubles:
        """(d,) the distribution's mean."""
        mean: Doubles = self._cma._mean.copy()
        return mean

    @property
    def deviations(self) -> Doubles:
        """(d,) the distribution's standard deviation in each gene."""
        deviations: Doubles = self._cma._sigma * np.sqrt(self._cma._C)
        return deviations

    @property
    def longest_injection(self) -> float:
        """The Mahalanobis length to which a migrant is cut: RR-7748's default for its parameter c_y."""
        d = self.dimension
        return math.sqrt(d) + 2 * d / (d + 2)

    def _propose(self, migrants: Floats) -> tuple[Doubles, Ints]:
        n = self.population_size
        mean, deviations = self.mean, self.deviations
        genomes = mean + deviations * self._rng.standard_normal((n, self.dimension))
        steps = migrants - mean
        lengths = np.linalg.norm(steps / deviations, axis=1, keepdims=True)
        # alpha_clip(c_y, |C^-1/2 y|) = min(1, c_y / |C^-1/2 y|) of RR-7748, y being the step over sigma.
        shares = self.longest_injection / np.maximum(lengths, self.longest_injection)
        # A migrant that is close enough stays as it is, to the bit.
        genomes[n - len(migrants) :] = np.where(shares < 1, mean + shares * steps, migrants)
        return genomes, np.full((n, 2), -1, np.int64)

    def _learn(self, genomes: Floats, fitness: Doubles) -> None:
        cma, before = self._cma, self._cma._sigma
        # The update uses ranks alone. Places in the ranking keep -inf and ties out of it.
        cma.tell([(genomes[row].astype(np.float64), place) for place, row in enumerate(ranking(fitness))])
        # RR-7748's limit for the step size's growth in one update, exp(1), for the sake of migrants.
        cma._sigma = float(min(cma._sigma, before * math.e))
        # On a plateau, and where genes are pressed against their bounds, step sizes drift down without end.
        cma._sigma = max(cma._sigma, self._smallest_step)
        cma._C = np.maximum(cma._C, (self._smallest_step / cma._sigma) ** 2)

    def _own_state(self) -> State:
        cma = self._cma
        return {
            "mean": cma._mean.copy(),
            "sigma": np.array(cma._sigma, np.float64),
            "variances": cma._C.copy(),
            "path": cma._pc.copy(),
            "path_sigma": cma._p_sigma.copy(),
        }

    def _own_restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        cma = self._cma
        cma._g = self._generation
        cma._mean = np.array(state["mean"], np.float64)
        cma._sigma = float(state["sigma"])
        cma._C = np.array(state["variances"], np.float64)
        cma._pc = np.array(state["path"], np.float64)
        cma._p_sigma = np.array(state["path_sigma"], np.float64)
        cma._D = None
