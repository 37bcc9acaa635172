"""A run's archive: the best mask of every kind that it has seen, one for each cell.

Cells are those of a grid over measures of a mask's shape, or sets of machines that see a face in it. It sees
every mask that any island had scored, in a fixed order, and keeps in each cell the one that ranks highest: in
a grid accepted masks before others, then by fitness, then whoever came first. It goes into every checkpoint
as one parquet file, and comes back from it to the byte.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from coordinator.record.record import Head, Record, checkpoint_key
from coordinator.search.grid import Grid
from coordinator.search.niches import Niches, niches_of
from services.errors import CorruptData
from services.wire.mask import Mask

if TYPE_CHECKING:
    from coordinator.spec.spec import Spec

Float = NDArray[np.float32]

Cells = Grid | Niches

PART = "archive.parquet"


class Archive:
    """See the module's text. admit: "all", or "accepted" to leave a cell empty until a mask is accepted."""

    def __init__(self, grid: Cells, admit: str = "all") -> None:
        self.grid, self.admit = grid, admit
        self._kept: dict[int, Mask] = {}

    @classmethod
    def of(cls, spec: Spec) -> Archive | None:
        """An empty one as a spec has it, or None where it asks for none."""
        said, cells = spec.archive, spec.cells()
        return None if said is None or cells is None else cls(cells, said.admit)

    @property
    def kept(self) -> list[Mask]:
        """The masks, by cell."""
        return [self._kept[cell] for cell in sorted(self._kept)]

    def add(
        self,
        ids: Sequence[str],
        island: int,
        generation: int,
        genomes: Float,
        fitness: Float,
        values: Float,
        flipped: Float,
        margins: Float | None = None,
    ) -> None:
        """Show it the masks of one generation, one a row; a fitness that is not finite counts as unscored.

        margins: (n, objectives, v), for cells of machines.
        """
        rows = np.flatnonzero(np.isfinite(fitness) & np.isfinite(genomes).all(axis=1))
        if not len(rows):
            return
        cells, measures = self.grid.locate(genomes[rows], None if margins is None else margins[rows])
        for row, cell, found in zip(rows.tolist(), cells.tolist(), measures, strict=True):
            if cell < 0:
                continue
            mask = Mask(
                *(ids[row], island, generation, genomes[row]),
                *(float(fitness[row]), values[row], float(flipped[row])),
                cell=cell,
                measures=tuple(found.tolist()),
            )
            self._admit(cell, mask)

    def merge(self, kept: Sequence[Mask]) -> None:
        """See what another archive over the same cells kept, of masks after all that this one has seen."""
        for mask in kept:
            self._admit(placed(mask), mask)

    def _admit(self, cell: int, mask: Mask) -> None:
        held = self._kept.get(cell)
        better = held is None or self.grid.rank(mask) > self.grid.rank(held)
        if better and (mask.accepted or self.admit == "all"):
            self._kept[cell] = mask

    def encoded(self, labels: Sequence[str]) -> bytes:
        """Parquet bytes, one row a filled cell. labels: of the objectives."""
        kept = self.kept
        columns: dict[str, pa.Array] = {
            "cell": pa.array([m.cell for m in kept], pa.int64()),
            "id": pa.array([m.id for m in kept], pa.string()),
            "island": pa.array([m.island for m in kept], pa.int32()),
            "generation": pa.array([m.generation for m in kept], pa.int32()),
            "accepted": pa.array([m.accepted for m in kept], pa.bool_()),
            "fitness": pa.array([m.fitness for m in kept], pa.float64()),
            "flipped": pa.array([m.flipped for m in kept], pa.float32()),
        }
        for k, name in enumerate(self.grid.measures):
            columns[name] = pa.array([m.measures[k] for m in kept], pa.float64())
        for k, label in enumerate(labels):
            columns[f"value {label}"] = pa.array([float(m.values[k]) for m in kept], pa.float32())
        columns["genome"] = pa.array([m.genome.tolist() for m in kept], pa.list_(pa.float32()))
        buffer = io.BytesIO()
        pq.write_table(pa.table(columns), buffer, compression="zstd")
        return buffer.getvalue()

    def restore(self, data: bytes, where: str) -> None:
        """Hold what :meth:`encoded` wrote. :raises CorruptData: for damaged bytes."""
        self._kept = {placed(mask): mask for mask in decoded(data, self.grid, where)}


def placed(mask: Mask) -> int:
    """The cell of a mask that an archive holds. :raises ValueError: for another one."""
    if mask.cell is None:
        raise ValueError(f"mask {mask.id}: no archive holds it")
    return mask.cell


def decoded(data: bytes, grid: Cells, where: str) -> list[Mask]:
    """The masks of an archive's bytes, by cell. :raises CorruptData: where they cannot be read."""
    try:
        table = pq.read_table(io.BytesIO(data))
        labels = [name for name in table.column_names if name.startswith("value ")]
        return [
            Mask(
                *(row["id"], row["island"], row["generation"]),
                np.array(row["genome"], np.float32),
                row["fitness"],
                np.array([row[label] for label in labels], np.float32),
                row["flipped"],
                cell=row["cell"],
                measures=tuple(row[name] for name in grid.measures),
            )
            for row in table.to_pylist()
        ]
    except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise CorruptData(
            f"{where}: not an archive of this run ({error}); restore it from a copy of the run"
        ) from None


def read_archive(record: Record, head: Head, grid: Cells) -> list[Mask] | None:
    """The committed archive's masks, or None where the run has none."""
    key = checkpoint_key(head.epoch, PART)
    if key not in head.parts:
        return None
    return decoded(record.part(key, head.parts[key]), grid, f"{record.url}/{key}")


def grid_of(spec: Mapping[str, Any]) -> Cells | None:
    """The cells of a recorded spec table, or None where it asks for no archive."""
    table = spec.get("archive")
    if not isinstance(table, Mapping) or not table.get("on", True):
        return None
    if table.get("machines"):
        return niches_of(table["machines"], spec["objective"])
    return Grid(
        spec["mask"]["basis"],
        tuple(table["measures"]),
        tuple(table["cells"]),
        tuple((low, high) for low, high in table["ranges"]),
    )


def coverage(kept: Sequence[Mask], grid: Cells) -> dict[str, Any]:
    """How full an archive is: cells, filled, accepted, and the QD score.

    The QD score (Pugh, Soros and Stanley 2016, "Quality diversity", section 3) adds up the fitness over the
    filled cells, each counted from :data:`coordinator.search.grid.FLOOR`; of cells of machines it adds up how
    clear the least clear verdict is in each.
    """
    return {
        "cells": grid.count,
        "filled": len(kept),
        "accepted": sum(mask.accepted for mask in kept),
        "qd_score": round(sum(grid.quality(mask) for mask in kept), 4),
    }
