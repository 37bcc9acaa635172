"""How many kinds of masks a search finds, beside pyribs at equal views and beside noise.

A cell of the spec's archive is a kind of shape, or a set of detectors; a mask fills the latter that all of
the set see a face in, in every view of it, and no other in any (coordinator/search/niches.py). Every
contender gets the spec's plan, its objectives and its budget; whatever it shows is looked at by one archive,
whoever ranks it how. At the end each cell's mask is seen under held-out views, which are not charged. "Held"
are the cells whose mask keeps what its cell says in at least nine tenths of them: a face to every machine of
the spec's or, where cells are sets of machines, to those of the set and to no other.

    python -m bench.quality_diversity examples/kinds.toml --views 12000 --seeds 1 2 3
    python -m bench.quality_diversity examples/atlas.toml --views 300000 --critic mtcnn

With --critic a detector that has no say is asked about the masks of the archive, too: how many of those that
are a face to somebody does it see a face in, in at least half of their held-out views?

Each contender and seed is a cell, kept as those of the noise proof are; the same command goes on with what
is missing. In their own words:

- datamask: the spec as it is, islands, optimizers, migration and ranking.
- islands-1, islands-64: the same with so many islands, the optimizers in turn around them.
- map-elites: one island of map-elites, population 24, without new starts.
- cma-me: ribs' as in its tutorial (GridArchive, improvement ranking "2imp", selection "filter", restart
  "no_improvement"), 5 emitters of 18.
- cma-mae: ribs' as in its tutorial (GridArchive with learning rate 0.01, improvement ranking, selection by
  mu, restart "basic"), 5 emitters of 18.
- random: the spec's noise.

Both of ribs' have the run's cells and measures (of machines the verdicts, 2 cells along each); their
objective is the run's fitness, sigma0 and the start are the spec's.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from bench import marks
from bench.cells import Cell, Stage, digest_of, needed
from bench.evidence import ROOT
from bench.here import evolution_here
from bench.noise_proof.conditions import USUAL
from bench.noise_proof.looks import ask, look
from bench.noise_proof.settings import MACHINES, WITNESS
from bench.outcome import circumstances, write
from bench.running import add_options, ended, estimate, run, work_of
from bench.search.datamask import MORE_THAN_ENOUGH, changed
from bench.search.problem import HELD_OUT_SEED, BudgetSpent
from coordinator.record.record import Record
from coordinator.run import open_run
from coordinator.search.archive import Archive, coverage, placed
from coordinator.search.grid import FLOOR as QD_FLOOR
from coordinator.search.grid import Grid
from coordinator.search.seeds import view_seed
from coordinator.spec.spec import Spec
from coordinator.spec.spec_file import load_spec
from services.errors import BadInput
from services.exhibition.paper import COLORS, Chart
from services.recognition.catalog import model_info
from services.recognition.fitness import Fitness, fitness
from services.shape.catalog import basis_info
from services.storage import open_store
from services.wire.mask import Mask
from services.wire.plan import OK, Batch, Scores
from worker.scorer import Scorer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HELD = 0.9  # of the held-out views, for each machine
POINTS = 40  # of a curve
FIGURES = {
    "filled": "filled",
    "held": "held",
    "qd_score": "QD score",
    "transferred": "a face to {critic}, too",
}
LOOKS = 8  # of a critic on the way
SEEN = 0.5  # of the held-out views: then the critic sees a face in a mask
UNSCORED = -10.0  # what ribs is told of a mask that could not be scored

Floats = NDArray[np.float32]
Json = dict[str, Any]

console = Console(stderr=True)


class Shown:
    """Scores what contenders show, until the budget is spent, and keeps the archive of it."""

    def __init__(self, spec: Spec, budget: int, critic: str | None = None, views: int = 20) -> None:
        cells = spec.cells()
        if cells is None:
            raise BadInput(f"{spec.name}: keeps no archive; add [archive] on = true to its spec")
        with tempfile.TemporaryDirectory(prefix="datamask-kinds-") as folder:
            opened = open_run(spec, Record(open_store(Path(folder)).sub("run")), resume=False)
        self.spec, self.cells, self.budget, self.spent = spec, cells, budget, 0
        self.objectives, self.plan = opened.objectives, opened.plan
        self.dimension = len(basis_info(spec.mask.basis).gene_names)
        self.archive = Archive(cells)
        self.curve: list[Json] = []
        self._scorer, self._calls = Scorer(opened.plan, {}), 0
        self._critic, self._views = critic, views
        self._asked: dict[str, float] = {}

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
        self._note()
        return scores

    def _note(self) -> None:
        """A point of the curve, where one is due, and the critic's answers with every so many."""
        due = self.spent * POINTS // self.budget
        if due > len(self.curve) - 1:
            looks = self._critic is not None and len(self.curve) % (POINTS // LOOKS) == 0
            transferred = {"transferred": self.transferred} if looks else {}
            self.curve.append({"views": self.spent, **self.full, **transferred})

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
    def full(self) -> Json:
        """How full the archive is."""
        told = coverage(self.archive.kept, self.cells)
        return {key: told[key] for key in ("filled", "accepted", "qd_score")}

    def measures(self, held: Floats, said: Fitness) -> NDArray[np.float64]:
        """Where masks (n, d) lie along the archive's axes, (n, k), as ribs takes it."""
        if isinstance(self.cells, Grid):
            return self.cells.measure(held)
        verdicts: NDArray[np.float64] = (self.cells.shares(said.margins) == 1.0).astype(np.float64)
        return verdicts

    @property
    def ranges(self) -> list[tuple[float, float]]:
        """The ends of those axes."""
        if isinstance(self.cells, Grid):
            return list(self.cells.ranges)
        return [(0.0, 1.0)] * len(self.cells.machines)

    @property
    def transferred(self) -> int:
        """How many masks of the archive, of those that are a face to somebody, are one to the critic, too."""
        return sum(self._share(mask) >= SEEN for mask in self.archive.kept if self._a_face(mask))

    def _a_face(self, mask: Mask) -> bool:
        return isinstance(self.cells, Grid) or bool(self.cells.members(placed(mask)))

    def _share(self, mask: Mask) -> float:
        """The share of a mask's held-out views that the critic sees a face in; asked once."""
        if self._critic is None:
            raise ValueError("there is no critic to ask")
        if mask.id not in self._asked:
            seen = look(self.spec, mask.genome[None], USUAL, self._views, self.spec.seed)
            scores = ask(seen.pictures, [self._critic])[self._critic]
            self._asked[mask.id] = float((scores > model_info(self._critic).threshold).mean())
        return self._asked[mask.id]

    def held_out(self) -> list[Json]:
        """Each cell's mask with the share of held-out views that each machine sees a face in."""
        rows = []
        for mask in self.archive.kept:
            batch = Batch(self.plan, mask.genome[None], HELD_OUT_SEED + self.spec.seed, self._views)
            margins = self.said(self._scorer.score(batch)).margins
            cell = placed(mask)
            row: Json = {"cell": cell, "quality": round(self.cells.quality(mask), 4)}
            if isinstance(self.cells, Grid):
                row["measures"] = [round(value, 3) for value in mask.measures]
                seen = (margins[0] > 0).mean(axis=1)
            else:
                row["sees"] = self.cells.members(cell)
                seen = self.cells.shares(margins)[0]
            held = _kept({**row, "shares": seen.tolist()}, self.cells.measures) >= HELD
            critic = {"critic": round(self._share(mask), 3)} if self._critic else {}
            rows.append({**row, "shares": seen.round(3).tolist(), "held": held, **critic})
        return rows


def datamask(shown: Shown) -> None:
    """The spec as it is."""
    _islands(shown, shown.spec)


def map_elites(shown: Shown) -> None:
    """One island that fills cells."""
    wanted: dict[str, object] = {"islands": 1, "optimizers": ["map-elites"], "population": 24, "patience": 0}
    _islands(shown, changed(shown.spec, [("search", key, value) for key, value in wanted.items()]))


def so_many_islands(count: int, shown: Shown) -> None:
    """The spec with another number of islands."""
    _islands(shown, changed(shown.spec, [("search", "islands", count)]))


def _islands(shown: Shown, spec: Spec) -> None:
    spec = changed(spec, [("search", "generations", MORE_THAN_ENOUGH)])
    with evolution_here(spec, shown.score) as evolution:
        evolution.run()


def random(shown: Shown) -> None:
    """The spec's noise."""
    rng = np.random.default_rng(shown.spec.seed)
    while True:
        shown.evaluate(rng.normal(0, shown.spec.mask.spread, (24, shown.dimension)))


def cma_me(shown: Shown) -> None:
    """pyribs' CMA-ME."""
    _ribs(shown, {"qd_score_offset": QD_FLOOR}, {"ranker": "2imp"})


def cma_mae(shown: Shown) -> None:
    """pyribs' CMA-MAE."""
    annealed = {"learning_rate": 0.01, "threshold_min": QD_FLOOR}
    _ribs(shown, annealed, {"ranker": "imp", "selection_rule": "mu", "restart_rule": "basic"})


def _ribs(shown: Shown, archive_options: Json, emitter_options: Json) -> None:
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
        ranges=shown.ranges,
        seed=seed,
        **archive_options,
    )
    emitters = [
        EvolutionStrategyEmitter(
            archive,
            x0=np.clip(start, -spec.mask.limit, spec.mask.limit),
            sigma0=spec.search.sigma,
            batch_size=18,
            seed=seed + k,
            **emitter_options,
        )
        for k in range(5)
    ]
    scheduler = Scheduler(archive, emitters)
    while True:
        held, said = shown.evaluate(scheduler.ask())
        values = np.where(np.isfinite(said.fitness), said.fitness, UNSCORED)
        scheduler.tell(values, shown.measures(held, said))


