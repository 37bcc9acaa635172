"""``python -m bench.mixed_fleet``: what a run loses whose workers are unlike, slow, or die now and then.

- **Unlike** (`[run] exact = false`): do searches find faces as often where each batch is scored by another
  kind of machine? Searches from true noise on seeds of their own, one island, each twice with the same seed:
  once every batch by this machine, once each by one of three kinds, drawn at random. The first kind is this
  machine; the other two answer otherwise, by a normal error on every score of every view. Its standard
  deviation is what `python -m bench.gpu` lets a device differ by at most, so that errors are larger than any
  real device's may be. The elite of each run is then seen by this machine alone under held-out views.
- **Slow and mortal**: simulated workers (processes that sleep; real messages, Redis, store, coordinator), one
  in five of them five times slower, each killed once (SIGKILL to its processes, as when a host is taken away)
  at a random moment and started again at once. The share of all their time, that of dying and starting
  included, in which they work on batches that end well. What a worker had in hand when it was killed is lost.

Cells of the first part are kept as those of the noise proof; the second takes ten minutes and little of the
processor.

    python -m bench.mixed_fleet --estimate
    python -m bench.mixed_fleet unlike
    python -m bench.mixed_fleet mortal
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from rich.console import Console

from bench import marks
from bench.cells import Cell, Stage, digest_of, needed, read
from bench.evidence import ROOT
from bench.gpu import TOLERANCE
from bench.here import evolution_here
from bench.outcome import circumstances, write
from bench.queue import busy_from, coordinated, spans_in, spec_of
from bench.running import add_options, ended, estimate, run, work_of
from bench.search.problem import BudgetSpent
from bench.sleeping_tasks import SLEEP_VARIABLE, TIMES_VARIABLE
from bench.statistics import bootstrap
from bench.support import support
from coordinator.spec.spec import Spec
from coordinator.spec.spec_file import load_spec
from services.recognition.statistics.rates import exact_rate
from services.wire.plan import Batch, Scores
from worker.scorer import Scorer

Json = dict[str, Any]

KINDS = 3  # of machines; the first is this one, without errors
ARMS = ("alike", "unlike")
HELD_OUT_SEED = 20_261_129
ACCEPTED = 0.9  # of the held-out views of an elite in which every machine sees a face: a face was found
SLOW = 5  # one worker in so many is slow
TIMES_SLOWER = 5.0
GOAL = 0.85  # of the workers' time
READY_S = 120.0
PAGE = ROOT / "docs" / "large-runs.md"
RESULT = ROOT / "bench" / "results" / "mixed-fleet.json"
FIRST_MARK, LAST_MARK = "<!-- mixed fleet -->", "<!-- end of mixed fleet -->"

console = Console(stderr=True)


@dataclass(frozen=True)
class Settings:
    """How many of everything. workers, minutes, sleep_s (of a quick worker's batch): of the mortal fleet."""

    name: str
    seeds: tuple[int, ...]
    scored_views: int = 6_000
    held_out_views: int = 100
    draws: int = 2000
    workers: int = 10
    minutes: float = 10.0
    sleep_s: float = 3.0
    overrides: tuple[str, ...] = ("search.islands=1", "search.symmetric=[true]")

    def spec(self, seed: int) -> Spec:
        """The spec of a run."""
        return load_spec(ROOT / "examples" / "noise.toml", seed=seed, overrides=list(self.overrides))

    def digest(self) -> str:
        """SHA-256 of all that cells are of: cells of other settings are not these."""
        return digest_of([self.spec(0).table(), self.scored_views, self.held_out_views, KINDS, TOLERANCE])


WHOLE = Settings("mixed-fleet", tuple(range(301, 321)))
QUICK = Settings(
    "mixed-fleet-quick",
    (11,),
    scored_views=120,
    held_out_views=4,
    draws=50,
    workers=2,
    minutes=0.2,
    sleep_s=0.5,
    overrides=(
        *WHOLE.overrides,
        *("search.population=4", "views.size_px=96", "elites.ranking_views=2", "migration.every=2"),
    ),
)


# -- unlike


def _cells(settings: Settings, seeds: Sequence[int]) -> list[Cell]:
    return [Cell("unlike", f"{arm}-{seed}", settings.scored_views) for seed in seeds for arm in ARMS]


def _found(settings: Settings, folder: Path, name: str) -> Json:
    """A run's elite before this machine: in which held-out views both detectors see a face."""
    arm, _, number = name.rpartition("-")
    seed = int(number)
    spec = settings.spec(seed)
    errors = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(97,)))
    spent = 0

    def score(batch: Batch) -> Scores:
        nonlocal spent
        spent += len(batch.genomes) * batch.view_count
        if spent > settings.scored_views:
            raise BudgetSpent
        scores = scorer.score(batch)
        same = arm == "alike" or errors.integers(KINDS) == 0
        return scores if same else _otherwise(scores, batch, errors)

    with evolution_here(spec, score) as evolution:
        scorer = Scorer(evolution.plan, {})
        with suppress(BudgetSpent):
            evolution.run()
    elite = evolution.elites()[0]
    look = Batch(evolution.plan, elite.genome[None], HELD_OUT_SEED + seed, settings.held_out_views)
    seen = (scorer.score(look).raw[:, 0] > 0).all(axis=0)
    return {"mask": elite.id, "fitness": elite.fitness, "seen": seen.astype(int).tolist()}


