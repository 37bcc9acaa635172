"""The cells of an archive of machines: one for each set of them, of masks that are faces to these alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.recognition.kinds import DETECT, REFUSE
from services.wire.mask import Mask

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

KINDS = (DETECT, REFUSE)  # of objectives whose machines can be told apart


@dataclass(frozen=True)
class Niches:
    """Sets of k machines, 2^k cells: a mask belongs to the set of those that see a face in every view of it,
    where all others see one in no view. One that a machine sees now and then belongs nowhere.

    :param machines: names, k of them. columns (k,): which of the run's objectives asks each. turned (k,):
        whether that one is of kind ``refuse``, so that its margins are turned round.
    """

    machines: tuple[str, ...]
    columns: tuple[int, ...]
    turned: tuple[bool, ...]

    @property
    def measures(self) -> tuple[str, ...]:
        """What is known of a mask in a cell: each machine's margin in the view that is nearest to 0."""
        return tuple(f"sees {name}" for name in self.machines)

    @property
    def cells(self) -> tuple[int, ...]:
        """How many along each machine: not seen, seen."""
        return (2,) * len(self.machines)

    @property
    def count(self) -> int:
        """All sets, the empty one too."""
        return 1 << len(self.machines)

    def place(self, cell: int) -> Sequence[int]:
        """Whether each machine belongs to a cell's set, (k,) of 0 and 1."""
        return [int(bit) for bit in self._sets[cell]]

    def members(self, cell: int) -> tuple[str, ...]:
        """The machines of a cell's set."""
        return tuple(name for name, bit in zip(self.machines, self.place(cell), strict=True) if bit)

    def locate(
        self, genomes: NDArray[np.floating[Any]], margins: NDArray[np.floating[Any]] | None
    ) -> tuple[Ints, Doubles]:
        """The cells (n,) and the measures (n, k) of masks; -1 and nan where a machine sees a face in some
        views only.

        :param genomes: (n, d), which do not matter here. margins: (n, objectives, v), finite.
        """
        seen = self._margins(margins)
        least, most = seen.min(axis=2), seen.max(axis=2)
        found = np.where(least > 0, least, np.where(most <= 0, most, np.nan))
        cells = (found > 0) @ (1 << np.arange(len(self.machines))[::-1])
        return np.where(np.isnan(found).any(axis=1), -1, cells).astype(np.int64), found

    def fits(self, margins: NDArray[np.floating[Any]]) -> Doubles:
        """How well masks fit each cell, (n, cells), of margins (n, objectives, v).

        In its own cell a mask is worth its least clear verdict: the smallest margin, either way, of any
        machine in any view. In the others it is worth what it lacks there, 0 or less: for each machine that
        is to see a face the mean over views of what is missing to its threshold, for each other one of what
        is beyond it. So every mask competes for every cell, as every picture competes for every class in an
        Innovation Engine (Nguyen, Yosinski and Clune 2015), and cells that nobody fills yet have a nearest.
        """
        seen = self._margins(margins)
        lacking = np.minimum(seen, 0.0).mean(axis=2) @ self._sets.T
        beyond = np.minimum(-seen, 0.0).mean(axis=2) @ (1 - self._sets).T
        worth: Doubles = lacking + beyond
        cells, found = self.locate(np.empty((len(seen), 0)), margins)
        rows = np.flatnonzero(cells >= 0)
        worth[rows, cells[rows]] = np.abs(found[rows]).min(axis=1)
        return worth

    def shares(self, margins: NDArray[np.floating[Any]]) -> Doubles:
        """In which share of the views each machine sees a face, (n, k), of margins (n, objectives, v)."""
        return np.asarray((self._margins(margins) > 0).mean(axis=2))

    def rank(self, mask: Mask) -> tuple[bool, float]:
        """What decides who stays in a cell: the mask's least clear verdict."""
        return True, self.quality(mask)

    def quality(self, mask: Mask) -> float:
        """What a mask adds to the QD score."""
        return float(np.abs(mask.measures).min())

    @cached_property
    def _sets(self) -> Ints:
        """(cells, k), 1 where a machine belongs to a cell's set; the first machine changes last."""
        return np.array(list(np.ndindex(*self.cells)), np.int64).reshape(self.count, len(self.machines))

    def _margins(self, margins: NDArray[np.floating[Any]] | None) -> Doubles:
        """The machines' own margins (n, k, v)."""
        if margins is None:
            raise ValueError("margins: cells of machines need what the machines said of the masks")
        signs = np.where(self.turned, -1.0, 1.0)[:, None]
        return np.asarray(signs * margins[:, list(self.columns)].astype(np.float64))


def niches_of(machines: Sequence[str], objectives: Sequence[Mapping[str, Any]]) -> Niches:
    """The sets of machines that some of a spec's objectives ask.

    :param objectives: tables with a ``kind`` and a ``model``.
    :raises ValueError: for a machine that none of them asks whether it sees a face.
    """
    asked = {o["model"]: k for k, o in enumerate(objectives) if o["kind"] in {kind.name for kind in KINDS}}
    for name in machines:
        if name not in asked:
            raise ValueError(
                f"[archive] machines holds '{name}', and no objective of kind "
                f"{' or '.join(repr(kind.name) for kind in KINDS)} is of it; the spec has {_listed(asked)}"
            )
    columns = tuple(asked[name] for name in machines)
    turned = tuple(objectives[column]["kind"] == REFUSE.name for column in columns)
    return Niches(tuple(machines), columns, turned)


def _listed(names: Mapping[str, int]) -> str:
    return ", ".join(map(repr, names)) or "none"
