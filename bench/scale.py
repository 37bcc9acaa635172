"""``python -m bench.scale``: what grows with what, from one mask to a thousand islands and workers.

- Scoring: milliseconds a view against the masks of a batch, the views of a mask and the side of a picture.
- Search: milliseconds that an optimizer takes for a generation, against the number of genes.
- Coordinator: its own time and memory against islands, with scores that are there at once; each count in a
  process of its own.
- Fleet: 1,000 simulated workers (threads that sleep) on 1,000 islands, over real Redis messages and a store.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bench import marks
from bench.outcome import circumstances, write
from bench.queue import measured, spec_of
from bench.support import ROOT
from services.wire.messages import Origin
from services.wire.plan import Batch

FORMAT = 1
OUT = Path(__file__).parent / "results" / "scale.json"
INNER_LOOP = (
    Path(__file__).parent / "results" / "latest.json"
)  # of `make bench`: the one speed that pages state
MASKS = (1, 4, 8, 16, 32, 64)
VIEWS = (1, 2, 3, 6, 12, 24)
SIDES_PX = (96, 128, 160, 224)
GENES = (35, 69, 138, 276, 552)
ISLANDS = (1, 10, 100, 1000)
WORKERS = 1000
SLEEP_S = 20.0  # a batch: what a slow machine takes for some hundred views
POPULATION = 16
EPOCH = 5  # generations
STACK = 64  # batches in a message
LARGE_MASKS = 10_000_000
ASSUMED_GPU = 15_000  # views a second: what we want of one, not what one was seen to do
FIRST_MARK, LAST_MARK = "<!-- scale -->", "<!-- end of scale -->"


# -- one machine


def scoring(rounds: int) -> dict[str, list[dict[str, float]]]:
    """Milliseconds a view of the inner loop, median over rounds, one quantity changed at a time."""
    return {
        "masks": [{"masks": n, "ms": _ms_a_view(n, 3, 160, rounds)} for n in MASKS],
        "views": [{"views": v, "ms": _ms_a_view(POPULATION, v, 160, rounds)} for v in VIEWS],
        "side_px": [{"side_px": s, "ms": _ms_a_view(POPULATION, 3, s, rounds)} for s in SIDES_PX],
    }


def _ms_a_view(masks: int, views: int, side_px: int, rounds: int) -> float:
    from bench.workload import make_workload
    from services.wire.plan import Batch
    from worker.scorer import Scorer

    known = make_workload(masks)
    plan = replace(known.plan, ranges=replace(known.plan.ranges, size_px=side_px))
    genomes = np.concatenate([batch.genomes for batch in known.batches])
    batch = Batch(plan, genomes, 1, views)
    scorer = Scorer(plan)
    scorer.score(batch)
    seconds = [_seconds(lambda: scorer.score(batch)) for _ in range(rounds)]
    return round(1000 * statistics.median(seconds) / (masks * views), 2)


def searching(rounds: int) -> list[dict[str, Any]]:
    """Milliseconds that asking and telling one generation of 16 takes, by optimizer and number of genes.

    One that is told residuals gets 128, and is timed when it remembers all that it ever will.
    """
    from coordinator.search.optimizers import OPTIMIZERS, make_optimizer
    from coordinator.search.optimizers.gauss_newton import MEMORY
    from services.recognition.fitness import Residuals

    rows = []
    for name in OPTIMIZERS:
        if name == "map-elites":  # its kinds are measured on a basis, which has as many genes as it has
            continue
        for genes in GENES:
            optimizer = make_optimizer(name, genes, "noise", POPULATION, np.random.SeedSequence(1))
            slopes = np.random.default_rng(1).normal(size=(genes, 128))

            def generation(optimizer: Any = optimizer, slopes: Any = slopes) -> None:
                asked = optimizer.ask()
                residuals = Residuals(asked @ slopes, np.zeros(len(asked)))
                optimizer.tell(asked, -np.square(asked).sum(axis=1), residuals=residuals)

            for _ in range(MEMORY if name == "gauss-newton" else 1):
                generation()
            seconds = [_seconds(generation) for _ in range(4 * rounds)]
            rows.append(
                {"optimizer": name, "genes": genes, "ms": round(1000 * statistics.median(seconds), 3)}
            )
    return rows


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


# -- the coordinator


class AtOnce:
    """An Executor whose workers need no time: scores follow from the genes. Stacks of STACK batches are made,
    and their scores are read, but they never touch the store.

    worked_s: processor time of what workers would do.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, Batch] = {}
        self._done: list[Any] = []
        self.worked_s = 0.0

    def submit(self, batch: str, origin: Origin, work: Batch | None = None) -> None:
        """Have it in the next stack."""
        assert work is not None
        self._waiting[batch] = work

    def wait(self) -> Any:
        """The newest one."""
        if not self._done:
            self._answer()
        return self._done.pop()

    def _answer(self) -> None:
        from bench.made_up import stacked_scores_of
        from coordinator.queue.executor import Finished
        from services.wire.stack import decode_stacked, encode_stack, stack_id

        first = next(iter(self._waiting.values()))
        names = [n for n, work in self._waiting.items() if work.view_count == first.view_count][:STACK]
        data = encode_stack({n: self._waiting.pop(n) for n in names})
        name = stack_id(data)
        began = time.process_time()
        answer = stacked_scores_of(data)
        self.worked_s += time.process_time() - began
        for batch, scores in decode_stacked(answer, name).items():
            self._done.append(Finished(batch, scores.coverage.size, scores=scores, stack=name))

    def realize(self, job: str, origin: Origin, progress: Any = None) -> None:
        """Nothing is drawn."""

    def realized(self, job: str, *, wait: bool = False) -> Any:
        """Nothing is drawn, and that is done."""
        from coordinator.queue.executor import Finished

        return Finished(job)

    def traffic(self) -> Any:
        """Nothing waits."""
        from coordinator.queue.executor import Traffic

        return Traffic()

    def join(self) -> None:
        """Nothing is scored here."""

    def close(self) -> None:
        """Nothing is held."""