def _otherwise(scores: Scores, batch: Batch, errors: np.random.Generator) -> Scores:
    """What another kind of machine would have said."""
    wide = [TOLERANCE[quantity.model] for quantity in batch.plan.quantities]
    off = errors.normal(0.0, np.array(wide)[:, None, None], scores.raw.shape)
    return replace(scores, raw=(scores.raw + off).astype(np.float32))


STAGES = (Stage("unlike", "a run by machines that are alike, or not", 0.012, _cells, _found),)


def findings(settings: Settings, folder: Path) -> Json | None:
    """How many runs found a face, of the seeds that are there in both arms; None where none is."""
    there = [
        seed
        for seed in settings.seeds
        if all(read(settings, folder, "unlike", f"{arm}-{seed}") is not None for arm in ARMS)
    ]
    if not there:
        return None
    seen = np.array(
        [[needed(settings, folder, "unlike", f"{arm}-{s}")["seen"] for arm in ARMS] for s in there]
    )
    found = seen.mean(axis=2) >= ACCEPTED  # (seeds, arms)
    # A run is one unit with one answer an arm: the bootstrap draws seeds, both arms of each together.
    pairs = (found[:, 1].astype(float) - found[:, 0])[:, None]
    views = (seen[:, 1].mean(axis=1) - seen[:, 0].mean(axis=1))[:, None]
    return {
        "seeds": there,
        "of": len(settings.seeds),
        "scored_views": settings.scored_views,
        "held_out_views": settings.held_out_views,
        "found": {arm: int(found[:, k].sum()) for k, arm in enumerate(ARMS)},
        "found_alone": {arm: int((found[:, k] & ~found[:, 1 - k]).sum()) for k, arm in enumerate(ARMS)},
        "differ": asdict(exact_rate(int((found[:, 0] != found[:, 1]).sum()), len(there))),
        "seen": {arm: float(seen[:, k].mean()) for k, arm in enumerate(ARMS)},
        "found_difference": asdict(bootstrap([pairs], np.mean, settings.draws, seed=1)),
        "seen_difference": asdict(bootstrap([views], np.mean, settings.draws, seed=2)),
    }


# -- slow and mortal


class Mortal:
    """Workers, a process tree each, that are killed once and started again; all end with the context."""

    def __init__(self, broker: str, settings: Settings, folder: Path) -> None:
        self.times = folder / "times"
        self.killed = 0
        self._broker, self._settings, self._folder = broker, settings, folder
        self._over = threading.Event()
        self._fate = threading.Thread(target=self._befall, daemon=True)
        self._workers: list[Any] = []

    def __enter__(self) -> Self:
        self.times.mkdir()
        deadline = time.monotonic() + READY_S
        try:
            for k in range(self._settings.workers):
                self._workers.append(self._started(k))
            for worker in self._workers:
                worker.wait_ready(deadline - time.monotonic())
        except BaseException:
            self._end()
            raise
        self._fate.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._fate.join()
        self._end()

    def _started(self, number: int) -> Any:
        slow = number % SLOW == SLOW - 1
        sleep_s = self._settings.sleep_s * (TIMES_SLOWER if slow else 1.0)
        return support("redis_server").Worker(
            *(self._broker, self._folder / f"worker-{number}.log"),
            module="bench.sleepers",
            environment={SLEEP_VARIABLE: str(sleep_s), TIMES_VARIABLE: str(self.times)},
        )

    def _befall(self) -> None:
        """Kill each worker once within the middle of the run, and start it again."""
        count = len(self._workers)
        moments = np.random.default_rng(1).uniform(0.05, 0.9, count) * 60 * self._settings.minutes
        began = time.monotonic()
        for k in np.argsort(moments).tolist():
            if self._over.wait(max(0.0, began + moments[k] - time.monotonic())):
                return
            self._workers[k].kill()
            self.killed += 1
            self._workers[k] = self._started(k)

    def _end(self) -> None:
        for worker in self._workers:
            worker.kill()


