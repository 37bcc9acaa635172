"""``python -m bench.search``: run the cells that are missing, then write the summary.

Every cell is a process of its own and a file of its own, written when it is done. Ctrl-C loses the cell under
work and no other; the same command goes on where it stopped. A whole table takes very long: begin
with one variant.

    python -m bench.search --tasks archetype --contenders random pycma datamask --variants 1 2 3
    python -m bench.search --summary-only --page docs/search.md
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.evidence import ROOT
from bench.memory import measure
from bench.outcome import write
from bench.search.contenders import CONTENDERS, contender
from bench.search.summary import own_names, page, summarize, verdict
from bench.search.tasks import TASKS


@dataclass(frozen=True)
class Job:
    """A cell to be run. budget: scored views."""

    contender: str
    task: str
    variant: str
    budget: int
    held_out_views: int

    def path(self, folder: Path) -> Path:
        """Where the cell is kept. Cells of another budget are other cells."""
        return (
            folder / f"{self.task}-{self.variant}-{self.contender}-{self.budget}-{self.held_out_views}.json"
        )


def jobs_of(options: argparse.Namespace) -> list[Job]:
    """All cells that are asked for; every contender's first variant before any second, to see early.

    :raises SystemExit: for a variant that none of the tasks has.
    """
    for variant in options.variants or ():
        if not any(TASKS[name].takes(variant) for name in options.tasks):
            known = "; ".join(
                f"{name}: {', '.join(TASKS[name].variants)}" + (" or any other seed" * TASKS[name].seeds)
                for name in options.tasks
            )
            raise SystemExit(f"--variants {variant}: expected one of {known}")
    jobs = []
    for name in options.tasks:
        task = TASKS[name]
        variants = [v for v in options.variants or task.variants if task.takes(v)]
        for variant in variants:
            for who in options.contenders:
                if contender(who).missing is None:
                    budget = options.budget or task.budget
                    jobs.append(Job(who, name, variant, budget, options.held_out))
    return jobs


def run_job(job: Job, folder: Path) -> str | None:
    """Run one cell in a process and add its memory. Returns what went wrong, in a line, or None."""
    path = job.path(folder)
    part = path.with_suffix(".unfinished")
    words = [job.contender, job.task, job.variant, str(job.budget), str(job.held_out_views), str(part)]
    usage = measure([sys.executable, "-m", "bench.search.cell", *words], ROOT)
    if usage.exit_code != 0 or not part.exists():
        return f"{path.stem}: exit {usage.exit_code}; its message stands above"
    write({**json.loads(part.read_text()), "peak_mb": usage.peak_mb}, path)
    part.unlink()
    return None


def _done(jobs: Sequence[Job], folder: Path, parallel: int) -> Iterator[tuple[Job, str | None]]:
    """Run jobs, ``parallel`` at once with their share of the cores; each with its failure, as they end."""
    if parallel > 1:
        os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // parallel))
    with ThreadPoolExecutor(parallel) as pool:
        running = {pool.submit(run_job, job, folder): job for job in jobs}
        try:
            for done in as_completed(running):
                yield running[done], done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m bench.search", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument(
        "--contenders",
        nargs="+",
        default=list(CONTENDERS),
        help=f"some of {', '.join(CONTENDERS)}; datamask-1+search.sigma=0.8 is datamask with a value changed",
    )
    parser.add_argument("--variants", nargs="+", help="noise seeds (any) or portraits (default: all five)")
    parser.add_argument("--budget", type=int, help="scored views a cell (default: 12000, identity 16000)")
    parser.add_argument(
        "--parallel", type=int, default=1, help="cells at once, each with its share of the cores"
    )
    parser.add_argument("--held-out", type=int, default=40, help="held-out views (default: %(default)s)")
    parser.add_argument("--cells", type=Path, default=ROOT / "runs" / "search", help="folder of the cells")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "search.json")
    parser.add_argument("--images", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--page", type=Path, help="write the tables between the marks of this page")
    parser.add_argument("--summary-only", action="store_true", help="run nothing")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run, summarize, print. Exit code 1 where a cell failed, 130 after Ctrl-C."""
    options = _arguments(argv)
    console = Console(stderr=True)
    for name in options.contenders:
        if (line := contender(name).missing) is not None:
            console.print(f"left out: {line}", style="yellow", highlight=False)
    options.cells.mkdir(parents=True, exist_ok=True)
    jobs = [] if options.summary_only else jobs_of(options)
    failures = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task("cells", total=len(jobs), visible=bool(jobs))
            missing = [job for job in jobs if not job.path(options.cells).exists()]
            progress.advance(bar, len(jobs) - len(missing))
            for job, failure in _done(missing, options.cells, options.parallel):
                progress.update(bar, description=f"{job.task} {job.variant}: {job.contender}")
                if failure is not None:
                    failures.append(failure)
                    console.print(failure, style="red", highlight=False)
                progress.advance(bar)
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on with the cells that are missing")
        return 130
    if not any(options.cells.glob("*.json")):
        console.print("no cell is there yet")
        return 1
    rows = summarize(options.cells, options.out, options.images, options.page)
    print(page(rows))
    for name in options.tasks:
        for ours in own_names([row for row in rows if row["task"] == name]):
            console.print(f"{name}: {verdict(rows, name, ours)}", highlight=False)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
