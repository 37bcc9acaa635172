"""datamask itself as a contender: the real coordinator over a record of its own, scored by the problem."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from bench.here import Here
from bench.search.problem import BudgetSpent, Problem
from coordinator.record.record import Record
from coordinator.run import open_run
from coordinator.search.evolution import Evolution
from coordinator.search.seeds import ranking_seed
from coordinator.spec.spec import Spec, parse_spec
from services.storage import open_store
from services.wire.plan import Batch, Scores

MORE_THAN_ENOUGH = 100_000  # generations: the budget ends the search


def charged(problem: Problem, batch: Batch) -> Scores:
    """A batch's scores, charged to the problem, which notes what was seen or ranked."""
    scores = problem.score(batch, len(batch.genomes) * batch.view_count)
    note = problem.ranked if batch.view_seed == ranking_seed(problem.seed) else problem.told
    note(batch.genomes, problem.values(scores))
    return scores


def islands(overrides: Sequence[tuple[str, str, object]] = ()) -> Callable[[Problem], None]:
    """A contender: the problem's spec, with (table, key, value) changed in its search."""

    def run(problem: Problem) -> None:
        spec = changed(problem.opened.spec, [("search", "generations", MORE_THAN_ENOUGH), *overrides])
        with tempfile.TemporaryDirectory(prefix="datamask-search-") as folder:
            opened = open_run(spec, Record(open_store(Path(folder)).sub("run")), resume=False)
            with closing(opened.record) as record:  # else its beat writes into a folder that is being removed
                record.take_over()
                here = Here(partial(charged, problem))
                Evolution(spec, record, opened.plan, opened.objectives, problem.dimension, here).run()
        raise BudgetSpent

    return run


def changed(spec: Spec, overrides: Sequence[tuple[str, str, object]]) -> Spec:
    """The spec with some values changed, checked anew."""
    table = spec.table()
    for name, key, value in overrides:
        table.setdefault(name, {})[key] = value
    return parse_spec(table, "bench.search")
