"""Cells made one after the other, or several at once, each in a process of its own with one thread.

No part of the command itself: a process that is started anew cannot find what `__main__` holds.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.cells import Cell, S, Stage, lasting, left_s, make
from services.errors import DatamaskError

Work = tuple[Stage[S], Cell]


def add_options(parser: argparse.ArgumentParser, store: str) -> None:
    """What every command of cells can be told. store: what ``--help`` calls the folder that is taken."""
    parser.add_argument("--jobs", type=at_least_one, default=2, help="cells at once, one thread each (2)")
    parser.add_argument("--store", type=Path, help=f"folder of the cells (default: {store})")
    parser.add_argument("--estimate", action="store_true", help="say what is missing and how long it takes")


def at_least_one(text: str) -> int:
    """A count from the command line. :raises argparse.ArgumentTypeError: for none."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number, at least 1")
    return int(text)


def work_of(
    stages: Sequence[Stage[S]], settings: S, folder: Path, names: Sequence[str], seeds: Sequence[int]
) -> list[Work[S]]:
    """The missing cells of the stages of some names, in order."""
    cells = [
        (stage, cell) for stage in stages if stage.name in names for cell in stage.cells(settings, seeds)
    ]
    return [(stage, cell) for stage, cell in cells if not cell.path(folder).exists()]


def run(settings: S, folder: Path, work: Sequence[Work[S]], jobs: int, console: Console) -> None:
    """Make the missing cells, a stage after the other, saying what is done and what is left."""
    done = 0
    with _processes(jobs) as pool:
        for name in dict.fromkeys(stage.name for stage, _ in work):
            mine = [(stage, cell) for stage, cell in work if stage.name == name]
            for cell, seconds in _made(settings, folder, mine, pool):
                done += 1
                left = left_s(folder, [w for w in work if not w[1].path(folder).exists()], jobs)
                console.print(
                    f"{done}/{len(work)} {cell.stage} {cell.name}: {seconds:.0f} s; "
                    + (f"about {lasting(left)} left" if done < len(work) else "all done"),
                    highlight=False,
                )


@contextmanager
def _processes(jobs: int) -> Iterator[ProcessPoolExecutor | None]:
    """Processes for all stages, which load networks once; None: cells are made here."""
    if jobs == 1:
        yield None
        return
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes to come
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _quietly_interrupted) as pool:
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


def _made(
    settings: S, folder: Path, work: Sequence[Work[S]], pool: ProcessPoolExecutor | None
) -> Iterator[tuple[Cell, float]]:
    """Cells as they are done, and the seconds that each took."""
    if pool is None:
        for stage, cell in work:
            yield cell, make(settings, folder, stage, cell)
        return
    running = {pool.submit(make, settings, folder, stage, cell): cell for stage, cell in work}
    for ended in as_completed(running):
        yield running[ended], ended.result()


def ended(console: Console, work: Callable[[], object]) -> int:
    """Do the work of a command of cells; its exit code: 1 with a line where something is wrong, 130 after
    Ctrl-C.
    """
    try:
        work()
    except BrokenProcessPool:
        console.print(
            "a process was ended from outside (for want of memory?); the same command goes on, with "
            "--jobs 1 in half the memory",
            style="red",
        )
        return 1
    except DatamaskError as error:
        console.print(f"{error}", style="red", highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on with the cells that are missing")
        return 130
    return 0


def _quietly_interrupted() -> None:
    """Ctrl-C ends a process at once: a cell is written whole, and a search goes on at its checkpoint."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def estimate(folder: Path, work: Sequence[Work[Any]], jobs: int) -> list[str]:
    """A line a stage: what is missing and how long it will take; and their sum."""
    lines = []
    for stage in dict.fromkeys(stage for stage, _ in work):
        mine = [w for w in work if w[0] is stage]
        if mine:
            lines.append(
                f"{stage.name}: {len(mine)} cells, {sum(c.pictures for _, c in mine):,} pictures, "
                f"{lasting(left_s(folder, mine, jobs))} ({stage.what})"
            )
    return [*lines, f"in all {lasting(left_s(folder, work, jobs))} with {jobs} at once"]
