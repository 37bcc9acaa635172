"""``python -m bench.queue``: what the queue costs. Real Redis, real messages, bells and stores; no torch.

- Busy: 32 workers that sleep 1 s a batch; the share of their time in which they have one in hand.
- Rate: batches a second that the coordinator itself can handle, on a folder and on moto's S3 server: all that
  came back, over the seconds in which it did not wait for a bell.
- Fed: workers that score RATE views a second, in messages of as many batches as their pass holds; the share
  of their time in which they compute, and what a batch costs the coordinator. With --coordinators N the
  same run in one process and in N: batches by the processor time of the busiest one, which is what they would
  do in a second if each had a core.
- Memory: the coordinator's peak while 100,000 genomes live on 64 islands.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.outcome import circumstances, write
from bench.sleeping_tasks import RATE_VARIABLE, SLEEP_VARIABLE, TIMES_VARIABLE
from bench.support import ROOT, support
from coordinator.queue.celery_executor import CeleryExecutor
from coordinator.queue.executor import Finished
from coordinator.record.chronicle import Chronicle
from coordinator.record.record import Record
from coordinator.run import evolve_run, open_run
from coordinator.search.evolution import Evolution
from coordinator.search.island import Generation
from coordinator.shard_processes import ShardProcesses
from coordinator.spec.spec import parse_spec
from services.storage.open import open_store
from services.wire.mask import Mask

FORMAT = 1
OUT = Path(__file__).parent / "results" / "queue.json"
ISLANDS = 64
EVERY = 5
WANTED = {"busy": 0.95, "rate": 200.0, "memory_mb": 1000.0, "ratio": 1.7}
READY_S = 60.0
RATE = 10_000.0  # views a second of a simulated GPU
PICTURES = 3072  # that its pass holds: 64 batches of 16 masks in 3 views


def spec_of(population: int, generations: int, islands: int = ISLANDS, views: int = 5) -> dict[str, Any]:
    """A run of many islands; what it is to satisfy does not matter here."""
    return {
        "name": "queue",
        "search": {"islands": islands, "population": population, "generations": generations},
        "migration": {"every": EVERY, "count": 1},
        "views": {"count": views},
        "elites": {"ranking_views": 10},
        "objective": [{"kind": "detect", "model": "dlib-hog"}],
    }


class _Counter:
    """A Watcher that counts batches."""

    def __init__(self) -> None:
        self.batches = 0

    def batch_done(self, finished: Finished, genomes: int) -> None:
        self.batches += 1

    def generation_done(self, generation: Generation) -> None: ...

    def epoch_done(self, epoch: int, elites: Sequence[Mask]) -> None: ...


def coordinate(store: str, broker: str, spec: Mapping[str, Any], coordinators: int = 1) -> dict[str, Any]:
    """Drive one run to its end in this process, or in so many and this one; returns its figures."""
    place = open_store(store, write=True)
    record = Record(place.sub("run"))
    opened = open_run(parse_spec(spec, "bench"), record, resume=False)
    executor = CeleryExecutor(record.store, store, "run", broker)
    shards = None
    if coordinators > 1:
        shards = ShardProcesses(coordinators, executor, record.url, place.url, "run", broker)
    counter = _Counter()
    began = used = waited = 0.0

    def start(evolution: Evolution) -> None:
        # What Python loads for the optimizers is paid once, and no part of a batch.
        nonlocal began, used, waited
        began, used, waited = time.monotonic(), time.process_time(), executor.waited_s

    evolve_run(opened, executor, [counter], start, shards)
    seconds, used = time.monotonic() - began, time.process_time() - used
    driven = [] if shards is None else [shards.ended[k] for k in sorted(shards.ended)]
    busiest = max([used, *(one.cpu_s for one in driven)])
    Chronicle(record).plan()  # what the end of a run reads
    waited = executor.waited_s - waited
    executor.close()
    record.close()
    alone = {
        "waited_seconds": round(waited, 2),
        "own_batches_per_second": round(counter.batches / (seconds - waited), 1),
    }
    return {
        "batches": counter.batches,
        "seconds": round(seconds, 2),
        **({} if driven else alone),
        "cpu_seconds": round(used, 2),
        "batches_per_second": round(counter.batches / seconds, 1),
        "batches_per_cpu_second": round(counter.batches / busiest, 1),
        "shards": [{k: round(v, 2) for k, v in asdict(one).items()} for one in driven],
        "resent": executor.traffic().resent,
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000, 1),
        "torch_loaded": "torch" in sys.modules,
    }


@contextmanager
def sleeping(
    broker: str,
    processes: int,
    sleep_s: float,
    folder: Path,
    *,
    threads: bool = False,
    rate: float | None = None,
) -> Iterator[Path]:
    """Workers for as long as the context lasts; gives the folder of their times."""
    times = folder / "times"
    times.mkdir()
    log = folder / "sleepers.log"
    variables = {SLEEP_VARIABLE: str(sleep_s), TIMES_VARIABLE: str(times)}
    variables |= {} if rate is None else {RATE_VARIABLE: str(rate)}
    with log.open("wb") as file:
        worker = subprocess.Popen(
            [
                *(sys.executable, "-m", "bench.sleepers", "--broker", broker),
                *("--concurrency", str(processes), *(["--threads"] if threads else [])),
                *(() if rate is None else ("--pictures", str(PICTURES))),
            ],
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, **variables},
        )
    try:
        deadline = time.monotonic() + READY_S
        while " ready." not in log.read_text():
            if worker.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the sleepers did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield times
    finally:
        worker.terminate()
        try:
            worker.wait(30)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def busy_share(times: Path, processes: int) -> dict[str, Any]:
    """The share of the workers' time with a batch in hand, from when all had begun until the last rounds.

    The end is left out: a run that is about to end has not enough batches for everybody.
    """
    spans = spans_in(times)
    if len(spans) != processes:
        raise RuntimeError(f"{len(spans)} of {processes} processes had work")
    return busy_from(max(own[0][0] for own in spans), spans, processes)


def spans_in(times: Path) -> list[list[tuple[float, float]]]:
    """When each process was at work, from begin to end, in the order of its batches."""
    files = [path.read_text().splitlines() for path in sorted(times.glob("*.txt"))]
    return [[(float(a), float(b)) for a, b in map(str.split, lines)] for lines in files]


def busy_from(start: float, spans: Sequence[Sequence[tuple[float, float]]], workers: int) -> dict[str, Any]:
    """:func:`busy_share` from a moment on, of so many workers at a time."""
    begins = sorted(span[0] for own in spans for span in own)
    end = begins[-2 * workers]
    at_work = sum(max(0.0, min(b, end) - max(a, start)) for own in spans for a, b in own)
    return {
        "share": round(at_work / (workers * (end - start)), 4),
        "window_seconds": round(end - start, 2),
        "batches": len(begins),
    }


def measured(
    spec: Mapping[str, Any],
    processes: int,
    sleep_s: float,
    *,
    bucket: bool = False,
    threads: bool = False,
    rate: float | None = None,
    coordinators: int = 1,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """One run in fresh servers: the coordinator's figures and the workers' busy share."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="datamask-queue-")))
        redis = stack.enter_context(support("redis_server").running_redis(folder))
        store, variables = str(folder / "runs"), dict(os.environ)
        if bucket:
            s3 = stack.enter_context(support("s3_server").running_s3(folder))
            store, variables = s3.url, {**os.environ, **s3.environment()}
            os.environ.update(s3.environment())
        times = stack.enter_context(
            sleeping(redis.url, processes, sleep_s, folder, threads=threads, rate=rate)
        )
        return coordinated(store, redis.url, spec, variables, coordinators), busy_share(times, processes)


