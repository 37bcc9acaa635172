"""The evaluations table: one row for each scored genome, or for some of them, as parquet."""

from __future__ import annotations

import io
import itertools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from coordinator.record import thinning
from coordinator.record.record import Record
from coordinator.record.thinning import Tally
from services.recognition.fitness import Objective
from services.wire.plan import MEASURED, STATUS_NAMES

if TYPE_CHECKING:
    from coordinator.search.island import Generation

_TALLIES = b"datamask.tallies"  # of a file without a row for every mask: what its generations came to

_SORTED = 1000  # numbers of masks beyond 999 have a digit more, and ids are sorted as words

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
    table = read_rows(record, ["island", "status"])
    if table is None:
        return f"{record.url}: no checkpoint yet, so there is no elite; evolve longer"
    statuses = sum(statuses_of(table).values(), Counter())
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


@dataclass(frozen=True)
class Rows:
    """Some generations' part of a table. tallies: of these generations, where not every mask has a row.

    unsure: ids of masks whose rows stay only if the run's archive holds them.
    """

    columns: pa.RecordBatch
    tallies: tuple[Tally, ...] = ()
    unsure: frozenset[str] = frozenset()

    def __reduce__(self) -> tuple[Callable[..., Rows], tuple[object, ...]]:
        # As Arrow's own messages, a fifth of the time of its pickles.
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.columns.schema) as stream:
            stream.write_batch(self.columns)
        return _received, (sink.getvalue().to_pybytes(), self.tallies, self.unsure)


def _received(columns: bytes, tallies: tuple[Tally, ...], unsure: frozenset[str]) -> Rows:
    return Rows(pa.ipc.open_stream(columns).read_next_batch(), tallies, unsure)


def rows_of(
    generations: Sequence[Generation],
    basis: str,
    objectives: Sequence[Objective],
    which: str = "all",
    told: Set[str] = frozenset(),
    perhaps: Set[str] = frozenset(),
) -> Rows:
    """One or more generations' masks, by island, generation and id. What was not measured has no number.

    :param which, told: see :func:`coordinator.record.thinning.kept`. perhaps: ids of masks that must stay if
        the archive holds them in the end.
    """
    in_order = sorted(generations, key=lambda generation: (generation.island, generation.number))
    shape, unsure = schema(objectives), list[str]()
    if which == "all" and all(len(generation.ids) <= _SORTED for generation in in_order):
        alike = itertools.groupby(in_order, lambda generation: generation.scores.raw.shape[2])
        parts = [_columns(list(some), basis, objectives) for _, some in alike]
    else:
        parts = []
        for generation in in_order:
            rows, doubtful = _staying(generation, which, told, perhaps)
            columns = _columns([generation], basis, objectives)
            parts.append({name: column.take(rows) for name, column in columns.items()})
            unsure += doubtful
    arrays = [pa.concat_arrays([part[name] for part in parts]) for name in shape.names]
    return Rows(
        pa.RecordBatch.from_arrays(arrays, schema=shape),
        () if which == "all" else tuple(thinning.tally_of(generation) for generation in in_order),
        frozenset(unsure),
    )


def encode_rows(
    parts: Sequence[Rows], objectives: Sequence[Objective], which: str = "all", held: Set[str] = frozenset()
) -> bytes:
    """Parquet bytes (zstd) of the rows of all islands, in their order.

    held: ids of what the archive holds.
    """
    shape = schema(objectives)
    tables = [_decided(part, held) for part in parts]
    columns = {name: pa.concat_arrays([table.column(name) for table in tables]) for name in shape.names}
    if which != "all":
        told = [tally for part in parts for tally in part.tallies]
        shape = shape.with_metadata({_TALLIES: thinning.encoded(told)})
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns, schema=shape), buffer, compression="zstd")
    return buffer.getvalue()


def _decided(part: Rows, held: Set[str]) -> pa.RecordBatch:
    gone = part.unsure.difference(held)
    if not gone:
        return part.columns
    return part.columns.filter(pa.array([name not in gone for name in part.columns.column("id").to_pylist()]))


def _columns(
    generations: Sequence[Generation], basis: str, objectives: Sequence[Objective]
) -> dict[str, pa.Array]:
    """Columns by name of generations of equally many views: for all of them Arrow is asked as often as for
    one.
    """
    ids = [name for generation in generations for name in generation.ids]
    sizes = [len(generation.ids) for generation in generations]
    scores, results = [g.scores for g in generations], [g.result for g in generations]
    status = np.concatenate([each.status for each in scores])
    measured = np.concatenate([each.measured for each in scores])
    values = np.concatenate([each.values for each in results])
    flipped = np.concatenate([each.flipped for each in scores])
    columns = {
        "id": pa.array(ids, pa.string()),
        "island": pa.array(np.repeat([np.int32(g.island) for g in generations], sizes)),
        "generation": pa.array(np.repeat([np.int32(g.number) for g in generations], sizes)),
        "parents": pa.array([names for g in generations for names in g.parents], pa.list_(pa.string())),
        "genome": _lists(np.concatenate([g.genomes for g in generations]), np.ones(len(ids), bool)),
        "basis": pa.repeat(pa.scalar(basis, pa.string()), len(ids)),
        "fitness": pa.array(np.concatenate([each.fitness for each in results]).astype(np.float32)),
        "status": pa.array([STATUS_NAMES[each] for each in status.tolist()], pa.string()),
        "flipped": pa.array(np.where(measured, flipped, np.float32(np.nan))),
    }
    for j, objective in enumerate(objectives):
        raw = np.concatenate([each.raw[j] for each in scores])
        columns[f"value {objective.label}"] = pa.array(values[:, j].astype(np.float32))
        columns[f"scores {objective.label}"] = _lists(raw, measured)
    return columns


