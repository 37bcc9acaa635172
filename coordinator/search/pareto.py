"""Several aims that pull apart: which masks nobody beats in all of them at once.

Ranks and crowding distances: Deb, Pratap, Agarwal and Meyarivan, "A Fast and Elitist Multiobjective Genetic
Algorithm: NSGA-II", IEEE Transactions on Evolutionary Computation 6(2), 2002, sections III-A and III-B.
Everything here is maximized.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from coordinator.spec.objectives import recorded_labels
from services.recognition.fitness import Fitness
from services.shape.catalog import every_measure, facts_of
from services.shape.character import character

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
Float = NDArray[np.float32]

FITNESS = "fitness"


@dataclass(frozen=True)
class Aims:
    """What a run trades: names of aims, each ``fitness``, a measure, or the label of an objective."""

    names: tuple[str, ...]
    basis: str
    labels: tuple[str, ...]

    def of(self, genomes: Float, result: Fitness) -> Doubles:
        """(n, m) of genomes (n, d) and what machines made of them; -inf throughout where one is unscored."""
        columns: list[NDArray[np.floating]] = []
        measures = facts_of(self.basis).measure_names
        character_of = character(self.basis, genomes) if set(self.names) & set(measures) else None
        for name in self.names:
            if name == FITNESS:
                columns.append(result.fitness)
            elif name in self.labels:
                columns.append(result.values[:, self.labels.index(name)])
            else:
                assert character_of is not None
                columns.append(character_of[:, measures.index(name)])
        found = np.stack(columns, axis=1).astype(np.float64)
        usable = np.isfinite(found).all(axis=1) & np.isfinite(result.fitness)
        return np.where(usable[:, None], found, -np.inf)

    @property
    def columns(self) -> list[str]:
        """The columns of an evaluations table that :meth:`in_table` reads."""
        return ["genome", "fitness", *(f"value {label}" for label in self.labels)]

    def in_table(self, table: pa.Table) -> Doubles:
        """(n, m) of the rows of an evaluations table."""
        genomes = table["genome"].combine_chunks()
        width = len(genomes.flatten()) // max(len(table), 1)
        values = [table[f"value {label}"].to_numpy() for label in self.labels]
        told = np.stack(values, axis=1).astype(np.float32)
        fitness = table["fitness"].to_numpy().astype(np.float32)
        result = Fitness(fitness, told, np.zeros((len(table), len(self.labels), 0), np.float32))
        return self.of(np.asarray(genomes.flatten(), np.float32).reshape(len(table), width), result)


def aims_of(spec: Mapping[str, Any]) -> Aims | None:
    """The aims of a recorded spec table, or None where it trades nothing."""
    table = spec.get("pareto")
    if not isinstance(table, Mapping):
        return None
    return Aims(tuple(table["aims"]), spec["mask"]["basis"], tuple(recorded_labels(spec)))


def unit_of(aim: str) -> str:
    """The unit of an aim, "" where it has none."""
    measure = every_measure().get(aim)
    return "" if measure is None else measure.unit


def ranks(aims: Doubles) -> Ints:
    """Of points (n, m), how many fronts must be taken away until each is on the front, (n,) from 0 on."""
    n = len(aims)
    beats = _beats(aims)
    beaten_by = beats.sum(axis=0)
    found = np.full(n, -1, np.int64)
    rank = 0
    while (found < 0).any():
        now = (found < 0) & (beaten_by == 0)
        found[now] = rank
        beaten_by = beaten_by - beats[now].sum(axis=0)
        rank += 1
    return found


def crowding(aims: Doubles, rank: Ints) -> Doubles:
    """Of points (n, m), how much room each has among those of its rank, (n,); infinite at the ends."""
    room = np.zeros(len(aims))
    for front_rank in np.unique(rank):
        rows = np.flatnonzero(rank == front_rank)
        for column in aims[rows].T:
            order = np.argsort(column, kind="stable")
            low, high = column[order[[0, -1]]]
            room[rows[order[[0, -1]]]] = np.inf
            if np.isfinite([low, high]).all() and high > low:
                room[rows[order[1:-1]]] += (column[order[2:]] - column[order[:-2]]) / (high - low)
    return room


def order(aims: Doubles) -> Ints:
    """Rows (n,) of points (n, m) from the best to the worst: by rank, then those with the most room."""
    rank = ranks(aims)
    return np.lexsort((-crowding(aims, rank), rank)).astype(np.int64)


def front(aims: Doubles) -> list[int]:
    """Rows of the points (n, m) that no other beats, by the last aim upward; of equal points the first."""
    usable = np.flatnonzero(np.isfinite(aims).all(axis=1))
    if not len(usable):
        return []
    _, first = np.unique(aims[usable], axis=0, return_index=True)
    rest = usable[np.sort(first)]
    rest = rest[np.lexsort((rest, *(-aims[rest].T[::-1])))]  # the first of these is always on the front
    found: list[int] = []
    while len(rest):
        best = int(rest[0])
        found.append(best)
        rest = rest[1:][(aims[rest[1:]] > aims[best]).any(axis=1)]
    return sorted(found, key=lambda row: (float(aims[row, -1]), row))


def _beats(aims: Doubles) -> NDArray[np.bool_]:
    """[a, b]: whether point a is nowhere worse than b, and somewhere better."""
    n, m = aims.shape
    no_worse, better = np.ones((n, n), np.bool_), np.zeros((n, n), np.bool_)
    for k in range(m):
        no_worse &= aims[:, None, k] >= aims[None, :, k]
        better |= aims[:, None, k] > aims[None, :, k]
    return no_worse & better


def known_aims(basis: str, labels: Sequence[str]) -> tuple[str, ...]:
    """All names that a spec with masks of a basis and objectives of these labels may trade."""
    return (FITNESS, *facts_of(basis).measure_names, *labels)