def fleet(settings: Settings) -> Json:
    """A run by mortal workers: how busy they were."""
    slow = settings.workers // SLOW
    per_second = (settings.workers - slow + slow / TIMES_SLOWER) / settings.sleep_s
    islands = 4 * settings.workers
    generations = max(5, round(60 * settings.minutes * per_second / islands))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="datamask-mixed-")))
        redis = stack.enter_context(support("redis_server").running_redis(folder))
        workers = stack.enter_context(Mortal(redis.url, settings, folder))
        figures = coordinated(str(folder / "runs"), redis.url, spec_of(16, generations, islands))
        return {
            "workers": settings.workers,
            "slow": slow,
            "sleep_s": settings.sleep_s,
            "islands": islands,
            "killed": workers.killed,
            **_busy(workers.times, settings.workers),
            "run": figures,
        }


def _busy(times: Path, workers: int) -> Json:
    """The share of all workers' time in which they were at batches that ended well.

    From when every worker had begun, until no island but the last few has work left.
    """
    spans = spans_in(times)
    begins = sorted(span[0] for own in spans for span in own)
    return {**busy_from(begins[workers - 1], spans, workers), "lives": len(spans)}


# -- both


def table(found: Mapping[str, Any]) -> str:
    """What was measured, as Markdown."""
    lines = []
    unlike, busy = found.get("unlike"), found.get("mortal")
    if unlike is not None:
        lines += [
            f"`python -m bench.mixed_fleet unlike`: {len(unlike['seeds'])} of {unlike['of']} seeds, "
            f"{unlike['scored_views']:,} scored views a run, {unlike['held_out_views']} held-out views.",
            "",
            *marks.head("machines", "runs that found a face", "held-out views in which both see one"),
        ]
        for arm in ARMS:
            lines.append(marks.row(arm, unlike["found"][arm], f"{unlike['seen'][arm]:.0%}"))
        gap, alone, differ = unlike["found_difference"], unlike["found_alone"], unlike["differ"]
        lines += [
            "",
            f"Unlike less alike, of the runs: {gap['value']:+.0%} ({gap['low']:+.0%} to {gap['high']:+.0%}, "
            f"a bootstrap over seeds). {alone['alike']} seeds found one with machines that are alike alone, "
            f"{alone['unlike']} with those that are not alone: the two differ in {differ['share']:.0%} of "
            f"the seeds (exact 95% interval {differ['low']:.0%} to {differ['high']:.0%}; a bootstrap knows "
            "nothing of it where none does).",
        ]
    if busy is not None:
        minutes = busy["window_seconds"] / 60
        lines += [
            *([""] if lines else []),
            f"`python -m bench.mixed_fleet mortal`: {busy['workers']} simulated workers, {busy['slow']} of "
            f"them {TIMES_SLOWER:g} times slower, {busy['killed']} kills in {minutes:.0f} "
            f"minutes: at work {busy['share']:.0%} of the time ({GOAL:.0%} was asked for); "
            f"{busy['batches']:,} batches, {busy['run']['resent']} sent again.",
        ]
    return "\n".join(lines) + "\n" if lines else "Nothing of this has been run yet.\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is missing, write, print. Exit code 1 where something is wrong, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.mixed_fleet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="unlike, mortal (default: both)")
    parser.add_argument("--quick", action="store_true", help="tiny budgets: does it work?")
    add_options(parser, "runs/mixed-fleet")
    parser.add_argument("--tables", action="store_true", help="run nothing, write the table of what is there")
    options = parser.parse_args(argv)
    parts = options.parts or ["unlike", "mortal"]
    if unknown := [part for part in parts if part not in ("unlike", "mortal")]:
        parser.error(f"{unknown[0]}: expected unlike or mortal")
    settings = QUICK if options.quick else WHOLE
    folder = options.store or ROOT / "runs" / settings.name
    stages = STAGES if "unlike" in parts else ()
    work = work_of(stages, settings, folder, ["unlike"], settings.seeds)
    if options.estimate:
        print("\n".join(estimate(folder, work, options.jobs)))
        return 0

    def run_and_report() -> None:
        kept = folder / "mortal.json"
        if not options.tables:
            run(settings, folder, work, options.jobs, console)
            if "mortal" in parts:
                console.print(f"a mortal fleet, {settings.minutes:g} minutes ...")
                write({**fleet(settings), "written": circumstances()}, kept)
        # Of a part that this folder knows nothing of, what was found before stays.
        before = {} if options.quick or not RESULT.exists() else json.loads(RESULT.read_text())
        found = {
            "unlike": findings(settings, folder) or before.get("unlike"),
            "mortal": json.loads(kept.read_text()) if kept.exists() else before.get("mortal"),
        }
        if not options.quick:
            write({**found, "command": "python -m bench.mixed_fleet"}, RESULT)
            marks.write_between(PAGE, FIRST_MARK, LAST_MARK, table(found))
        print(table(found))

    return ended(console, run_and_report)


if __name__ == "__main__":
    sys.exit(main())
