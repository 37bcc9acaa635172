"""``python -m bench.agreement``: what it costs to ask detectors for the place where they agree.

Detectors look at renders of a blank, on one thread, in passes as a worker has them: each by itself, and then
all of them for one place. Rounds take turns; medians of milliseconds a view.
"""

from __future__ import annotations

import argparse
import statistics
from functools import partial

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from bench.stopwatch import seconds_of
from services.recognition.agreement import Reading
from services.recognition.kinds import TOGETHER
from services.rendering.views import ViewRanges, sample_views
from worker.agreeing import Agreeing
from worker.eye import Eye
from worker.machines import Machines

BASIS = "blank-oval-1"
GROUPS = (
    ("dlib-hog", "dlib-mmod"),
    ("dlib-hog", "yunet"),
    ("dlib-hog", "centerface"),
    ("dlib-hog", "blazeface-full"),
    ("dlib-hog", "dlib-mmod", "yunet"),
)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser("python -m bench.agreement", description=__doc__)
    parser.add_argument("--masks", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    eye = Eye(BASIS)
    genomes = np.random.default_rng(0).standard_normal((asked.masks, len(eye.basis.gene_names)))
    _, seen = eye.every(genomes.astype(np.float32), sample_views(ViewRanges(), 3, seed=0))
    images, regions = seen.images.flatten(0, 1), seen.box_px.flatten(0, 1)
    table = Table("detectors", "each by itself", "in one place", "more", title="ms a view, one thread")
    for names in GROUPS:
        machines = Machines(names, {})
        infos = machines.infos
        readings = {
            n: Reading(infos[n].measure, infos[n].threshold, infos[n].scale, TOGETHER.slope) for n in names
        }
        apart, together = Agreeing({}), Agreeing(readings)
        spent: dict[Agreeing, list[float]] = {apart: [], together: []}
        for _ in range(asked.rounds + 1):  # the first compiles and loads
            for way, seconds in spent.items():
                seconds.append(seconds_of(partial(way.look, machines.detectors, images, regions)))
        each, place = (1e3 * statistics.median(seconds[1:]) / len(images) for seconds in spent.values())
        table.add_row(", ".join(names), f"{each:.2f}", f"{place:.2f}", f"{place - each:+.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