def coordinated(islands: int) -> dict[str, Any]:
    """One epoch of a run in this process: its own time for a batch, its memory, and what the record holds."""
    from coordinator.record.record import Record
    from coordinator.run import open_run
    from coordinator.search.evolution import Evolution
    from coordinator.search.island import Island
    from coordinator.spec.spec import parse_spec
    from services.shape.catalog import basis_info
    from services.storage.open import open_store

    with tempfile.TemporaryDirectory(prefix="datamask-scale-") as folder:
        record = Record(open_store(folder, write=True).sub("run"))
        opened = open_run(parse_spec(spec_of(POPULATION, EPOCH, islands), "bench"), record, resume=False)
        record.take_over()
        genes = len(basis_info(opened.spec.mask.basis).gene_names)
        executor = AtOnce()
        Island(0, opened.spec, opened.objectives, genes)  # what Python loads for optimizers is no part of it
        evolution = Evolution(opened.spec, record, opened.plan, opened.objectives, genes, executor)
        began, used = time.monotonic(), time.process_time()
        evolution.run()
        seconds, used = time.monotonic() - began, time.process_time() - used - executor.worked_s
        record.close()
        kept = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    # An island asks for its generations and for one ranking an epoch.
    batches = islands * (EPOCH + 1)
    return {
        "islands": islands,
        "batches": batches,
        "seconds": round(seconds, 2),
        "cpu_ms_a_batch": round(1000 * used / batches, 2),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000, 1),
        "record_kb_an_island": round(kept / 1000 / islands, 1),
    }


