"""Runs for tests of what shows them: a real record, filled with masks that nobody had to score."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from coordinator.record.evaluations import schema
from coordinator.record.record import Record, checkpoint_key, evaluations_key
from coordinator.run import Opened, open_run
from coordinator.search.archive import PART, Archive
from coordinator.search.island import mask_id
from coordinator.spec.spec import parse_spec
from services.recognition.fitness import Objective
from services.shape.catalog import basis_info
from services.storage.open import open_store
from services.wire.mask import Mask, encode_masks


@dataclass
class Grown:
    """A run as it stands. rows: what its evaluations hold."""

    record: Record
    opened: Opened
    rows: list[dict[str, Any]]
    elites: list[Mask]
    archive: Archive | None = None


def spec_of(islands: int, generations: int, population: int, elites: int, **more: Any) -> dict[str, Any]:
    """A small spec with two detectors."""
    return {
        "name": "grown",
        "seed": 3,
        "search": {
            "islands": islands,
            "population": population,
            "generations": generations,
            "optimizers": ["sep-cma", "genetic"],
        },
        "migration": {"every": 5, "count": 1},
        "views": {"count": 2},
        "elites": {"count": elites},
        "verify": {"views": 4},
        "objective": [
            {"kind": "detect", "model": "dlib-hog"},
            {"kind": "detect", "model": "dlib-mmod", "weight": 2.0},
        ],
        **more,
    }


def grow(
    folder: Path,
    *,
    islands: int = 2,
    generations: int = 10,
    population: int = 4,
    elites: int = 2,
    until: int | None = None,
    lost: Collection[tuple[int, int]] = (),
    **more: Any,
) -> Grown:
    """Write a run whose masks go from noise to nearly neutral; odd islands breed, even ones draw from CMA.

    until: generations that are committed; all of them, and the run is done, where it is not given. lost:
    islands and generations whose batch failed, with the numbers that earlier versions wrote for its masks.
    """
    spec = parse_spec(spec_of(islands, generations, population, elites, **more), "test")
    record = Record(open_store(folder))
    opened = open_run(spec, record, resume=False)
    record.take_over()
    try:
        grown = Grown(record, opened, [], [])
        if spec.archive is not None:
            cells = spec.cells()
            assert cells is not None
            grown.archive = Archive(cells, spec.archive.admit)
        rng = np.random.default_rng(7)
        last = generations if until is None else until
        for epoch in range(-(-last // 5)):
            span = range(epoch * 5, min(last, epoch * 5 + 5))
            _epoch(grown, rng, epoch, span, islands, population, elites, lost)
        if until is None:
            record.commit(-(-last // 5) - 1, {}, {}, done=True)
    finally:
        record.close()
    return grown


def _epoch(
    grown: Grown,
    rng: np.random.Generator,
    epoch: int,
    span: range,
    islands: int,
    population: int,
    elites: int,
    lost: Collection[tuple[int, int]],
) -> None:
    opened, total = grown.opened, grown.opened.spec.search.generations
    genes = len(basis_info(opened.spec.mask.basis).gene_names)
    rows = []
    for generation in span:
        for island in range(islands):
            spread = 1.2 * (1.0 - 0.8 * generation / max(total - 1, 1))
            for k in range(population):
                values = np.float32(rng.normal(-1.0 + 2.0 * generation / total, 0.2, 2))
                failed = (island, generation) in lost
                if failed:
                    values = np.float32([0.0, 4.36])
                rows.append(
                    {
                        "id": mask_id(island, generation, k),
                        "island": island,
                        "generation": generation,
                        "parents": _parents(island, generation, k, islands, population),
                        "genome": rng.normal(0, spread, genes).astype(np.float32),
                        "basis": opened.spec.mask.basis,
                        "fitness": -np.inf if failed else float(values.mean()),
                        "status": "failed" if failed else "ok",
                        "flipped": 0.1,
                        "value dlib-hog": float(values[0]),
                        "value dlib-mmod": float(values[1]),
                        "scores dlib-hog": np.repeat(values[0], 2),
                        "scores dlib-mmod": np.repeat(values[1], 2),
                    }
                )
    grown.rows += rows
    best = sorted(grown.rows, key=lambda row: -row["fitness"])[:elites]
    grown.elites = [
        Mask(
            row["id"],
            row["island"],
            row["generation"],
            row["genome"],
            row["fitness"],
            np.array([row["value dlib-hog"], row["value dlib-mmod"]], np.float32),
            0.1,
        )
        for row in best
    ]
    parts = {checkpoint_key(epoch, "elites"): encode_masks(grown.elites)}
    if grown.archive is not None:
        for row in rows:
            values = np.array([row["value dlib-hog"], row["value dlib-mmod"]], np.float32)
            grown.archive.add(
                *([row["id"]], row["island"], row["generation"], row["genome"][None]),
                *(np.array([row["fitness"]], np.float32), values[None], np.array([0.1], np.float32)),
                values[None, :, None].repeat(2, axis=2),
            )
        parts[checkpoint_key(epoch, PART)] = grown.archive.encoded([o.label for o in opened.objectives])
    grown.record.commit(epoch, parts, {evaluations_key(epoch): encode_rows(rows, opened.objectives)})


def _parents(island: int, generation: int, k: int, islands: int, population: int) -> list[str]:
    if generation == 0:
        return []
    if generation % 5 == 0 and k == population - 1 and islands > 1:  # the migrant of the island before
        return [mask_id((island - 1) % islands, generation - 1, 0)]
    if island % 2 == 0:
        return [f"i{island:02d}-g{generation - 1:04d}"]
    return [mask_id(island, generation - 1, k), mask_id(island, generation - 1, (k + 1) % population)]


def encode_rows(rows: Sequence[Mapping[str, Any]], objectives: Sequence[Objective]) -> bytes:
    """Parquet bytes of made-up rows of the evaluations table."""
    shape = schema(objectives)
    table = pa.table({name: [row[name] for row in rows] for name in shape.names}, schema=shape)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
