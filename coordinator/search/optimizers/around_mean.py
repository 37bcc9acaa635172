"""What searches share that draw around a mean, and what both kinds of CMA-ES share besides."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from coordinator.search.optimizers.base import AskTell, Doubles, Floats, Ints, State, ranking


class AroundMean(AskTell):
    """Draws around a mean, which leads every generation.

    Migrants replace the last draws, moved toward the mean where they are too far out to be taken as draws:
    Hansen, "Injecting External Solutions Into CMA-ES", INRIA RR-7748, 2011 (arXiv 1110.4181).
    """

    samples_distribution: ClassVar[bool] = True

    @property
    @abc.abstractmethod
    def mean(self) -> Doubles:
        """(d,) the distribution's mean."""

    @property
    def draws(self) -> int:
        """Genomes of a generation that are drawn: all but the mean."""
        return self.population_size - 1

    def _first_mean(self) -> Doubles:
        """(d,) the start genome, or one noise genome."""
        setup = self._setup
        mean = setup.noise(self._rng, 1)[0] if setup.center is None else setup.center
        return setup.clipped(mean).astype(np.float64)

    @property
    def longest_injection(self) -> float:
        """The Mahalanobis length to which a migrant is cut: RR-7748's default for its parameter c_y."""
        d = self.dimension
        return math.sqrt(d) + 2 * d / (d + 2)

    def _with_migrants(
        self, genomes: Doubles, migrants: Floats, steps_in_draws: Doubles
    ) -> tuple[Doubles, Ints]:
        """Draws (n, d) with migrants (k, d) in the last places. steps_in_draws: the migrants' steps from the
        mean, (k, d), in standard deviations along the distribution's axes.
        """
        n, mean = self.population_size, self.mean
        lengths = np.linalg.norm(steps_in_draws, axis=1, keepdims=True)
        # alpha_clip(c_y, |C^-1/2 y|) = min(1, c_y / |C^-1/2 y|) of RR-7748, y being the step over sigma.
        shares = self.longest_injection / np.maximum(lengths, self.longest_injection)
        # A migrant that is close enough stays as it is, to the bit.
        genomes[n - len(migrants) :] = np.where(shares < 1, mean + shares * (migrants - mean), migrants)
        return genomes, np.full((n, 2), -1, np.int64)


class CmaFamily(AroundMean):
    """`cmaes` moves the mean; ``_cma`` is that library's object, made by the class itself."""

    _cma: Any

    @property
    def mean(self) -> Doubles:
        """(d,) the distribution's mean."""
        mean: Doubles = self._cma._mean.copy()
        return mean

    def _update(self, genomes: Floats, fitness: Doubles) -> None:
        """The library's update; the step size grows within RR-7748's limit, exp(1), for migrants' sake."""
        cma, before = self._cma, self._cma._sigma
        # The update uses ranks alone. Places in the ranking keep -inf and ties out of it.
        cma.tell([(genomes[row].astype(np.float64), place) for place, row in enumerate(ranking(fitness))])
        cma._sigma = float(min(cma._sigma, before * math.e))

    def _own_state(self) -> State:
        cma = self._cma
        return {
            "mean": cma._mean.copy(),
            "sigma": np.array(cma._sigma, np.float64),
            "path": cma._pc.copy(),
            "path_sigma": cma._p_sigma.copy(),
        }

    def _own_restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        cma = self._cma
        cma._g = self._generation
        cma._mean = np.array(state["mean"], np.float64)
        cma._sigma = float(state["sigma"])
        cma._pc = np.array(state["path"], np.float64)
        cma._p_sigma = np.array(state["path_sigma"], np.float64)
