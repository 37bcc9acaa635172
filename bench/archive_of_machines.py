"""How many sets of machines a search finds masks for, beside pyribs' CMA-MAE and noise at equal views.

A cell is a set of detectors; a mask fills it that all of the set see a face in, in every view of it, and no
other in any (coordinator/search/niches.py). Every contender gets the spec's plan, its objectives and its
budget; whatever it shows is looked at by one archive, whoever ranks it how. At the end each cell's mask is
seen under held-out views, which are not charged: "held" are the cells whose mask keeps every verdict in at
least nine tenths of them, for each machine.

    python -m bench.archive_of_machines examples/atlas.toml --views 12000 --seeds 1 2 3

Each contender and seed is a file under runs/archive-of-machines/; the same command goes on with what is
missing. In their own words:

- datamask: the spec as it is, islands, optimizers, migration and ranking.
- map-elites: one island of it, population 24.
- cma-mae: ribs' as in its tutorial (GridArchive with learning rate 0.01, improvement ranking, selection by
  mu, restart "basic"), 5 emitters of 18; the archive's measures are the verdicts, 2 cells along each, its
  objective is the run's fitness; sigma0 and the start are the spec's.
- random: the spec's noise.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.here import Here
from bench.outcome import write
from bench.search.datamask import MORE_THAN_ENOUGH, changed
from bench.search.problem import HELD_OUT_SEED, BudgetSpent
from coordinator.record.record import Record
from coordinator.run import open_run
from coordinator.search.archive import Archive, coverage, placed
from coordinator.search.evolution import Evolution
from coordinator.search.niches import Niches
from coordinator.search.seeds import view_seed
from coordinator.spec.spec import Spec
from coordinator.spec.spec_file import load_spec
from services.errors import BadInput
from services.recognition.fitness import Fitness, fitness
from services.shape.catalog import basis_info
from services.storage import open_store
from services.wire.plan import OK, Batch, Scores
from worker.scorer import Scorer

FORMAT = 1
HELD = 0.9  # of the held-out views, for each machine of a cell
POINTS = 40  # of a curve
FOLDER = Path("runs/archive-of-machines")

Floats = NDArray[np.float32]


class Shown:
    """Scores what contenders show, until the budget is spent, and keeps the archive of it."""

    def __init__(self, spec: Spec, budget: int) -> None:
        cells = spec.cells()
        if not isinstance(cells, Niches):
            raise BadInput(f"{spec.name}: its archive is not of machines; add [archive] machines = [...]")
        with tempfile.TemporaryDirectory(prefix="datamask-machines-") as folder:
            opened = open_run(spec, Record(open_store(Path(folder)).sub("run")), resume=False)
        self.spec, self.cells, self.budget, self.spent = spec, cells, budget, 0
        self.objectives, self.plan = opened.objectives, opened.plan
        self.dimension = len(basis_info(spec.mask.basis).gene_names)
        self.archive = Archive(cells)
        self.curve: list[dict[str, Any]] = []
        self._scorer, self._calls = Scorer(opened.plan, {}), 0

    def score(self, batch: Batch) -> Scores:
        """A batch's scores; :raises BudgetSpent: where less is left than they cost."""
        cost = len(batch.genomes) * batch.view_count
        if self.spent + cost > self.budget:
            raise BudgetSpent
        scores = self._scorer.score(batch)
        self.spent += cost
        said, n = self.said(scores), len(batch.genomes)
        ids = [f"s{self._calls:06d}-{k:03d}" for k in range(n)]
        fields = (said.fitness, said.values, scores.flipped, said.margins)
        self.archive.add(ids, 0, self._calls, batch.genomes, *fields)
        self._calls += 1
        if self.spent * POINTS // self.budget > len(self.curve) - 1:
            self.curve.append({"views": self.spent, **self.full})
        return scores

    def said(self, scores: Scores) -> Fitness:
        """What the machines made of a batch."""
        return fitness(self.objectives, list(scores.raw), scores.between, scores.status == OK)

    def evaluate(self, genomes: NDArray[np.floating[Any]]) -> tuple[Floats, Fitness]:
        """Genomes (n, d) as they are seen, within the limits, and what machines say under new views."""
        limit = self.spec.mask.limit
        held = np.clip(genomes, -limit, limit).astype(np.float32)
        seed = view_seed(self.spec.seed, self._calls)
        return held, self.said(self.score(Batch(self.plan, held, seed, self.spec.views.count)))

    @property
    def full(self) -> dict[str, Any]:
        """How full the archive is."""
        told = coverage(self.archive.kept, self.cells)
        return {"filled": told["filled"], "qd_score": told["qd_score"]}

    def held_out(self, views: int) -> list[dict[str, Any]]:
        """Each cell's mask with the share of held-out views that each machine sees a face in."""
        rows = []
        for mask in self.archive.kept:
            batch = Batch(self.plan, mask.genome[None], HELD_OUT_SEED + self.spec.seed, views)
            seen = self.cells.shares(self.said(self._scorer.score(batch)).margins)[0]
            wanted = np.array(self.cells.place(placed(mask)))
            held = bool((np.where(wanted, seen, 1.0 - seen) >= HELD).all())
            row = {"sees": self.cells.members(placed(mask)), "shares": seen.round(3).tolist(), "held": held}
            rows.append({**row, "clearness": round(self.cells.quality(mask), 4)})
        return rows