CONTENDERS: dict[str, Callable[[Shown], None]] = {
    "datamask": datamask,
    "islands-1": partial(so_many_islands, 1),
    "islands-64": partial(so_many_islands, 64),
    "map-elites": map_elites,
    "cma-me": cma_me,
    "cma-mae": cma_mae,
    "random": random,
}


@dataclass(frozen=True)
class Settings:
    """What every contender gets: a spec file with changes, scored views, held-out views of each mask at the
    end, and a detector that is asked about them without having had a say.
    """

    example: str
    overrides: tuple[str, ...]
    budget: int
    held_out_views: int
    critic: str | None = None

    def spec(self, seed: int) -> Spec:
        """The spec of a seed."""
        return load_spec(Path(self.example), seed=seed, overrides=list(self.overrides))

    def digest(self) -> str:
        """SHA-256 of all of it: cells of other settings are not these."""
        critic = [self.critic] if self.critic else []
        return digest_of([self.spec(0).table(), self.budget, self.held_out_views, *critic])


def measured(settings: Settings, folder: Path, name: str) -> Json:
    """One contender on one seed, as JSON values. name: both."""
    contender, _, seed = name.rpartition("-")
    shown = Shown(settings.spec(int(seed)), settings.budget, settings.critic, settings.held_out_views)
    with suppress(BudgetSpent):
        CONTENDERS[contender](shown)
    rows = shown.held_out()
    found: Json = {"transferred": shown.transferred} if settings.critic else {}
    return {
        **found,
        "contender": contender,
        "seed": int(seed),
        "axes": list(shown.cells.measures),
        "cells": shown.cells.count,
        "views": shown.spent,
        **shown.full,
        "held": sum(row["held"] for row in rows),
        "masks": rows,
        "curve": shown.curve,
    }


