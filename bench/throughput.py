"""``python -m bench.throughput``: how fast the inner loop is, against what it replaces and what bounds it.

In one run, on the same masks and views, in rounds that take turns:

- datamask: the worker's own scoring, from genomes to scores;
- the usual loop: one image after the other with trimesh, pyrender and dlib;
- the networks alone: the same HOG, MMOD and ResNet calls on images and chips that are ready.

Ratios are taken within each round, then their median: what slows the machine for a while slows both sides.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench.every_model import every_model
from bench.inner_loop import STAGES, InnerLoop, Ready, same_scores
from bench.machine import machine
from bench.memory import measure
from bench.outcome import write
from bench.peers import DlibItself
from bench.report import show
from bench.stopwatch import Spread, Stopwatch, seconds_of
from bench.usual_loop import Seen, UsualLoop, usual_loop
from bench.workload import SPEC, Workload, make_workload
from services.errors import Unavailable
from services.shape.basis import load_basis
from worker.fingerprint import pick_device

FORMAT = 1
OUT = Path(__file__).parent / "results" / "latest.json"
# More generations need no more memory: every batch is as large as the first.
SHORT_RUN = ("--set", "search.generations=5")


@dataclass(frozen=True)
class Settings:
    """Sizes of one measurement.

    batch: masks in one; 0: the spec's. usual_masks: of the same masks, how many the slow loop gets each
    round. half: whether dlib's networks compute in half precision, in the loop and alone.
    """

    masks: int = 32
    batch: int = 0
    half: bool = False
    usual_masks: int = 8
    peer_images: int = 12
    rounds: int = 5
    seed: int = 0
    device: str = "cpu"


ON_GPU = {"masks": 2048, "batch": 512}  # an example's batches would leave it idle
QUICK = Settings(masks=16, usual_masks=3, peer_images=3, rounds=2)


@dataclass
class _Rounds:
    """Seconds a view of each side in every round."""

    datamask: list[float] = field(default_factory=list)
    networks: list[float] = field(default_factory=list)
    usual: list[float] = field(default_factory=list)


def throughput(settings: Settings, progress: Progress | None = None) -> dict[str, Any]:
    """Everything but memory, as the JSON values of the report."""
    facts = machine(settings.device)  # first, for the load before we make our own
    workload = make_workload(settings.masks, settings.seed, batch=settings.batch, half=settings.half)
    loop = InnerLoop(workload, settings.device)
    with ExitStack() as stack:
        usual, skipped = _usual(stack, workload)
        return _measured(settings, facts, loop, usual, skipped, progress)


def _usual(stack: ExitStack, workload: Workload) -> tuple[UsualLoop | None, str | None]:
    try:
        return stack.enter_context(usual_loop(load_basis(workload.plan.basis), workload.views)), None
    except Unavailable as error:
        return None, str(error)


def _measured(
    settings: Settings,
    facts: dict[str, Any],
    loop: InnerLoop,
    usual: UsualLoop | None,
    skipped: str | None,
    progress: Progress | None,
) -> dict[str, Any]:
    workload, device = loop.workload, settings.device
    genomes = workload.batches[0].genomes[: settings.usual_masks]
    usual_images = len(genomes) * len(workload.views)
    peers, rounds = DlibItself(), _Rounds()
    stages, usual_stages, peer_stages = Stopwatch(device), Stopwatch(), Stopwatch()
    task = None if progress is None else progress.add_task("warming up", total=settings.rounds)

    ready = loop.staged(Stopwatch(device))
    same = same_scores(loop.score(), loop.networks(ready), [m.model for m in workload.plan.quantities])
    seen = [] if usual is None else usual.run(genomes[:1], Stopwatch())
    images, chips = _first(ready, settings.peer_images)
    for number in range(settings.rounds):
        if progress is not None and task is not None:
            progress.update(task, description=f"round {number + 1} of {settings.rounds}", completed=number)
        # Each goes first in turn, so that neither always finds the machine as the slow loop left it.
        if number % 2 == 0:
            whole = seconds_of(loop.score, device)
            networks = seconds_of(lambda: loop.networks(ready), device)
        else:
            networks = seconds_of(lambda: loop.networks(ready), device)
            whole = seconds_of(loop.score, device)
        rounds.datamask.append(whole / workload.image_count)
        rounds.networks.append(networks / _image_count(ready))
        if usual is not None:
            watch = Stopwatch()
            with watch.stage("all"):
                seen = usual.run(genomes, usual_stages)
            rounds.usual.append(watch.seconds["all"] / usual_images)
        loop.staged(stages)
        peers.run(images, chips, peer_stages)
    every = every_model(workload, settings.rounds, device)
    if progress is not None and task is not None:
        progress.update(task, description="measured", completed=settings.rounds)

    staged_images = settings.rounds * _image_count(ready)
    usual_report: dict[str, Any] = {"skipped": skipped}
    if usual is not None:
        usual_report = _usual_report(seen, usual_stages, settings.rounds * usual_images)
    return {
        "format": FORMAT,
        "machine": facts,
        "settings": {
            **asdict(settings),
            "spec": SPEC.name,
            "views": len(workload.views),
            "size_px": workload.views.size_px,
            "images": workload.image_count,
            "usual_images": usual_images,
        },
        "views_per_second": {
            "datamask": _speeds(rounds.datamask),
            "usual_loop": _speeds(rounds.usual),
            "networks_alone": _speeds(rounds.networks),
        },
        "ratios": {
            "datamask_to_usual_loop": _ratios(rounds.usual, rounds.datamask),
            "datamask_to_networks_alone": _ratios(rounds.networks, rounds.datamask),
        },
        "every_torch_model": every,
        "stages_ms": {stage: _ms(stages, stage, staged_images) for stage in STAGES},
        "usual_loop": usual_report,
        "dlib_ms": {stage: _ms(peer_stages, stage, peer_stages.calls[stage]) for stage in peer_stages.calls},
        "checks": {"networks_alone_gave_the_same_scores": same},
        "memory": None,
    }


def _usual_report(seen: Sequence[Seen], stages: Stopwatch, images: int) -> dict[str, Any]:
    return {
        "stages_ms": {stage: _ms(stages, stage, images) for stage in STAGES},
        "images": len(seen),
        "hog_found": sum(view.hog for view in seen),
        "mmod_found": sum(view.mmod for view in seen),
    }


def _first(ready: Sequence[Ready], count: int) -> tuple[Any, Any]:
    images = torch.cat([piece.images for piece in ready])[:count].cpu().numpy()
    return images, torch.cat([piece.chips for piece in ready])[:count].cpu().numpy()


def _image_count(ready: Sequence[Ready]) -> int:
    return sum(len(piece.images) for piece in ready)


def _speeds(seconds_a_view: Sequence[float]) -> dict[str, object] | None:
    return Spread.of([1.0 / s for s in seconds_a_view]).as_json() if seconds_a_view else None


def _ratios(slow: Sequence[float], fast: Sequence[float]) -> dict[str, object] | None:
    """How many views ``fast`` does in the time that ``slow`` does one, round by round."""
    return Spread.of([a / b for a, b in zip(slow, fast, strict=True)]).as_json() if slow else None


def _ms(watch: Stopwatch, stage: str, views: int) -> float:
    return 1000.0 * watch.seconds.get(stage, 0.0) / views


def evolve_memory(full: bool) -> dict[str, Any]:
    """Peak memory of `make evolve`'s command. :raises RuntimeError: if it fails."""
    words = ["evolve", f"examples/{SPEC.name}", *(() if full else SHORT_RUN)]
    with tempfile.TemporaryDirectory(prefix="datamask-bench-") as folder:
        command = [sys.executable, "-m", "coordinator.cli", *words, "--store", folder, "--quiet"]
        usage = measure(command, SPEC.parents[1])
    if usage.exit_code != 0:
        raise RuntimeError(f"datamask {' '.join(words)}: exit {usage.exit_code}")
    return {"command": f"datamask {' '.join(words)}", "peak_mb": usage.peak_mb, "seconds": usage.seconds}


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m bench.throughput", description="Speed of the inner loop, against its peers."
    )
    parser.add_argument("--quick", action="store_true", help="few masks, two rounds: not for figures")
    parser.add_argument("--rounds", type=int, help="how many rounds (default: 5, quick: 2)")
    parser.add_argument("--out", type=Path, default=OUT, help="where the JSON goes (default: %(default)s)")
    parser.add_argument("--full", action="store_true", help="memory of the whole run, not of a short one")
    parser.add_argument("--no-memory", action="store_true", help="leave the memory of `datamask evolve` out")
    parser.add_argument("--device", help="torch device (default: cuda where it is there)")
    parser.add_argument("--precision", choices=("full", "half"), default="full", help="of dlib's networks")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write. Exit code 1 where the memory run fails."""
    arguments = _arguments(argv)
    settings = QUICK if arguments.quick else Settings()
    device = arguments.device or pick_device()
    changes: dict[str, Any] = {"rounds": arguments.rounds or settings.rounds, "device": device}
    changes |= {"half": arguments.precision == "half", **(ON_GPU if device.startswith("cuda") else {})}
    settings = Settings(**{**asdict(settings), **changes})
    console = Console()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    failure = None
    with Progress(*columns, console=console, transient=True) as progress:
        result = throughput(settings, progress)
        if not arguments.no_memory:
            progress.add_task("memory of datamask evolve", total=None)
            try:
                result["memory"] = evolve_memory(arguments.full)
            except RuntimeError as error:
                failure = str(error)
    write(result, arguments.out)
    show(result, console)
    console.print(f"written to {arguments.out}")
    if failure is not None:
        console.print(f"memory could not be measured: {failure}", style="red")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
