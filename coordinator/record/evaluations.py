"""The evaluations table: one row for each scored genome, as parquet."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from coordinator.record.record import Record
from services.recognition.fitness import Objective
from services.wire.plan import MEASURED, STATUS_NAMES

_WHY = {
    "failed": "{count} lie in batches that failed",
    "invisible": (
        "{count} are out of the picture in some view, lower [mask] spread or limit, or widen [views] field_mm"
    ),
    "not-finite": "{count} have weights that are no numbers, please report the spec",
}


def unscored(statuses: Mapping[str, int]) -> str:
    """Why masks could not be scored and what to do, from how many have which status."""
    return "; ".join(words.format(count=statuses[s]) for s, words in _WHY.items() if statuses.get(s))


def no_elite(record: Record) -> str:
    """One line: why a run has no elite."""
    table = read_rows(record, ["status"])
    if table is None:
        return f"{record.url}: no checkpoint yet, so there is no elite; evolve longer"
    statuses = Counter(table["status"].to_pylist())
    if not statuses["ok"]:
        return (
            f"{record.url}: there is no elite, for no mask could be scored: {unscored(statuses)}; "
            f"see datamask show {record.url}"
        )
    return (
        f"{record.url}: there is no elite: {statuses['ok']} masks were scored, but the best of them are "
        "vetoed, or out of the picture in some view of the ranking"
    )


def schema(objectives: Sequence[Objective]) -> pa.Schema:
    """Columns of the table; each objective has a ``value`` and its per-view ``scores``.

    A mask whose ``status`` is not ``ok`` was not scored: its fitness is -inf, its values are nan. One that no
    machine has seen (``failed``, ``not-finite``) has null for scores, and nan for ``flipped``, too.
    """
    columns = [
        ("id", pa.string()),
        ("island", pa.int32()),
        ("generation", pa.int32()),
        ("parents", pa.list_(pa.string())),
        ("genome", pa.list_(pa.float32())),
        ("basis", pa.string()),
        ("fitness", pa.float32()),
        ("status", pa.string()),
        ("flipped", pa.float32()),
    ]
    for objective in objectives:
        columns += [
            (f"value {objective.label}", pa.float32()),
            (f"scores {objective.label}", pa.list_(pa.float32())),
        ]
    return pa.schema(columns)


def encode_rows(rows: Sequence[Mapping[str, Any]], objectives: Sequence[Objective]) -> bytes:
    """Parquet bytes of the rows (zstd)."""
    shape = schema(objectives)
    table = pa.table({name: [row[name] for row in rows] for name in shape.names}, schema=shape)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def read_rows(record: Record, columns: Sequence[str] | None = None) -> pa.Table | None:
    """Every committed row, or None if there is none yet. :raises CorruptData: if a file was changed."""
    tables: Iterable[pa.Table] = [
        pq.read_table(io.BytesIO(record.part(key, sha256)), columns=list(columns) if columns else None)
        for key, sha256 in sorted(record.head().evaluations.items())
    ]
    tables = list(tables)
    return pa.concat_tables(tables) if tables else None


def measured(table: pa.Table) -> pa.Table:
    """The rows of masks that machines have seen; earlier versions wrote scores for the others, too."""
    return table.filter(pc.is_in(table["status"], value_set=pa.array([STATUS_NAMES[s] for s in MEASURED])))


def views_of(table: pa.Table | None, label: str) -> int:
    """Under how many views the masks of a table were scored; ``label``: any objective's."""
    if table is None:
        return 0
    return int(pc.sum(pc.list_value_length(table[f"scores {label}"])).as_py() or 0)


def read_genomes(record: Record, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """Genomes float32 (d,) of some masks by id, one file in memory at a time.

    :raises CorruptData: if a file was changed.
    """
    found: dict[str, NDArray[np.float32]] = {}
    wanted = pa.array(list(ids), pa.string())
    for key, sha256 in sorted(record.head().evaluations.items()):
        table = pq.read_table(io.BytesIO(record.part(key, sha256)), columns=["id", "genome"])
        rows = table.filter(pc.is_in(table["id"], value_set=wanted))
        for name, genome in zip(rows["id"].to_pylist(), rows["genome"].to_pylist(), strict=True):
            found[name] = np.array(genome, np.float32)
    return found
