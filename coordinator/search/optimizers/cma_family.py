"""The update of both kinds of CMA-ES: of the mean, of the step size, of two evolution paths.

Hansen, "The CMA Evolution Strategy: A Tutorial", arXiv 1604.00772v2, whose equation numbers stand below.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordinator.search.optimizers.around_mean import AroundMean
from coordinator.search.optimizers.base import Doubles, Floats, Setup, State, ranking


@dataclass(frozen=True)
class Rates:
    """How fast each part learns.

    :param weights: of the ranked steps, the best first; those of the best half make the mean.
    :param mu_eff: how many draws the weights of the best half are worth.
    :param c_one, c_mu: of the covariance, from the path and from the ranked steps.
    :param c_path, c_sigma: of the two paths. d_sigma: how much the step size is damped.
    """

    weights: Doubles
    mu_eff: float
    c_one: float
    c_mu: float
    c_path: float
    c_sigma: float
    d_sigma: float


class CmaFamily(AroundMean):
    """A mean, a step size and two paths; what a step's shape is, each kind knows itself."""

    def __init__(self, setup: Setup, seed: np.random.SeedSequence) -> None:
        super().__init__(setup, seed)
        d = setup.dimension
        self._mean = self._first_mean()
        self._sigma = float(setup.sigma)
        self._path, self._path_sigma = np.zeros(d), np.zeros(d)
        self._rates = self._chosen_rates()
        # E|N(0, I)|, below eq. 31
        self._usual_length = math.sqrt(d) * (1.0 - (1.0 / (4.0 * d)) + 1.0 / (21.0 * (d**2)))

    @property
    def mean(self) -> Doubles:
        return self._mean.copy()

    @property
    def step_size(self) -> float:
        """What the shape's standard deviations are multiplied by."""
        return self._sigma

    @abc.abstractmethod
    def _chosen_rates(self) -> Rates:
        """The learning rates for this dimension and number of draws."""

    @abc.abstractmethod
    def _whitened(self, step: Doubles) -> Doubles:
        """C^-1/2 of a step (d,)."""

    @abc.abstractmethod
    def _learn_shape(self, steps: Doubles, kept: float) -> None:
        """Move the covariance. steps: (n, d) ranked, in step sizes. kept: what remains of the old one."""

    def _learn(self, genomes: Floats, fitness: Doubles) -> None:
        rates, d, before = self._rates, self.dimension, self._sigma
        # Ranks alone count, which keeps -inf and ties out of the update.
        steps = (genomes[ranking(fitness)].astype(np.float64) - self._mean) / before
        half = self.draws // 2
        step = np.sum(steps[:half].T * rates.weights[:half], axis=1)  # eq. 41
        self._mean = self._mean + before * step  # eq. 42
        self._path_sigma = (1 - rates.c_sigma) * self._path_sigma + math.sqrt(
            rates.c_sigma * (2 - rates.c_sigma) * rates.mu_eff
        ) * self._whitened(step)  # eq. 43
        length = np.linalg.norm(self._path_sigma)
        growth = np.exp((rates.c_sigma / rates.d_sigma) * (length / self._usual_length - 1))  # eq. 44
        settled = length / math.sqrt(1 - (1 - rates.c_sigma) ** (2 * (self._generation + 2)))
        h_sigma = 1.0 if settled < (1.4 + 2 / (d + 1)) * self._usual_length else 0.0  # below eq. 45
        self._path = (1 - rates.c_path) * self._path + h_sigma * math.sqrt(
            rates.c_path * (2 - rates.c_path) * rates.mu_eff
        ) * step  # eq. 45
        unsettled = (1 - h_sigma) * rates.c_path * (2 - rates.c_path)
        kept = 1 + rates.c_one * unsettled - rates.c_one - rates.c_mu * np.sum(rates.weights)
        self._learn_shape(steps, float(kept))
        # At most by e in one update, for the sake of migrants: RR-7748's limit.
        self._sigma = float(min(before * growth, before * math.e))

    def _own_state(self) -> State:
        return {
            "mean": self._mean.copy(),
            "sigma": np.array(self._sigma, np.float64),
            "path": self._path.copy(),
            "path_sigma": self._path_sigma.copy(),
        }

    def _own_restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        self._mean = np.array(state["mean"], np.float64)
        self._sigma = float(state["sigma"])
        self._path = np.array(state["path"], np.float64)
        self._path_sigma = np.array(state["path_sigma"], np.float64)


def damping(mu_eff: float, dimension: int, c_sigma: float) -> float:
    """d_sigma of eq. 55."""
    return 1 + 2 * max(0, math.sqrt((mu_eff - 1) / (dimension + 1)) - 1) + c_sigma