def coordinated(
    store: str,
    broker: str,
    spec: Mapping[str, Any],
    variables: Mapping[str, str] | None = None,
    coordinators: int = 1,
) -> dict[str, Any]:
    """:func:`coordinate` in a process of its own, so that its time and memory are its own."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bench.queue", "--coordinators", f"{coordinators}"),
            *("--coordinate", store, broker, json.dumps(spec)),
        ],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=ROOT,
        env=variables,
    )
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def queue_cost(*, quick: bool, console: Console) -> dict[str, Any]:
    """Everything, as the JSON values of the report."""
    facts = {**circumstances(), "python": sys.version.split()[0]}
    console.print("32 workers, batches of 1 s ...")
    busy_run, busy = measured(spec_of(8, 5 if quick else 10), 32, 1.0)
    console.print(f"workers of {RATE:,.0f} views a second ...")
    fed = [fed_by_one(workers, 5 if quick else 20) for workers in ((2,) if quick else (1, 2, 4, 8))]
    console.print("two coordinator processes ...")
    several = fed_by_several(2 if quick else 8, 5 if quick else 20, 2)
    console.print("100,000 genomes on 64 islands, workers that do not sleep ...")
    generations = 5 if quick else 49
    # One process, slower than the coordinator, which then has a core for itself; its waits do not count.
    file_run, _ = measured(spec_of(32, generations), 1, 0.0)
    console.print("the same for a moment, in a bucket ...")
    s3_run, _ = measured(spec_of(32, EVERY), 1, 0.0, bucket=True)
    return {
        "format": FORMAT,
        "machine": facts,
        "settings": {"islands": ISLANDS, "every": EVERY, "quick": quick},
        "busy": {**busy, "workers": 32, "sleep_s": 1.0, "run": busy_run},
        "fed": fed,
        "several": several,
        "file_store": {**file_run, "genomes": ISLANDS * 32 * generations},
        "s3_moto": s3_run,
    }


def fed_by_one(workers: int, generations: int, islands: int = 1024, coordinators: int = 1) -> dict[str, Any]:
    """Simulated GPUs before one coordinator: how busy it keeps them, and what it takes for a batch."""
    spec = spec_of(16, generations, islands, views=3)
    run, busy = measured(spec, workers, 0.0, rate=RATE, coordinators=coordinators)
    ms = 1000 * (run["cpu_seconds"] + sum(one["cpu_s"] for one in run["shards"])) / run["batches"]
    return {"workers": workers, "islands": islands, **busy, "cpu_ms_a_batch": round(ms, 3), "run": run}


def fed_by_several(workers: int, generations: int, coordinators: int) -> dict[str, Any]:
    """The same by one process, then by several; how much more those do, by the busiest one's time."""
    one, several = (fed_by_one(workers, generations, coordinators=n) for n in (1, coordinators))
    ratio = several["run"]["batches_per_cpu_second"] / one["run"]["batches_per_cpu_second"]
    return {"coordinators": coordinators, "ratio": round(ratio, 3), "one": one, "several": several}