STAGE = "contenders"


def stage_of(contenders: Sequence[str]) -> Stage[Settings]:
    """Cells of some contenders, all of a seed before the next."""
    return Stage(STAGE, "one contender on one seed", 0.015, partial(_cells, contenders), measured)


def _cells(contenders: Sequence[str], settings: Settings, seeds: Sequence[int]) -> list[Cell]:
    return [Cell(STAGE, f"{name}-{seed}", settings.budget) for seed in seeds for name in contenders]


def summary(cells: Sequence[Mapping[str, Any]]) -> Json:
    """What cells found, by contender, a value for each seed; ``total``: how many cells there are."""
    found: Json = {}
    for cell in cells:
        row = found.setdefault(cell["contender"], {"seeds": []})
        row["seeds"].append(cell["seed"])
        kept = [_kept(mask, cell["axes"]) for mask in cell["masks"]]
        for key, value in {**cell, "held": sum(share >= HELD for share in kept)}.items():
            if key in FIGURES:
                row.setdefault(key, []).append(value)
        row.setdefault("curves", []).append(cell["curve"])
        row.setdefault("surest", []).append(max(kept, default=None))
    return {"axes": cells[0]["axes"], "total": cells[0]["cells"], "contenders": found}


def joined(found: Json, before: Mapping[str, Any]) -> Json:
    """A summary with the rows of an earlier one of the same settings for contenders that it does not have."""
    same = ("spec", "example", "overrides", "budget", "held_out_views", "critic", "total")
    if any(found.get(key) != before.get(key) for key in same):
        return found
    told = {name: {"written": before.get("written"), **row} for name, row in before["contenders"].items()}
    rows = {**told, **found["contenders"]}
    return {**found, "contenders": {name: rows[name] for name in CONTENDERS if name in rows}}


def _kept(mask: Mapping[str, Any], axes: Sequence[str]) -> float:
    """In which share of the held-out views the least sure machine says of a mask what its cell says."""
    sees = mask.get("sees")
    if sees is None:
        return float(min(mask["shares"]))
    told = zip(axes, mask["shares"], strict=True)
    return float(min(share if axis.removeprefix("sees ") in sees else 1.0 - share for axis, share in told))


