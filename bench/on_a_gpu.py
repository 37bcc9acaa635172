"""``python -m bench.on_a_gpu``: what a pass asks of a GPU, counted without one.

Passes of several sizes score the example's objectives on a pretended CUDA device (:mod:`bench.pretend_cuda`).
Counted are the operations that are started, the times that the program waits to be told a count by the
device, the bytes that cross the bus, and the memory that tensors hold at a time. A GPU that is asked in too
many small steps is idle between them: Python takes some microseconds to start one, however fast the device.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench.marks import write_between
from bench.pretend_cuda import Traffic, pretend_cuda
from bench.workload import make_workload
from worker.scorer import Scorer

PICTURES = (64, 512, 1024)
VIEWS = 2
MARKS = ("<!-- on a gpu -->", "<!-- end of on a gpu -->")


def asked(pictures: int, half: bool = False) -> Traffic:
    """What a pass of so many pictures asks, the second one of its scorer."""
    batch = make_workload(pictures // VIEWS, batch=pictures // VIEWS, half=half).batches[0]
    with pretend_cuda() as traffic:
        scorer = Scorer(batch.plan, device="cuda", images=pictures)
        for seed in (1, 2):  # the first one uploads tables that stay
            traffic.clear()
            scorer.score(replace(batch, view_seed=seed, view_count=VIEWS))
    return traffic


def by_module(traffic: Traffic) -> Counter[str]:
    """Operations by the module that started them."""
    modules: Counter[str] = Counter()
    for line, count in traffic.operations.items():
        modules[line.partition(".")[0]] += count
    return modules


def even(text: str) -> int:
    """A number of pictures, an argument. :raises argparse.ArgumentTypeError: for another."""
    if not text.isdigit() or int(text) < VIEWS or int(text) % VIEWS:
        raise argparse.ArgumentTypeError(f"{text}: expected an even number of pictures, such as 512")
    return int(text)


def page(found: Mapping[int, Traffic]) -> str:
    """The table as Markdown, by pictures of a pass."""
    head = [
        "| pictures a pass | operations | a picture | waits | bytes up | bytes down | memory of tensors |",
        "|---|---|---|---|---|---|---|",
    ]
    rows = [
        f"| {pictures:,} | {one.operations.total():,} | {one.operations.total() / pictures:.1f} | "
        f"{one.waits.total()} | {one.up.total():,} | {one.down.total():,} | {one.peak_bytes / 1e9:.2f} GB |"
        for pictures, one in found.items()
    ]
    return "\n".join([*head, *rows, ""])


def main(argv: Sequence[str] | None = None) -> int:
    """Count, print, and write where that is asked for."""
    parser = argparse.ArgumentParser("python -m bench.on_a_gpu", description=__doc__)
    parser.add_argument("--pictures", type=even, nargs="+", default=PICTURES, help="sizes of passes")
    parser.add_argument("--half", action="store_true", help="networks compute in half precision")
    parser.add_argument("--page", type=Path, help="write the table between the marks of this page")
    options = parser.parse_args(argv)
    console, found = Console(stderr=True), dict[int, Traffic]()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=len(options.pictures))
        for pictures in options.pictures:
            progress.update(bar, description=f"a pass of {pictures:,} pictures")
            found[pictures] = asked(pictures, options.half)
            modules = by_module(found[pictures]).most_common(12)
            console.print(", ".join(f"{name} {count:,}" for name, count in modules))
            progress.advance(bar)
    table = page(found)
    print(table)
    if options.page is not None:
        write_between(options.page, *MARKS, table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
