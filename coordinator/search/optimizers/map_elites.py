"""MAP-Elites: an island that keeps the best mask of every kind, and breeds from all of them alike.

Mouret and Clune, "Illuminating search spaces by mapping elites", 2015 (arXiv 1504.04909). Children are made
by Iso+LineDD: Vassiliades and Mouret, "Discovering the Elite Hypervolume by Leveraging Interspecies
Correlation", GECCO 2018 (arXiv 1804.03906), algorithm 2.

The archive is ribs' GridArchive. Its emitters are not used: their random state lives in objects that only
pickle could keep. What a checkpoint holds is the archive's rows and our own generator.

Where cells are sets of machines, every mask competes for every cell, see search/niches.py: from a blank that
no machine takes for a face there would be one cell to breed from.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from coordinator.search.grid import Grid
from coordinator.search.niches import Niches
from coordinator.search.optimizers.base import AskTell, Doubles, Floats, Ints, Need, Setup, State

if TYPE_CHECKING:
    from ribs.archives import GridArchive

# The paper's 0.2 along the line between two elites; its isotropic step of 0.01 of a gene's width was tuned
# where each evaluation is exact. A fifth of the spec's step is 0.1 of our usual 6: 1.7% of a width.
_LINE = 0.2
_ISO_SHARE = 0.2


class MapElites(AskTell):
    """Each parent is drawn with equal chances from the filled cells; so is the elite that it steps toward.

    The first generation is noise of every strength, from the whole to almost none: noise of full strength
    never comes near the neutral head.
    """

    name: ClassVar[str] = "map-elites"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.ARCHIVE})
    moves_all_genes: ClassVar[bool] = True

    def __init__(self, setup: Setup, seed: np.random.SeedSequence) -> None:
        super().__init__(setup, seed)
        if setup.grid is None:
            raise ValueError("grid: map-elites needs the cells of its archive")
        self._kept: _InGrid | _Nearest
        if isinstance(setup.grid, Niches):
            self._kept = _Nearest(setup.grid.count, setup.dimension)
        else:
            self._kept = _InGrid(setup.grid, setup.dimension)
        self._iso = _ISO_SHARE * setup.sigma
        self._ancestors: Ints = np.full((setup.population_size, 2, 2), -1, np.int64)

    @property
    def last_ancestors(self) -> Ints:
        """(n, 2, 2): generation and row of both parents of each genome last asked, -1 where there is none."""
        return self._ancestors

    def elites(self) -> dict[str, NDArray[Any]]:
        """The archive's rows in the order of their cells: index, solution, objective, origin, and in a grid
        measures.
        """
        return self._kept.rows()

    def _propose(self, migrants: Floats) -> tuple[NDArray[np.floating[Any]], Ints]:
        n, d, k = self.population_size, self.dimension, len(migrants)
        # Drawn in one go, whatever there is to breed from.
        chosen, iso = self._rng.random((n, 2)), self._rng.standard_normal((n, d))
        along = self._rng.standard_normal((n, 1))
        ancestors = np.full((n, 2, 2), -1, np.int64)
        elites = self.elites()
        if not len(elites["index"]):
            if self._setup.center is None:
                strength = 1.0 - np.arange(n)[:, None] / n
                genomes = strength * self._setup.spread * iso
            else:
                genomes = self._setup.center + self._setup.deviations * iso
        else:
            pairs = np.floor(chosen * len(elites["index"])).astype(np.int64)
            first, second = (elites["solution"][column].astype(np.float64) for column in pairs.T)
            genomes = first + self._iso * iso + _LINE * along * (second - first)
            ancestors = elites["origin"][pairs].astype(np.int64)
        genomes[n - k :] = migrants
        ancestors[n - k :] = -1
        ancestors.flags.writeable = False
        self._ancestors = ancestors
        return genomes, np.full((n, 2), -1, np.int64)

    def _learn(self, genomes: Floats, fitness: Doubles) -> None:
        rows = np.flatnonzero(np.isfinite(fitness))
        if not len(rows):
            return
        origin = np.stack([np.full(len(rows), self.generation, np.int64), rows], axis=1)
        if isinstance(self._kept, _InGrid):
            self._kept.add(genomes[rows], fitness[rows], origin)
            return
        cells = self._kept.cells
        if self._fits is None or self._fits.shape != (len(fitness), cells):
            given = None if self._fits is None else self._fits.shape
            raise ValueError(f"fits: expected shape {(len(fitness), cells)}, got {given}")
        self._kept.add(genomes[rows], self._fits[rows], origin)

    def _own_state(self) -> State:
        return self._kept.state()

    def _own_restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        self._kept.restore(state)


class _InGrid:
    """The fittest mask of each cell of a grid."""

    def __init__(self, grid: Grid, dimension: int) -> None:
        self._grid, self._dimension = grid, dimension
        self._archive = self._empty()

    def _empty(self) -> GridArchive:
        return grid_archive(self._grid.cells, self._grid.ranges, self._dimension)

    def rows(self) -> dict[str, NDArray[Any]]:
        """See :meth:`MapElites.elites`."""
        rows: dict[str, NDArray[Any]] = self._archive.data(
            ["index", "solution", "objective", "measures", "origin"]
        )
        order = np.argsort(rows["index"], kind="stable")
        return {name: column[order] for name, column in rows.items()}

    def add(self, genomes: Floats, fitness: Doubles, origin: Ints) -> None:
        """Genomes (n, d) with their fitness (n,) and from where they are (n, 2)."""
        self._archive.add(genomes, fitness, self._grid.measure(genomes), origin=origin)

    def state(self) -> State:
        """The rows, at their cells."""
        elites, cells = self.rows(), self._grid.count
        filled = elites["index"]
        state: State = {"filled": np.zeros(cells, np.bool_)}
        state["filled"][filled] = True
        for name in ("solution", "objective", "measures", "origin"):
            column = elites[name]
            state[name] = np.zeros((cells, *column.shape[1:]), column.dtype)
            state[name][filled] = column
        return state

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Hold what :meth:`state` gave."""
        self._archive = self._empty()
        filled = state["filled"]
        if filled.any():
            self._archive.add(
                state["solution"][filled],
                state["objective"][filled],
                state["measures"][filled],
                origin=state["origin"][filled],
            )


