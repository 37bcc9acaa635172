"""The atlas with a tiny budget: it runs, goes on after a crash to the same bytes, and fills its archive."""

from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.queue.executor import Finished, LocalExecutor
from coordinator.record.evaluations import read_rows
from coordinator.record.record import Record
from coordinator.run import Opened, evolve_run, open_run
from coordinator.search.archive import grid_of, read_archive
from coordinator.search.niches import Niches
from coordinator.spec.spec_file import load_spec
from services.storage.open import open_store
from worker.evaluate import Evaluator

EXAMPLE = Path(__file__).parents[2] / "examples" / "atlas.toml"
TINY = [
    "search.islands=4",
    "search.generations=3",
    "search.population=4",
    "migration.every=1",
    "migration.count=1",
    "views.count=2",
    "elites.ranking_views=2",
    "elites.candidates=1",
]


def opened(folder: Path) -> Opened:
    spec = load_spec(EXAMPLE, overrides=TINY)
    return open_run(spec, Record(open_store(folder, write=True).sub("run")), resume=True)


class Pulled(LocalExecutor):
    """The plug is pulled after some batches."""

    left = 14

    def wait(self) -> Finished:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().wait()


def test_it_runs_and_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    evaluator, heads = Evaluator("cpu"), []
    for name in ("straight", "pulled"):
        run = opened(tmp_path / name)
        try:
            if name == "pulled":
                with pytest.raises(KeyboardInterrupt):
                    evolve_run(run, Pulled(run.record.store, evaluator), [], lambda evolution: None)
                run.record.close()
                run = opened(tmp_path / name)
                assert run.record.head().epoch == 0
            evolve_run(run, LocalExecutor(run.record.store, evaluator), [], lambda evolution: None)
        finally:
            run.record.close()
        heads.append(run.record.head())
    straight, pulled = heads
    assert dict(straight.parts) == dict(pulled.parts)
    assert dict(straight.evaluations) == dict(pulled.evaluations)
    cells = grid_of(run.spec.table())
    assert isinstance(cells, Niches)
    kept = read_archive(run.record, pulled, cells)
    assert kept  # noise is a face to nobody, which is a cell, too
    assert {mask.cell for mask in kept} <= set(range(32))
    rows = read_rows(run.record)
    assert rows is not None
    assert len(rows) < 48
    assert set(rows["id"].to_pylist()) >= {mask.id for mask in kept}
