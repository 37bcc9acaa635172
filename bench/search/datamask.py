"""datamask itself as a contender: the real coordinator over a record of its own, scored by the problem."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from bench.search.problem import BudgetSpent, Problem
from coordinator.queue.executor import Finished, Traffic
from coordinator.record.record import Record
from coordinator.run import open_run
from coordinator.search.evolution import Evolution
from coordinator.search.seeds import ranking_seed
from coordinator.spec.spec import Spec, parse_spec
from services.progress import Progress
from services.storage import open_store
from services.wire.messages import Origin
from services.wire.plan import Batch

MORE_THAN_ENOUGH = 100_000  # generations: the budget ends the search


class _Charged:
    """An executor that scores batches here, in the order in which they come, and has them charged."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._waiting: deque[tuple[str, Batch]] = deque()

    def submit(self, batch: str, origin: Origin, work: Batch | None = None) -> None:
        if work is None:
            raise ValueError(f"{origin.words}: expected the batch itself")
        self._waiting.append((batch, work))

    def wait(self) -> Finished:
        name, batch = self._waiting.popleft()
        problem = self._problem
        cost = len(batch.genomes) * batch.view_count
        scores = problem.score(batch, cost)
        note = problem.ranked if batch.view_seed == ranking_seed(problem.seed) else problem.told
        note(batch.genomes, problem.values(scores))
        return Finished(name, cost, scores=scores)

    def realize(self, job: str, origin: Origin, progress: Progress | None = None) -> None:
        raise NotImplementedError("a contender makes no pictures")

    def realized(self, job: str, *, wait: bool = False) -> Finished | None:
        return None

    def traffic(self) -> Traffic:
        return Traffic(in_flight=len(self._waiting))

    def join(self) -> None:
        pass

    def close(self) -> None:
        self._waiting.clear()


def islands(overrides: Sequence[tuple[str, str, object]] = ()) -> Callable[[Problem], None]:
    """A contender: the problem's spec, with (table, key, value) changed in its search."""

    def run(problem: Problem) -> None:
        spec = changed(problem.opened.spec, [("search", "generations", MORE_THAN_ENOUGH), *overrides])
        with tempfile.TemporaryDirectory(prefix="datamask-search-") as folder:
            opened = open_run(spec, Record(open_store(Path(folder)).sub("run")), resume=False)
            with closing(opened.record) as record:  # else its beat writes into a folder that is being removed
                record.take_over()
                charged = _Charged(problem)
                Evolution(spec, record, opened.plan, opened.objectives, problem.dimension, charged).run()
        raise BudgetSpent

    return run


def changed(spec: Spec, overrides: Sequence[tuple[str, str, object]]) -> Spec:
    """The spec with some values changed, checked anew."""
    table = spec.table()
    for name, key, value in overrides:
        table.setdefault(name, {})[key] = value
    return parse_spec(table, "bench.search")
