"""One cell of the table: one contender on one task with one seed, in a process of its own.

``python -m bench.search.cell CONTENDER TASK VARIANT BUDGET HELD_OUT OUT`` writes OUT when it is done.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bench.outcome import write
from bench.search.contenders import contender as contender_of
from bench.search.problem import BudgetSpent, Problem
from bench.search.tasks import TASKS
from coordinator.record.record import Record
from coordinator.run import open_run
from services.storage import open_store
from services.wire.objects import read_target

FORMAT = 1
FINAL_VIEWS = 200


def run_cell(contender: str, task: str, variant: str, budget: int, held_out_views: int) -> dict[str, Any]:
    """Run it and return the cell as JSON values, without its memory."""
    spec = TASKS[task].spec(variant)
    with tempfile.TemporaryDirectory(prefix="datamask-search-") as folder:
        store = open_store(Path(folder)).sub("run")
        opened = open_run(spec, Record(store), resume=False)
        targets = {o.target: read_target(store, o.target) for o in opened.objectives if o.target}
        problem = Problem(opened, targets, budget, held_out_views)
    who = contender_of(contender)
    start = time.perf_counter()
    with suppress(BudgetSpent):
        who.run(problem)
    seconds = time.perf_counter() - start
    genome = None if problem.incumbent is None else problem.incumbent[1]
    final = None if genome is None else problem.held_out(genome, FINAL_VIEWS if held_out_views > 4 else 8)
    return {
        "format": FORMAT,
        "contender": contender,
        "settings": who.settings,
        "task": task,
        "variant": variant,
        "budget": budget,
        "scored_views": problem.spent,
        "held_out_views": held_out_views,
        "share": problem.share,
        "curve": [asdict(point) for point in problem.curve],
        "best_seen": problem.best_seen,
        "accepted_after": accepted_after(problem, problem.share),
        "final": None if final is None else asdict(final),
        "genome": None if genome is None else np.round(genome.astype(np.float64), 6).tolist(),
        "seconds": seconds,
        "scoring_s": problem.scoring_s,
        "peak_mb": None,
    }


def accepted_after(problem: Problem, share: float) -> int | None:
    """Scored views until an incumbent was first accepted in a share of the held-out views; None: never."""
    return next((p.views for p in problem.curve if p.accepted >= share), None)


def main() -> int:
    """Run one cell and write it."""
    contender, task, variant, budget, held_out_views, out = sys.argv[1:]
    write(run_cell(contender, task, variant, int(budget), int(held_out_views)), Path(out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