def show(result: Mapping[str, Any], console: Console) -> None:
    """Print the table of one result."""
    table = Table("", "measured", "wanted", title="what the queue costs", title_justify="left")
    busy, files, bucket = result["busy"], result["file_store"], result["s3_moto"]
    table.add_row("32 workers, batches of 1 s: time busy", f"{busy['share']:.1%}", f">= {WANTED['busy']:.0%}")
    for one in result["fed"]:
        words = f"{one['workers']} workers of {RATE:,.0f} views a second: time busy"
        table.add_row(words, f"{one['share']:.1%}", "")
        rate = f"{one['run']['batches_per_second']:.0f} ({one['cpu_ms_a_batch']:.2f} ms of processor each)"
        table.add_row("  batches a second", rate, "")
    several = result["several"]
    words = f"{several['coordinators']} coordinator processes, a core each: batches of one"
    table.add_row(words, f"x {several['ratio']:.2f}", f">= x {WANTED['ratio']:.1f}")
    table.add_row(
        "coordinator alone, folder: batches a second",
        f"{files['own_batches_per_second']:.0f}",
        f">= {WANTED['rate']:.0f}",
    )
    table.add_row("  the same, by the seconds it had a core", f"{files['batches_per_cpu_second']:.0f}", "")
    table.add_row("  the same, with its workers on these cores", f"{files['batches_per_second']:.0f}", "")
    table.add_row("coordinator alone, moto's S3", f"{bucket['own_batches_per_second']:.0f}", "")
    table.add_row(
        f"peak memory, {files['genomes']:,} genomes on {ISLANDS} islands",
        f"{files['peak_mb']:.0f} MB",
        f"< {WANTED['memory_mb']:.0f} MB",
    )
    console.print(table)
    facts = result["machine"]
    console.print(
        f"{facts['cores']} cores, load {facts['load_at_start']} before the start. On a machine that others "
        "load, the rate by wall time is theirs as much as ours.",
        highlight=False,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser("python -m bench.queue", description="What the queue costs.")
    parser.add_argument("--quick", action="store_true", help="short runs: not for figures")
    parser.add_argument("--out", type=Path, default=OUT, help="where the JSON goes (default: %(default)s)")
    parser.add_argument("--fed", type=int, metavar="WORKERS", help="only that, with so many; printed as JSON")
    parser.add_argument(
        "--coordinators", type=int, default=1, metavar="N", help="with --fed: by one process and by so many"
    )
    parser.add_argument("--coordinate", nargs=3, metavar=("STORE", "BROKER", "SPEC"), help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.coordinate:
        store, broker, spec = arguments.coordinate
        print(json.dumps(coordinate(store, broker, json.loads(spec), arguments.coordinators)))
        return 0
    if arguments.fed:
        generations = 5 if arguments.quick else 20
        if arguments.coordinators > 1:
            found = fed_by_several(arguments.fed, generations, arguments.coordinators)
        else:
            found = fed_by_one(arguments.fed, generations)
        print(json.dumps(found, indent=1))
        return 0
    console = Console()
    result = queue_cost(quick=arguments.quick, console=console)
    write(result, arguments.out)
    show(result, console)
    console.print(f"written to {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
