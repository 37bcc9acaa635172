"""datamask itself as a contender: the real coordinator over a record of its own, scored by the problem."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from bench.here import evolution_here
from bench.search.problem import BudgetSpent, Problem
from coordinator.search.seeds import ranking_seed
from coordinator.spec.spec import Spec, parse_spec
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
        with evolution_here(spec, partial(charged, problem)) as evolution:
            evolution.run()
        raise BudgetSpent

    return run


def changed(spec: Spec, overrides: Sequence[tuple[str, str, object]]) -> Spec:
    """The spec with some values changed, checked anew."""
    table = spec.table()
    for name, key, value in overrides:
        table.setdefault(name, {})[key] = value
    return parse_spec(table, "bench.search")
