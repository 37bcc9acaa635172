"""The cells of an archive: which of its cells a mask belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.shape.catalog import facts_of
from services.shape.character import character
from services.wire.mask import Mask

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

FLOOR = -3.0  # a mask of this fitness or less adds nothing to the QD score
_EPSILON = 1e-6  # as in ribs: a number that sums put just below a boundary lies on it


@dataclass(frozen=True)
class Grid:
    """Cells of equal size over some measures of masks; a mask beyond an end belongs to the cell at that end.

    basis: whose genomes these are. measures: k names of the basis's own.
    cells (k,): how many along each. ranges (k,): first and last boundary of each.
    """

    basis: str
    measures: tuple[str, ...]
    cells: tuple[int, ...]
    ranges: tuple[tuple[float, float], ...]

    @property
    def count(self) -> int:
        """All cells."""
        return int(np.prod(self.cells))

    def measure(self, genomes: NDArray[np.floating[Any]]) -> Doubles:
        """The measures (n, k) of genomes (n, d); nan where a genome is not finite."""
        known = facts_of(self.basis).measure_names
        columns = [known.index(name) for name in self.measures]
        found: Doubles = character(self.basis, genomes)[:, columns]
        return found

    def places(self, measures: Doubles) -> Ints:
        """Where masks of these finite measures (n, k) lie along each measure, (n, k)."""
        low, high = np.array(self.ranges, np.float64).T
        cells = np.array(self.cells)
        along = (cells * (measures - low) + _EPSILON) / (high - low)
        return np.asarray(np.clip(along.astype(np.int64), 0, cells - 1), np.int64)

    def index(self, measures: Doubles) -> Ints:
        """The cell (n,) of masks of these finite measures (n, k)."""
        places = self.places(measures)
        return np.asarray(np.ravel_multi_index(tuple(places.T), self.cells), np.int64)

    def locate(
        self, genomes: NDArray[np.floating[Any]], margins: NDArray[np.floating[Any]] | None = None
    ) -> tuple[Ints, Doubles]:
        """The cells (n,) and the measures (n, k) of finite genomes (n, d), whatever machines say of them."""
        measures = self.measure(genomes)
        return self.index(measures), measures

    def place(self, cell: int) -> Sequence[int]:
        """Where a cell lies along each measure, (k,)."""
        return [int(k) for k in np.unravel_index(cell, self.cells)]

    def rank(self, mask: Mask) -> tuple[bool, float]:
        """What decides who stays in a cell: accepted masks before others, then by fitness."""
        return mask.rank

    def quality(self, mask: Mask) -> float:
        """What a mask adds to the QD score."""
        return max(mask.fitness - FLOOR, 0.0)
