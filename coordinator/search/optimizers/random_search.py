"""Fresh noise in every generation: the control that shows what selection and variation add."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from coordinator.search.optimizers.base import AskTell, Doubles, Floats, Ints, State


class RandomSearch(AskTell):
    """Learns nothing. Migrants are scored once, as the last rows, and then forgotten like all others."""

    name: ClassVar[str] = "random"
    moves_all_genes: ClassVar[bool] = True

    def _propose(self, migrants: Floats) -> tuple[Doubles, Ints]:
        genomes = self._setup.noise(self._rng, self.population_size)
        if self._setup.center is not None:
            genomes += self._setup.center
        genomes[self.population_size - len(migrants) :] = migrants
        return genomes, np.full((self.population_size, 2), -1, np.int64)

    def _learn(self, genomes: Floats, fitness: Doubles) -> None:
        pass

    def _own_state(self) -> State:
        return {}

    def _own_restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        pass