def _staying(
    generation: Generation, which: str, told: Set[str], perhaps: Set[str]
) -> tuple[pa.Array, list[str]]:
    """Which rows of a generation stay, in the order of ids, and the ids of those that do only because of
    ``perhaps``.
    """
    all_of = np.ones(len(generation.ids), bool)
    stays = all_of if which == "all" else thinning.kept(generation, which, told)
    unsure = [k for k, name in enumerate(generation.ids) if name in perhaps and not stays[k]]
    rows = sorted([*np.flatnonzero(stays).tolist(), *unsure], key=generation.ids.__getitem__)
    return pa.array(rows, pa.int64()), [generation.ids[k] for k in unsure]


def _lists(rows: NDArray[np.float32], there: NDArray[np.bool_]) -> pa.Array:
    """Rows (n, k) as lists; null where ``there`` (n,) says that there is none."""
    ends = np.concatenate([[0], np.cumsum(np.where(there, rows.shape[1], 0))]).astype(np.int32)
    offsets = pa.array(ends, mask=np.append(~there, False))
    return pa.ListArray.from_arrays(offsets, pa.array(rows[there].astype(np.float32).ravel()))


def read_rows(record: Record, columns: Sequence[str] | None = None) -> pa.Table | None:
    """Every committed row, or None if there is none yet. :raises CorruptData: if a file was changed."""
    return joined(
        [
            pq.read_table(io.BytesIO(record.part(key, sha256)), columns=list(columns) if columns else None)
            for key, sha256 in record.evaluations(record.head()).items()
        ]
    )


def joined(tables: Sequence[pa.Table]) -> pa.Table | None:
    """The tables of several files as one, with the tallies of all; None for none."""
    if not tables:
        return None
    whole = pa.concat_tables(tables)
    told = [tally for table in tables for tally in _tallies(table) or ()]
    return whole.replace_schema_metadata({_TALLIES: thinning.encoded(told)}) if told else whole


def _tallies(table: pa.Table) -> list[Tally] | None:
    """What the generations of a table came to; None where it has a row for every mask."""
    data = (table.schema.metadata or {}).get(_TALLIES)
    return None if data is None else thinning.decoded(data)


def statuses_of(table: pa.Table) -> dict[int, Counter[str]]:
    """How many masks of each status there were on each island, whether or not they have rows.

    :param table: with the columns ``island`` and ``status``, where it has a row for every mask.
    """
    found: dict[int, Counter[str]] = {}
    tallies = _tallies(table)
    if tallies is None:
        for island, status in zip(*(table[name].to_pylist() for name in ("island", "status")), strict=True):
            found.setdefault(island, Counter())[status] += 1
    for tally in tallies or ():
        found.setdefault(tally.island, Counter()).update(tally.statuses)
    return found


def medians_of(table: pa.Table) -> dict[tuple[int, int], float | None]:
    """The median fitness by island and generation where a table has not a row for every mask; else {}."""
    return {(tally.island, tally.generation): tally.median for tally in _tallies(table) or ()}


FIRST = ("id", "generation", "fitness", "status")


def best_of_first(table: pa.Table | None) -> str | None:
    """Generation 0's fittest mask, by id, of a table with the columns ``FIRST``; None where there is none."""
    if table is None:
        return None
    rows = table.select(list(FIRST)).filter(pc.equal(table["generation"], 0)).to_pylist()
    rows = [row for row in rows if row["status"] == "ok" and math.isfinite(row["fitness"])]
    best = max(rows, key=lambda row: (row["fitness"], row["id"]), default=None)
    return None if best is None else str(best["id"])


def measured(table: pa.Table) -> pa.Table:
    """The rows of masks that machines have seen; earlier versions wrote scores for the others, too."""
    return table.filter(pc.is_in(table["status"], value_set=pa.array([STATUS_NAMES[s] for s in MEASURED])))


def views_of(table: pa.Table | None, label: str) -> int:
    """Under how many views a run's masks were scored; ``label``: any objective's."""
    if table is None:
        return 0
    tallies = _tallies(table)
    if tallies is not None:
        return sum(tally.views for tally in tallies)
    return int(pc.sum(pc.list_value_length(table[f"scores {label}"])).as_py() or 0)


def read_genomes(record: Record, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """Genomes float32 (d,) of some masks by id, one file in memory at a time.

    :raises CorruptData: if a file was changed.
    """
    found: dict[str, NDArray[np.float32]] = {}
    wanted = pa.array(list(ids), pa.string())
    for key, sha256 in record.evaluations(record.head()).items():
        table = pq.read_table(io.BytesIO(record.part(key, sha256)), columns=["id", "genome"])
        rows = table.filter(pc.is_in(table["id"], value_set=wanted))
        for name, genome in zip(rows["id"].to_pylist(), rows["genome"].to_pylist(), strict=True):
            found[name] = np.array(genome, np.float32)
    return found