def datamask(shown: Shown) -> None:
    """The spec as it is."""
    _islands(shown, shown.spec)


def map_elites(shown: Shown) -> None:
    """One island that fills cells."""
    wanted: dict[str, object] = {"islands": 1, "optimizers": ["map-elites"], "population": 24, "patience": 0}
    _islands(shown, changed(shown.spec, [("search", key, value) for key, value in wanted.items()]))


def _islands(shown: Shown, spec: Spec) -> None:
    spec = changed(spec, [("search", "generations", MORE_THAN_ENOUGH)])
    with tempfile.TemporaryDirectory(prefix="datamask-machines-") as folder:
        opened = open_run(spec, Record(open_store(Path(folder)).sub("run")), resume=False)
        with closing(opened.record) as record:
            record.take_over()
            Evolution(spec, record, opened.plan, opened.objectives, shown.dimension, Here(shown.score)).run()


def random(shown: Shown) -> None:
    """The spec's noise."""
    rng = np.random.default_rng(shown.spec.seed)
    while True:
        shown.evaluate(rng.normal(0, shown.spec.mask.spread, (24, shown.dimension)))


def cma_mae(shown: Shown) -> None:
    """pyribs' CMA-MAE."""
    from ribs.archives import GridArchive
    from ribs.emitters import EvolutionStrategyEmitter
    from ribs.schedulers import Scheduler

    spec, seed = shown.spec, shown.spec.seed
    rng = np.random.default_rng(seed)
    noise = spec.mask.start == "noise"
    start = rng.normal(0, spec.mask.spread, shown.dimension) if noise else np.zeros(shown.dimension)
    archive = GridArchive(
        solution_dim=shown.dimension,
        dims=list(shown.cells.cells),
        ranges=[(0.0, 1.0)] * len(shown.cells.machines),
        learning_rate=0.01,
        threshold_min=-3.0,
        seed=seed,
    )
    emitters = [
        EvolutionStrategyEmitter(
            archive,
            x0=np.clip(start, -spec.mask.limit, spec.mask.limit),
            sigma0=spec.search.sigma,
            ranker="imp",
            selection_rule="mu",
            restart_rule="basic",
            batch_size=18,
            seed=seed + k,
        )
        for k in range(5)
    ]
    scheduler = Scheduler(archive, emitters)
    while True:
        genomes = scheduler.ask()
        _, said = shown.evaluate(genomes)
        values = np.where(np.isfinite(said.fitness), said.fitness, -10.0)
        scheduler.tell(values, (shown.cells.shares(said.margins) == 1.0).astype(np.float64))


CONTENDERS: dict[str, Callable[[Shown], None]] = {
    "datamask": datamask,
    "map-elites": map_elites,
    "cma-mae": cma_mae,
    "random": random,
}


def measured(name: str, spec: Spec, budget: int, held_out_views: int) -> dict[str, Any]:
    """One contender on one seed, as JSON values."""
    shown = Shown(spec, budget)
    with suppress(BudgetSpent):
        CONTENDERS[name](shown)
    rows = shown.held_out(held_out_views)
    return {
        "format": FORMAT,
        "contender": name,
        "seed": spec.seed,
        "machines": shown.cells.machines,
        "cells": shown.cells.count,
        "budget": budget,
        "views": shown.spent,
        **shown.full,
        "held": sum(row["held"] for row in rows),
        "held_out_views": held_out_views,
        "sets": rows,
        "curve": shown.curve,
    }


def main() -> None:
    """Measure what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("spec", help="with an archive of machines, such as examples/atlas.toml")
    parser.add_argument("--views", type=int, default=300_000, help="scored views of each contender")
    parser.add_argument("--held-out", type=int, default=40, help="views of each cell's mask at the end")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--contenders", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--set", action="append", default=[], help="change the spec: table.key=value")
    options = parser.parse_args()
    print("| contender | seed | views | filled | held | QD score |\n|---|---|---|---|---|---|")
    for seed in options.seeds:
        spec = load_spec(Path(options.spec), seed=seed, overrides=options.set)
        for name in options.contenders:
            path = FOLDER / f"{spec.name}-{name}-{seed}-{options.views}.json"
            if not path.is_file():
                write(measured(name, spec, options.views, options.held_out), path)
            found = json.loads(path.read_text())
            row = [name, seed, f"{found['views']:,}", f"{found['filled']} of {found['cells']}"]
            print("|", " | ".join(map(str, [*row, found["held"], found["qd_score"]])), "|", flush=True)


if __name__ == "__main__":
    main()
