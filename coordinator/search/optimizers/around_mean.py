"""What searches share that draw around a mean."""

from __future__ import annotations

import abc
import math
from typing import ClassVar

import numpy as np

from coordinator.search.optimizers.base import AskTell, Doubles, Floats, Ints


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