class _Nearest:
    """For each set of machines the mask that fits it best, whether or not it belongs there yet."""

    def __init__(self, cells: int, dimension: int) -> None:
        self.cells = cells
        self._solution = np.zeros((cells, dimension), np.float32)
        self._objective = np.full(cells, -np.inf)
        self._origin = np.full((cells, 2), -1, np.int64)

    def rows(self) -> dict[str, NDArray[Any]]:
        """See :meth:`MapElites.elites`."""
        filled = np.flatnonzero(np.isfinite(self._objective))
        return {
            "index": filled,
            "solution": self._solution[filled],
            "objective": self._objective[filled],
            "origin": self._origin[filled],
        }

    def add(self, genomes: Floats, fits: Doubles, origin: Ints) -> None:
        """Genomes (n, d), how well they fit each cell (n, cells), and from where they are (n, 2)."""
        best = np.argmax(fits, axis=0)
        better = np.flatnonzero(fits[best, np.arange(self.cells)] > self._objective)
        self._solution[better] = genomes[best[better]]
        self._objective[better] = fits[best[better], better]
        self._origin[better] = origin[best[better]]

    def state(self) -> State:
        """The rows, at their cells."""
        return {
            "solution": self._solution.copy(),
            "objective": self._objective.copy(),
            "origin": self._origin.copy(),
        }

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Hold what :meth:`state` gave."""
        self._solution = np.array(state["solution"], np.float32)
        self._objective = np.array(state["objective"], np.float64)
        self._origin = np.array(state["origin"], np.int64)


class _NoTorch(MetaPathFinder):
    """Finds no torch."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(f"{name} is not for the coordinator", name=name)


def grid_archive(cells: Sequence[int], ranges: Sequence[tuple[float, float]], dimension: int) -> GridArchive:
    """An empty archive of ribs, whose rows also say where a mask is from: ``origin``, generation and row.

    ribs takes seconds to load (it compiles), and takes torch along wherever there is one, for archives that
    learn. The coordinator has no use for it and does without.
    """
    if "ribs" not in sys.modules and "torch" not in sys.modules:
        finder = _NoTorch()
        sys.meta_path.insert(0, finder)
        try:
            importlib.import_module("ribs")
        finally:
            sys.meta_path.remove(finder)
    from ribs.archives import GridArchive

    return GridArchive(
        solution_dim=dimension,
        dims=list(cells),
        ranges=list(ranges),
        solution_dtype=np.float32,
        objective_dtype=np.float64,
        measures_dtype=np.float64,
        extra_fields={"origin": ((2,), np.int64)},
    )