def table(result: Mapping[str, Any]) -> str:
    """The summary as Markdown: a contender a line, the seeds' values in their order."""
    keys = [key for key in FIGURES if all(key in row for row in result["contenders"].values())]
    words = [FIGURES[key].format(critic=result.get("critic")) for key in keys]
    words[0] += f", of {result['total']}"
    lines = marks.head("contender", "seeds", *words)
    for name, row in result["contenders"].items():
        told = [", ".join(_words(value) for value in row[key]) for key in keys]
        lines.append(marks.row(name, ", ".join(map(str, row["seeds"])), *told))
    return "\n".join(lines)


def _words(value: float) -> str:
    return f"{value:.1f}" if isinstance(value, float) and value < 10 else f"{value:,.0f}"


class Marks(NamedTuple):
    """Between which lines of a page a table stands."""

    FIRST_MARK: str
    LAST_MARK: str


def marks_of(spec: str) -> Marks:
    """Those of a spec's table."""
    return Marks(f"<!-- quality diversity of {spec} -->", f"<!-- end of quality diversity of {spec} -->")


def chart(result: Mapping[str, Any]) -> Chart:
    """Each figure against scored views, a panel each: a line a contender and seed."""
    contenders = result["contenders"]
    points = [
        (name, seed, point)
        for name, row in contenders.items()
        for seed, curve in zip(row["seeds"], row["curves"], strict=True)
        for point in curve
    ]
    keys = [key for key in FIGURES if any(point.get(key) for *_, point in points)]  # not all 0
    rows = tuple(
        (name, seed, point["views"], *(point.get(key) for key in keys)) for name, seed, point in points
    )

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, len(keys), squeeze=False)[0]
        for axis, key in zip(panels, keys, strict=True):
            for k, (name, row) in enumerate(contenders.items()):
                for curve in row["curves"]:
                    known = [(p["views"], p[key]) for p in curve if p.get(key) is not None]
                    style = {"color": COLORS[k % len(COLORS)], "linestyle": "-" if k < len(COLORS) else "--"}
                    label = name if curve is row["curves"][0] else None
                    axis.plot(*zip(*known, strict=True), linewidth=1.2, label=label, **style)
            axis.set_xlabel("scored views")
            axis.yaxis.get_major_locator().set_params(integer=key != "qd_score")
            axis.set_title(FIGURES[key].format(critic=result.get("critic")))
        panels[-1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))

    return Chart("coverage", ("contender", "seed", "views", *keys), rows, draw, height_in=2.4)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is missing and print the table. Exit code 1 where something is wrong, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.quality_diversity",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("spec", help="with an archive, such as examples/kinds.toml")
    parser.add_argument("--views", type=int, default=300_000, help="scored views of each contender")
    parser.add_argument("--held-out", type=int, default=20, help="views of each cell's mask at the end")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--contenders", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument(
        "--critic",
        choices=(*MACHINES, WITNESS.machine),
        help="a detector that has no say and is asked about the masks, e.g. mtcnn",
    )
    parser.add_argument("--set", action="append", default=[], help="change the spec: table.key=value")
    add_options(parser, "under runs/")
    parser.add_argument(
        "--out",
        type=Path,
        help="write the summary as JSON; rows of other contenders stay there, of the same settings",
    )
    parser.add_argument("--page", type=Path, help="write the table between the marks of this page")
    parser.add_argument("--picture", type=Path, help="draw the curves into this PNG file")
    options = parser.parse_args(argv)
    settings = Settings(options.spec, tuple(options.set), options.views, options.held_out, options.critic)

    def run_and_report() -> None:
        name = settings.spec(options.seeds[0]).name
        folder = options.store or ROOT / "runs" / "quality-diversity" / f"{name}-{options.views}"
        stage = stage_of(options.contenders)
        work = work_of([stage], settings, folder, [STAGE], options.seeds)
        if options.estimate:
            print("\n".join(estimate(folder, work, options.jobs)))
            return
        run(settings, folder, work, options.jobs, console)
        cells = [needed(settings, folder, STAGE, cell.name) for cell in stage.cells(settings, options.seeds)]
        found = {"spec": name, **asdict(settings), "overrides": list(settings.overrides), **summary(cells)}
        for row in found["contenders"].values():
            row["written"] = circumstances()
        if options.out and options.out.is_file():
            found = joined(found, json.loads(options.out.read_text()))
        print(table(found))
        if options.out:
            write(found, options.out)
        if options.picture:
            options.picture.write_bytes(chart(found).file("png"))
        if options.page:
            marks.write_between(options.page, *marks_of(name), table(found))

    return ended(console, run_and_report)


if __name__ == "__main__":
    sys.exit(main())
