"""A search that changes left and right alike, whatever the algorithm.

Machines learned from faces, which are nearly symmetric, and from their mirror images: a step that moves the
two sides of a mask apart leads nowhere. And an evolution strategy's progress goes with one over the number of
genes that it moves (Arnold, "Noisy Optimization with Evolution Strategies", 2002). A symmetric
mask of the built-in basis has 90 free genes for 138, and the algorithm is told of these alone.

The asymmetry of the noise that a search starts from fades by a fifth in each generation. That of masks which
somebody chose to start from stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coordinator.search.optimizers.base import (
    AskTell,
    Doubles,
    Floats,
    Ints,
    Setup,
    State,
    check_told,
    frozen,
    migrants_of,
)
from coordinator.search.optimizers.random_state import generator
from services.recognition.fitness import Residuals
from services.shape.symmetry import Symmetry

FADING = 0.8  # what a generation leaves of noise's asymmetry


class Symmetric:
    """An :class:`~coordinator.search.optimizers.base.Optimizer` of whole genomes around one of free genes.

    make: makes the inner one from its setup. seed: the noise's asymmetry comes from a child of it.
    Migrants come in by their free genes, with this search's own asymmetry.
    """

    def __init__(
        self,
        make: Callable[[Setup], AskTell],
        setup: Setup,
        symmetry: Symmetry,
        seed: np.random.SeedSequence,
    ) -> None:
        self._setup, self._symmetry = setup, symmetry
        self._inner = make(_folded(setup, symmetry))
        if setup.center is None:
            start, self._fading = setup.noise(generator(seed, 1), 1)[0], FADING
        else:
            start, self._fading = setup.center, 1.0
        self._asymmetry: Doubles = start - symmetry.unfolded(symmetry.folded(start))
        self._asked: tuple[Floats, Floats] | None = None  # genomes, and their free genes

    @property
    def population_size(self) -> int:
        return self._inner.population_size

    @property
    def generation(self) -> int:
        return self._inner.generation

    @property
    def migrant_capacity(self) -> int:
        return self._inner.migrant_capacity

    @property
    def samples_distribution(self) -> bool:
        return self._inner.samples_distribution

    @property
    def mean(self) -> Doubles | None:
        mean = self._inner.mean
        return None if mean is None else self._whole(mean).astype(np.float64)

    @property
    def last_parents(self) -> Ints:
        return self._inner.last_parents

    @property
    def last_ancestors(self) -> Ints | None:
        return self._inner.last_ancestors

    @property
    def last_migrants(self) -> Ints:
        return self._inner.last_migrants

    def ask(self) -> Floats:
        free = self._inner.ask()
        genomes = self._whole(free)
        if self.generation == 0:
            genomes[self._inner.first_rows] = self._setup.first
        self._asked = frozen(genomes), free
        return genomes

    def tell(
        self,
        genomes: Floats,
        fitness: ArrayLike,
        aims: ArrayLike | None = None,
        residuals: Residuals | None = None,
    ) -> None:
        if self._asked is None:
            raise ValueError(f"tell: generation {self.generation} has not been asked for; call ask first")
        asked, free = self._asked
        check_told(asked, genomes)
        self._inner.tell(free, fitness, aims, residuals)
        self._asked = None

    def inject(self, genomes: Floats) -> None:
        given = migrants_of(genomes, self._setup.dimension)
        self._inner.inject(self._symmetry.folded(given).astype(np.float32))

    def state(self) -> State:
        return {**self._inner.state(), "asymmetry": self._asymmetry.copy()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        inner = {name: array for name, array in state.items() if name != "asymmetry"}
        found = state.get("asymmetry")
        if found is None or found.shape != self._asymmetry.shape:
            raise ValueError(
                f"state: expected an array 'asymmetry' of shape {self._asymmetry.shape}; "
                "it is of a search that moves all genes, or of another basis"
            )
        self._inner.restore(inner)
        self._asymmetry = np.array(found, np.float64)

    def _whole(self, free: NDArray[np.floating[Any]]) -> Floats:
        """Genomes (..., d) of free genes (..., k), in this generation."""
        asymmetry = self._fading**self.generation * self._asymmetry
        return self._setup.clipped(self._symmetry.unfolded(free) + asymmetry)


def _folded(setup: Setup, symmetry: Symmetry) -> Setup:
    """The setup of a search that knows the free genes alone."""
    own, other = symmetry.free, symmetry.twin[symmetry.free]

    def folded(genomes: NDArray[np.floating[Any]]) -> Floats:
        return symmetry.folded(genomes).astype(np.float32)

    return replace(
        setup,
        dimension=len(own),
        center=None if setup.center is None else symmetry.folded(setup.center),
        # What two independent genes have in common varies less than either of them.
        spread=np.where(own == other, 1.0, np.sqrt(0.5)) * setup.spread[own],
        low=np.maximum(setup.low[own], setup.low[other]),
        high=np.minimum(setup.high[own], setup.high[other]),
        parents=folded(setup.parents),
        first=folded(setup.first),
    )
