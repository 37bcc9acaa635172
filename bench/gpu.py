"""``python -m bench.gpu``: for whoever has a GPU, in five minutes: is it right, is it full, what binds?

- agrees: its scores against the CPU's, the largest difference by model.
- stacking: whether batches score the same bytes alone and stacked, in any order, in passes of any shape.
- speed: views a second from genomes to scores and of the networks alone, by the shape of a pass and for runs
  of 1, 4 and 32 islands (16 masks in 3 views each), in full and in half precision, with the memory of each.
- stages: where the time goes, one after the other.
- docker: whether the containers of ``--profile gpu`` see the device.

A part that fails or does not apply says why and the others go on; the JSON is printed in any case. Without a
GPU the same runs on the CPU.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.inner_loop import STAGES, InnerLoop
from bench.machine import machine
from bench.outcome import write
from bench.stopwatch import Stopwatch, seconds_of
from bench.support import ROOT
from bench.workload import make_workload
from services.wire.plan import Batch
from worker.fingerprint import fingerprint, pick_device
from worker.passes import pass_images, shapes_within
from worker.scorer import Scorer

FORMAT = 1
LIMIT_S = 300.0
ISLANDS = (1, 4, 32)
POPULATION = 16
DOCKER_S = 60
TOLERANCE = {"dlib-hog": 0.02, "dlib-mmod": 0.05, "dlib-resnet": 0.02}  # scores, scores, distances


class LeftOut(Exception):
    """Why a part was not measured."""


@dataclass
class Bench:
    """What all parts share. ends: when no further part begins."""

    device: str
    ends: float
    shapes: tuple[int, ...]

    @property
    def cuda(self) -> bool:
        """Whether this is a GPU."""
        return self.device.startswith("cuda")

    def scorer(self, batch: Batch, images: int | None = None, device: str | None = None) -> Scorer:
        """Ready to be timed."""
        return Scorer(batch.plan, device=device or self.device, images=images)


def batches_of(islands: int, half: bool = False) -> list[Batch]:
    """One generation of so many islands."""
    return list(make_workload(POPULATION * islands, batch=POPULATION, half=half).batches)


def agrees(bench: Bench) -> dict[str, Any]:
    """The largest difference to the CPU by model."""
    if not bench.cuda:
        raise LeftOut("there is no GPU here to be compared with the CPU")
    batch = batches_of(1)[0]
    here, there = (bench.scorer(batch, device=d).score(batch) for d in (bench.device, "cpu"))
    names = [quantity.model for quantity in batch.plan.quantities]
    apart = {n: float(np.abs(a - b).max()) for n, a, b in zip(names, here.raw, there.raw, strict=True)}
    return {"apart": apart, "within": all(apart[n] <= TOLERANCE.get(n, 0.05) for n in apart)}


def stacking(bench: Bench) -> dict[str, Any]:
    """Bytes of batches of several sizes and generations, alone and stacked."""
    batches = [
        replace(batch, genomes=batch.genomes[:rows], view_seed=batch.view_seed + k % 2)
        for k, (batch, rows) in enumerate(zip(batches_of(6), (16, 3, 8, 1, 16, 5), strict=True))
    ]
    scorer = bench.scorer(batches[0], bench.shapes[-1])
    alone = [scorer.score(batch).encoded({}) for batch in batches]
    same = True
    for shape in bench.shapes:
        scorer.images = shape
        for seed in range(3):
            order = np.random.default_rng(seed).permutation(len(batches)).tolist()
            stacked = scorer.score_together([batches[k] for k in order])
            same &= all(one.encoded({}) == alone[k] for one, k in zip(stacked, order, strict=True))
    return {"shapes": list(bench.shapes), "device_stacks": scorer.stacks, "same_bytes": same}


def speed(bench: Bench, half: bool) -> dict[str, Any]:
    """Views a second, by shape with the most islands, and by islands with the largest shape."""
    if half and not bench.cuda:
        raise LeftOut("half precision is for GPUs: a CPU would take ten times as long")
    rows = []
    cases = [(ISLANDS[-1], shape) for shape in bench.shapes] if bench.cuda else []
    cases += [(islands, bench.shapes[-1]) for islands in ISLANDS]
    for islands, shape in dict.fromkeys(cases):
        if time.monotonic() > bench.ends:
            rows.append({"islands": islands, "pictures_a_pass": shape, "left_out": "no time was left"})
            continue
        rows.append(measured(bench, islands, shape, half))
    return {"rows": rows}


def measured(bench: Bench, islands: int, shape: int, half: bool) -> dict[str, Any]:
    """One case, the best of some rounds: both sides are what the machine can do."""
    workload = make_workload(POPULATION * islands, batch=POPULATION, half=half)
    loop = InnerLoop(workload, bench.device, shape)
    ready = loop.staged(Stopwatch(bench.device))
    if bench.cuda:
        torch.cuda.reset_peak_memory_stats(bench.device)
    loop.score()
    memory = torch.cuda.max_memory_allocated(bench.device) if bench.cuda else None
    rounds = 3 if bench.cuda else 1
    whole = min(seconds_of(loop.score, bench.device) for _ in range(rounds))
    networks = min(seconds_of(lambda: loop.networks(ready), bench.device) for _ in range(rounds))
    pictures = sum(len(piece.images) for piece in ready)
    ends, alone = workload.image_count / whole, pictures / networks
    return {
        "islands": islands,
        "pictures_a_pass": shape,
        "views_per_second": round(ends, 1),
        "networks_alone": round(alone, 1),
        "ratio": round(ends / alone, 3),
        "peak_memory_gb": None if memory is None else round(memory / 1e9, 2),
    }


def stages(bench: Bench) -> dict[str, Any]:
    """Milliseconds a view of each stage."""
    loop = InnerLoop(make_workload(POPULATION * 4, batch=POPULATION), bench.device, bench.shapes[-1])
    loop.staged(Stopwatch(bench.device))
    watch = Stopwatch(bench.device)
    pictures = sum(len(piece.images) for piece in loop.staged(watch))
    return {"ms_a_view": {name: round(1000 * watch.seconds[name] / pictures, 3) for name in STAGES}}


def docker(bench: Bench) -> dict[str, Any]:
    """What a container says of the device."""
    if shutil.which("docker") is None:
        raise LeftOut("there is no docker here")
    if not bench.cuda:
        raise LeftOut("there is no GPU here for a container to see")
    words = ["docker", "compose", "--profile", "gpu", "run", "--rm", "--no-deps", "--pull", "never"]
    words += ["--entrypoint", "nvidia-smi", "worker-gpu0", "-L"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=DOCKER_S)
    if done.returncode:
        raise LeftOut(f"{' '.join(words)}: {(done.stderr.strip().splitlines() or ['it failed'])[-1]}")
    return {"sees": done.stdout.strip().splitlines()}


PARTS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "agrees": agrees,
    "stacking": stacking,
    "speed": lambda bench: speed(bench, half=False),
    "speed_half": lambda bench: speed(bench, half=True),
    "stages": stages,
    "docker": docker,
}


def result_of(device: str, parts: Sequence[str], limit_s: float) -> dict[str, Any]:
    """Every part's answer, or why there is none."""
    began = time.monotonic()
    bench = Bench(device, began + limit_s, shapes_within(pass_images(device)))
    found: dict[str, Any] = {
        "format": FORMAT,
        "machine": machine(device),
        "fingerprint": fingerprint(device),
        "settings": {"population": POPULATION, "views": 3, "limit_s": limit_s},
    }
    for name in parts:
        at = time.monotonic()
        try:
            if at > bench.ends:
                raise LeftOut("no time was left")
            found[name] = PARTS[name](bench)
        except LeftOut as error:
            found[name] = {"left_out": str(error)}
        except Exception as error:
            traceback.print_exc()
            found[name] = {"error": f"{type(error).__name__}: {error}"}
        found[name]["seconds"] = round(time.monotonic() - at, 1)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where a part failed, scores differ or a stack changes them."""
    parser = argparse.ArgumentParser(
        "python -m bench.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", help="torch device (default: cuda where it is there)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts")
    parser.add_argument("--limit-s", type=float, default=LIMIT_S * 0.8, help="no part begins after so long")
    parser.add_argument("--out", type=Path, help="write the JSON there, too")
    options = parser.parse_args(argv)
    found = result_of(options.device or pick_device(), options.only, options.limit_s)
    print(json.dumps(found, indent=1))
    if options.out is not None:
        write(found, options.out)
    wrong = any("error" in found[name] for name in options.only)
    wrong |= not found.get("agrees", {}).get("within", True)
    wrong |= not found.get("stacking", {}).get("same_bytes", True)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
