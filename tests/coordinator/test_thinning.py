"""A record without a row for every mask: what people are told of the run stays what it was."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from coordinator.cli.show import read_run
from coordinator.queue.executor import LocalExecutor
from coordinator.record.chronicle import Chronicle
from coordinator.record.evaluations import read_genomes, read_rows, rows_of
from coordinator.record.record import Record
from coordinator.record.verification import open_verified
from coordinator.run import evolve_run, open_run
from coordinator.search.island import Generation
from coordinator.spec.recording import one_in
from coordinator.spec.spec import parse_spec
from services.recognition.fitness import Fitness, Objective
from services.storage.open import open_store
from services.wire.plan import Scores
from worker.evaluate import Evaluator

SPEC = {
    "name": "small",
    "seed": 3,
    "search": {"islands": 2, "population": 8, "generations": 4, "optimizers": ["sep-cma", "genetic"]},
    "migration": {"every": 2, "count": 1},
    "views": {"count": 2, "size_px": 112, "field_mm": [180, 200]},
    "elites": {"count": 2, "candidates": 1, "ranking_views": 2},
    "verify": {"views": 2},
    "archive": {"measures": ["abstraction"]},
    "objective": [{"kind": "detect", "model": "dlib-hog"}],
}


def run(folder: Path, which: str, evaluator: Evaluator) -> Record:
    spec = parse_spec({**SPEC, "record": {"evaluations": which}}, "spec")
    opened = open_run(spec, Record(open_store(folder, write=True).sub("run")), resume=False)
    try:
        evolve_run(opened, LocalExecutor(opened.record.store, evaluator), [], lambda evolution: None)
    finally:
        opened.record.close()
    return opened.record


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Record:
    return run(tmp_path_factory.mktemp("whole"), "all", Evaluator("cpu"))


@pytest.mark.parametrize("which", ["accepted", "1 in 5"])
def test_fewer_rows_tell_the_same_of_a_run(whole: Record, tmp_path: Path, which: str) -> None:
    thin = run(tmp_path, which, Evaluator("cpu"))
    assert thin.head().parts == whole.head().parts  # checkpoints are the same to the byte
    ours, every = read_rows(thin), read_rows(whole)
    assert ours is not None
    assert every is not None
    rows = {row["id"]: row for row in every.to_pylist()}
    assert len(rows) == 64
    assert 8 <= len(ours) < 48
    assert all(row == rows[row["id"]] for row in ours.to_pylist())
    kept = {row["id"] for row in ours.to_pylist()}
    if which == "accepted":
        assert kept >= {name for name, row in rows.items() if row["value dlib-hog"] > 0}
    else:
        every_fifth = [(g, k) for g in range(4) for k in range(8) if (8 * g + k) % 5 == 0]
        assert kept >= {f"i{i:02d}-g{g:04d}-{k:03d}" for i in (0, 1) for g, k in every_fifth}
    # What people see of the run.
    assert {**read_run(thin), "run": ""} == {**read_run(whole), "run": ""}
    thinned, told = Chronicle(thin).plan(), Chronicle(whole).plan()
    for key in ("masks_scored", "views_scored", "curves", "archive", "story"):
        assert thinned.facts[key] == told.facts[key]
    assert [m["id"] for m in thinned.facts["masks"]] == [m["id"] for m in told.facts["masks"]]
    assert thinned.facts["migration"]["moves"] == told.facts["migration"]["moves"]
    assert thinned.work["controls"] == told.work["controls"]
    wanted = [mask.id for mask in open_verified(thin).elites]
    wanted += [mask["id"] for mask in told.facts["archive"]["masks"]]
    assert set(read_genomes(thin, wanted)) == set(wanted)
    assert all(mask["lineage"] for mask in thinned.facts["masks"])


def test_a_whole_record_has_no_tallies(whole: Record) -> None:
    for key, sha256 in whole.evaluations(whole.head()).items():
        assert pq.read_schema(io.BytesIO(whole.part(key, sha256))).metadata is None


def test_one_in_some() -> None:
    assert one_in("1 in 20") == 20
    assert [one_in(text) for text in ("1 in 0", "1 in", "2 in 3", "1 in 2.5", "all", "1 in -3")] == [None] * 6


def test_of_a_large_population_the_rows_stay_that_should() -> None:
    """Beyond 999 masks ids are longer, and sorted as words stand in another order than their numbers."""
    count, rng = 1200, np.random.default_rng(0)
    fitness = rng.normal(size=(count, 1)).astype(np.float32)
    scores = Scores(
        rng.normal(size=(1, count, 2)).astype(np.float32),
        *(np.zeros(count, np.float32), np.zeros(count, np.uint8), np.zeros(count, np.float32)),
        np.ones((count, 2), np.float32),
    )
    genomes = np.zeros((count, 3), np.float32)
    result = Fitness(fitness[:, 0], fitness, fitness[:, :, None].repeat(2, axis=2))
    generation = Generation(1, 0, genomes, ((),) * count, scores, result)
    rows = rows_of([generation], "basis", [Objective("detect", "dlib-hog", 1.0, 0.0)], "1 in 4").columns
    ids = rows.column("id").to_pylist()
    assert ids == sorted({*generation.ids[::4], generation.ids[int(fitness.argmax())]})
    told = dict(zip(generation.ids, fitness[:, 0].tolist(), strict=True))
    assert rows.column("fitness").to_pylist() == [told[name] for name in ids]
