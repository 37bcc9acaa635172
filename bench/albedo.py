"""``python -m bench.albedo [RUN]``: what the brightness and color of a surface alone do to detectors.

One synthetic head (a head basis's zero), and the best mask of a run where one is named (a mask born of a
blank tells more), under the same views at one exposure, in each material that views know. It says nothing
about groups of people: the head is nobody's, its tones are flat, and a camera would set its exposure. Writes
bench/results/albedo.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from coordinator.cli.layout import print_table
from services.recognition import catalog
from services.rendering.materials import MATERIALS
from services.rendering.views import ViewRanges, Views, sample_views
from services.shape.catalog import DEFAULT_BASIS
from worker.eye import Eye

RESULT = Path(__file__).parent / "results" / "albedo.json"
SEED = 20_240
NOTE = (
    "One synthetic head and one mask, in flat colors, at one exposure. It says how much of an answer hangs "
    "on a surface's brightness under a fixed camera, and nothing about groups of people."
)

Float = NDArray[np.float32]


def views_of(count: int) -> Views:
    """The usual views, but at one exposure."""
    return sample_views(replace(ViewRanges(), exposure=(1.0, 1.0)), count, SEED)


def rows_of(
    subject: str, eye: Eye, genome: Float, views: Views, detectors: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """What each detector says of a genome (d,) in each material: share of the views, and the median score."""
    rows = []
    for name in track(MATERIALS, subject, console=Console(stderr=True), transient=True):
        _, seen = eye.every(genome[None], views.shown_in(name))
        told = {}
        for machine, detector in detectors.items():
            with torch.inference_mode():
                score = detector.score(seen.images[0], seen.box_px[0]).score.numpy()
            limit = catalog.model_info(machine).threshold
            told[machine] = {"seen": int((score > limit).sum()), "median": round(float(np.median(score)), 3)}
        rows.append({"subject": subject, "material": name, "views": len(views), "machines": told})
    return rows


def show(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """A table for each subject: in how many views there is a face, and the median score."""
    for subject in dict.fromkeys(row["subject"] for row in rows):
        own = [row for row in rows if row["subject"] == subject]
        machines = list(own[0]["machines"])
        cells = [
            [row["material"], *(f"{m['seen']} ({m['median']:+.2f})" for m in row["machines"].values())]
            for row in own
        ]
        title = f"{subject}: a face in so many of {own[0]['views']} views (median score)"
        print_table(console, title, ["material", *machines], cells)


def main() -> int:
    """Look, print the tables, write them."""
    parser = argparse.ArgumentParser(prog="python -m bench.albedo", description=NOTE)
    parser.add_argument("run", nargs="?", help="folder of a run, whose best mask is looked at, too")
    parser.add_argument("--views", type=int, default=20)
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    names = [i.name for i in catalog.models() if i.kind == "detect" and catalog.installed(i)]
    detectors = {name: catalog.detector(name) for name in names}
    views = views_of(asked.views)
    head = Eye(DEFAULT_BASIS, ())
    zero = np.zeros(len(head.basis.gene_names), np.float32)
    rows = rows_of("the neutral head", head, zero, views, detectors)
    if asked.run is not None:
        import datamask

        run = datamask.open(asked.run)
        mask, basis = run.elites[0], run.spec["mask"]["basis"]
        rows += rows_of(f"{mask.id} of {basis}", Eye(basis, ()), mask.genome, views, detectors)
    colors = {name: {"srgb": list(m.srgb), "source": m.source} for name, m in MATERIALS.items()}
    result = {"note": NOTE, "seed": SEED, "exposure": 1.0, "materials": colors, "rows": rows}
    asked.out.write_text(json.dumps(result, indent=1) + "\n")
    console = Console()
    show(rows, console)
    console.print(NOTE, soft_wrap=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
