"""CMA-ES with its full covariance matrix: learns which genes move together.

Hansen, "The CMA Evolution Strategy: A Tutorial", arXiv 1604.00772, with its negative weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from coordinator.search.optimizers.base import Doubles, Floats, Ints, Setup, State
from coordinator.search.optimizers.cma_family import CmaFamily, Rates, damping

# The smallest and the largest step in any direction, as shares of the first one.
_SMALLEST_STEP, _LARGEST_STEP = 1e-3, 1e3
_TINY = 1e-8  # a variance that rounding has made negative, and what keeps a division from zero


class Cma(CmaFamily):
    """Draws from a normal distribution whose mean starts as the start genome, or as one noise genome.

    Migrants come in as in :class:`~coordinator.search.optimizers.sep_cma.SepCma`, their length measured with
    the full matrix. With g genes a checkpoint holds g x g numbers for each such island, a generation costs
    g cubed. Its bits hang on the linear algebra library that numpy was built with, as a scorer's
    hang on torch.
    """

    name: ClassVar[str] = "cma"

    def __init__(self, setup: Setup, seed: np.random.SeedSequence) -> None:
        super().__init__(setup, seed)
        self._covariance = np.eye(setup.dimension)
        if len(setup.parents) > 1:  # as far apart as the masks to breed from
            self._covariance = np.diag((setup.deviations / setup.sigma) ** 2)
        self._axes: Doubles = np.eye(setup.dimension)
        self._lengths: Doubles = np.ones(setup.dimension)
        self._root: Doubles = np.eye(setup.dimension)  # C^-1/2

    def _chosen_rates(self) -> Rates:
        n, d = self.draws, self.dimension
        half = n // 2
        raw = np.array([math.log((n + 1) / 2) - math.log(rank + 1) for rank in range(n)])  # eq. 49
        mu_eff = (np.sum(raw[:half]) ** 2) / np.sum(raw[:half] ** 2)
        mu_eff_minus = (np.sum(raw[half:]) ** 2) / np.sum(raw[half:] ** 2)
        c_one = 2 / ((d + 1.3) ** 2 + mu_eff)  # eq. 57
        c_mu = min(
            1 - c_one - _TINY, 2 * (mu_eff - 2 + 1 / mu_eff) / ((d + 2) ** 2 + 2 * mu_eff / 2)
        )  # eq. 58
        # eq. 50 to 52: how much the negative weights may add up to
        limits = [1 + (2 * mu_eff_minus) / (mu_eff + 2)]
        if c_mu > 0:  # two of four draws are too few for it
            limits += [1 + c_one / c_mu, (1 - c_one - c_mu) / (d * c_mu)]
        negative = min(limits)
        weights = np.where(
            raw >= 0,
            1 / np.sum(raw[raw > 0]) * raw,
            negative / np.sum(np.abs(raw[raw < 0])) * raw,
        )  # eq. 53
        c_sigma = (mu_eff + 2) / (d + mu_eff + 5)  # eq. 55
        c_path = (4 + mu_eff / d) / (d + 4 + 2 * mu_eff / d)  # eq. 56
        return Rates(weights, mu_eff, c_one, c_mu, c_path, c_sigma, damping(mu_eff, d, c_sigma))

    @property
    def axes(self) -> Doubles:
        """(d, d) the axes of the distribution that the generation was drawn from, as columns."""
        return self._axes.copy()

    @property
    def deviations(self) -> Doubles:
        """(d,) its standard deviation along each axis."""
        deviations: Doubles = self._sigma * self._lengths
        return deviations

    def _decompose(self) -> None:
        """Axes of the covariance and lengths along them, none shorter than the smallest step."""
        covariance = (self._covariance + self._covariance.T) / 2
        squares, axes = np.linalg.eigh(covariance)
        lengths = np.sqrt(np.where(squares < 0, _TINY, squares))
        self._covariance = np.dot(np.dot(axes, np.diag(lengths**2)), axes.T)
        shortest = _SMALLEST_STEP * self._setup.sigma / self._sigma
        if lengths.min() < shortest:
            lengths = np.maximum(lengths, shortest)
            self._covariance = (axes * lengths**2) @ axes.T
        self._axes, self._lengths = axes, lengths
        self._root = axes.dot(np.diag(1 / lengths)).dot(axes.T)

    def _propose(self, migrants: Floats) -> tuple[Doubles, Ints]:
        self._decompose()
        mean, axes, deviations = self._mean, self._axes, self.deviations
        draws = self._rng.standard_normal((self.population_size, self.dimension))
        genomes = mean + (draws * deviations) @ axes.T
        return self._with_migrants(genomes, migrants, ((migrants - mean) @ axes) / deviations)

    def _whitened(self, step: Doubles) -> Doubles:
        whitened: Doubles = self._root.dot(step)
        return whitened

    def _learn_shape(self, steps: Doubles, kept: float) -> None:
        rates = self._rates
        squares = np.linalg.norm(self._root.dot(steps.T), axis=0) ** 2
        weights = rates.weights * np.where(
            rates.weights >= 0, 1, self.dimension / (squares + _TINY)
        )  # eq. 46
        ranked = np.sum(weights.reshape(-1, 1, 1) * np.einsum("...i,...j->...ij", steps, steps), axis=0)
        self._covariance = (
            kept * self._covariance + rates.c_one * np.outer(self._path, self._path) + rates.c_mu * ranked
        )  # eq. 47

    def _learn(self, genomes: Floats, fitness: Doubles) -> None:
        super()._learn(genomes, fitness)
        first = self._setup.sigma
        self._sigma = max(min(self._sigma, _LARGEST_STEP * first), _SMALLEST_STEP * first)

    def _own_state(self) -> State:
        return {**super()._own_state(), "covariance": self._covariance.copy()}

    def _own_restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        super()._own_restore(state)
        self._covariance = np.array(state["covariance"], np.float64)