def _in_process(islands: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.scale", "--coordinate", str(islands)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def fleet(workers: int, sleep_s: float, islands: int) -> dict[str, Any]:
    """A coordinator of many islands before many workers: how busy it keeps them, and what it costs."""
    run, busy = measured(spec_of(POPULATION, EPOCH, islands), workers, sleep_s, threads=True)
    return {"workers": workers, "islands": islands, "sleep_s": sleep_s, **busy, "run": run}


# -- the whole


def scaled(*, quick: bool, console: Console) -> dict[str, Any]:
    """Everything, as the JSON values of the report."""
    facts = circumstances()
    rounds = 1 if quick else 5
    # First what must not descend from a process with networks in it: Linux counts that toward their memory.
    console.print("coordinator, up to 1,000 islands ...")
    islands = [_in_process(n) for n in (ISLANDS[:2] if quick else ISLANDS)]
    console.print("1,000 simulated workers ...")
    many = fleet(20, 1.0, 40) if quick else fleet(WORKERS, SLEEP_S, 2 * WORKERS)
    console.print("optimizers ...")
    searched = searching(rounds)
    console.print("scoring ...")
    scored = scoring(rounds)
    return {
        "format": FORMAT,
        "machine": facts,
        "settings": {"quick": quick, "population": POPULATION, "generations": EPOCH},
        "scoring": scored,
        "searching": searched,
        "coordinator": islands,
        "fleet": many,
    }


@dataclass(frozen=True)
class Figures:
    """One table. section: the heading it stands under."""

    section: str
    head: list[str]
    rows: list[list[str]]


def figures(result: dict[str, Any]) -> list[Figures]:
    """The tables of one result."""
    found = []
    for name, title in (
        ("masks", "masks of a batch (3 views each)"),
        ("views", f"views of a mask ({POPULATION} masks)"),
        ("side_px", "pixels a side"),
    ):
        rows = result["scoring"][name]
        line = ["milliseconds a view", *(f"{row['ms']:.1f}" for row in rows)]
        found.append(Figures("Scoring", [title, *(str(row[name]) for row in rows)], [line]))
    own: dict[str, list[str]] = {}
    for row in result["searching"]:
        own.setdefault(row["optimizer"], []).append(f"{row['ms']:.2f}")
    head = [f"milliseconds a generation of {POPULATION}", *(f"{genes} genes" for genes in GENES)]
    found.append(Figures("Search", head, [[f"`{name}`", *cells] for name, cells in own.items()]))
    head = ["islands", "milliseconds of processor a batch", "peak memory", "record, an island's epoch"]
    lines = [
        [
            f"{row['islands']:,}",
            f"{row['cpu_ms_a_batch']:.2f}",
            f"{row['peak_mb']:.0f} MB",
            f"{row['record_kb_an_island']:.0f} kB",
        ]
        for row in result["coordinator"]
    ]
    return [*found, Figures("Coordinator", head, lines)]


def fleet_said(result: dict[str, Any]) -> str:
    """What the simulated workers showed, as a sentence or two."""
    many, run = result["fleet"], result["fleet"]["run"]
    return (
        f"{many['workers']:,} simulated workers (they sleep {many['sleep_s']:g} s a batch) on "
        f"{many['islands']:,} islands, over real Redis: busy {many['share']:.1%} of their time. The "
        f"coordinator took {run['cpu_seconds']:.0f} s of processor time for {run['batches']:,} batches and "
        f"{run['peak_mb']:.0f} MB; {run['resent']} batches were sent again."
    )


def show(result: dict[str, Any], console: Console) -> None:
    """Print the tables of one result."""
    for one in figures(result):
        table = Table(*one.head, title_justify="left")
        for row in one.rows:
            table.add_row(*(cell.strip("`") for cell in row))
        console.print(table)
    facts = result["machine"]
    console.print(fleet_said(result), highlight=False)
    console.print(f"{facts['cores']} cores, load {facts['load_at_start']} before the start.", highlight=False)


def page(result: dict[str, Any]) -> str:
    """The tables as Markdown, and what a large run would cost by them."""
    lines: list[str] = []
    section = ""
    for one in figures(result):
        if one.section != section:
            section = one.section
            lines += [f"### {section}", ""]
        lines += marks.head(*one.head)
        lines += [marks.row(*row) for row in one.rows]
        lines.append("")
    lines += [fleet_said(result), "", "### Ten million masks", "", *_large(result)]
    return "\n".join(lines) + "\n"


def _large(result: dict[str, Any]) -> list[str]:
    """What 10 million masks of 3 views cost by these figures; GPU columns are arithmetic, not measurement."""
    views = LARGE_MASKS * 3
    here = json.loads(INNER_LOOP.read_text())["views_per_second"]["datamask"]["median"]
    cores = result["machine"]["cores"]
    batch_ms = result["coordinator"][-1]["cpu_ms_a_batch"]
    kilobytes = result["coordinator"][-1]["record_kb_an_island"] / (POPULATION * EPOCH)
    lines = marks.head("what scores", "views a second", "scoring", "coordinator")
    own = _long(LARGE_MASKS / POPULATION * batch_ms / 1000)
    for name, rate in (
        (f"this machine, {cores} cores (measured)", here),
        ("one GPU (assumed rate)", ASSUMED_GPU),
        ("a hundred GPUs (assumed rate)", 100 * ASSUMED_GPU),
    ):
        lines.append(marks.row(name, f"{rate:,.0f}", _long(views / rate), own))
    lines += ["", f"The record of such a run: {LARGE_MASKS * kilobytes / 1e6:.1f} GB.", ""]
    return lines


def _long(seconds: float) -> str:
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser("python -m bench.scale", description="What grows with what.")
    parser.add_argument("--quick", action="store_true", help="few and small: not for figures")
    parser.add_argument("--out", type=Path, default=OUT, help="where the JSON goes (default: %(default)s)")
    parser.add_argument("--page", type=Path, help="write the tables between the marks of this page")
    parser.add_argument("--coordinate", type=int, metavar="ISLANDS", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.coordinate:
        print(json.dumps(coordinated(arguments.coordinate)))
        return 0
    console = Console()
    result = scaled(quick=arguments.quick, console=console)
    write(result, arguments.out)
    show(result, console)
    if arguments.page is not None:
        marks.write_between(arguments.page, FIRST_MARK, LAST_MARK, page(result))
    console.print(f"written to {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
