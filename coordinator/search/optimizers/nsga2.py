"""NSGA-II: an island that breeds for several aims at once, and spreads along what can be had of them.

Deb, Pratap, Agarwal and Meyarivan, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", IEEE
Transactions on Evolutionary Computation 6(2), 2002. Crossover and mutation are those of `genetic`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from coordinator.search import pareto
from coordinator.search.optimizers.base import Doubles, Floats, Ints, Need, Setup, State
from coordinator.search.optimizers.genetic import Genetic


class Nsga2(Genetic):
    """Half of a generation are the parents, the other half their children; the better half become parents.

    In the paper parents keep what they once scored. Here every generation has views of its own, and a mask
    that was once lucky would never leave: so parents are scored anew beside their children.
    """

    name: ClassVar[str] = "nsga2"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.AIMS})
    moves_all_genes: ClassVar[bool] = True
    tournament: ClassVar[int] = 2

    def __init__(self, setup: Setup, seed: np.random.SeedSequence) -> None:
        super().__init__(setup, seed)
        self._elites = setup.population_size // 2
        self._order: Ints = np.arange(setup.population_size)

    def _by_merit(self) -> Ints:
        return self._order

    def _breeders(self, migrants: int) -> int:
        return self._elites

    def _learn(self, genomes: Floats, fitness: Doubles) -> None:
        super()._learn(genomes, fitness)
        # Without aims fitness is the only one.
        self._order = pareto.order(self._aims if self._setup.aims else fitness[:, None])

    def _own_state(self) -> State:
        return {**super()._own_state(), "order": self._order.copy()}

    def _own_restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        super()._own_restore(state)
        self._order = np.array(state["order"], np.int64)
