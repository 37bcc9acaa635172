"""Which waves, and how high, find faces soonest: ``python -m bench.blanks``, on tuning seeds 11 to 15.

Each contender is the oval blank with other modes or another relief, put beside the shipped one, and searched
as ``examples/noise.toml`` says, on one island. Views until HOG and MMOD both see its best mask in half and in
nine tenths of 40 held-out views, and how face-like it is at the end to machines that took no part. Noise of
the same relief stands beside it: where that is taken for a face, a find proves nothing.

Cells are kept in a folder; the same command goes on with those that are missing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench import marks
from bench.evidence import ROOT
from bench.outcome import write
from bench.search.cell import accepted_after
from bench.search.datamask import islands
from bench.search.problem import BudgetSpent, Problem
from coordinator.record.record import Record
from coordinator.run import open_run
from coordinator.spec.spec_file import load_spec
from services.recognition import catalog
from services.rendering.views import sample_views
from services.shape.basis_file import pack
from services.shape.builders import blank
from services.shape.catalog import BASES, BasisFile, facts_of
from services.storage import open_store
from worker.eye import Eye

SEEDS = (11, 12, 13, 14, 15)
CRITICS = ("yunet", "centerface", "blazeface-full", "mtcnn")
JUDGES = ("dlib-hog", "dlib-mmod")
BUDGET = 6_000
NOISE_MASKS, NOISE_VIEWS = 40, 3
SHELL = blank.BLANKS[0]
CONTENDERS = {
    f"{modes}, {mm} mm": (modes, mm / 1000)
    for modes, mms in (("harmonics", (8, 12, 15, 18, 26)), ("cosines", (15,)))
    for mm in mms
}


def installed(contender: str, folder: Path) -> str:
    """The id of a contender's basis, its file made and its hash noted in this process."""
    modes, relief_m = CONTENDERS[contender]
    name = f"blank-trial-{modes}-{relief_m * 1000:.0f}"
    if name not in BASES:
        data = pack(blank.build(replace(SHELL, id=name), relief_m, blank.MODES[modes]))
        (folder / f"{name}.npz").write_bytes(data)
        BASES[name] = BasisFile(hashlib.sha256(data).hexdigest(), folder)
    return name


def seen(basis: str, genomes: np.ndarray[Any, Any], count: int, seed: int) -> dict[str, float]:
    """Shares of views of all masks (n, d) in which each machine sees a face."""
    spec = load_spec(ROOT / "examples" / "noise.toml")
    eye, views = Eye(basis), sample_views(spec.views.ranges(), count, seed)
    shown = [eye.every(np.asarray(genome[None], np.float32), views)[1] for genome in genomes]
    found = {}
    for name in (*JUDGES, *CRITICS):
        machine, threshold = catalog.detector(name, "cpu"), catalog.model_info(name).threshold
        answers = [machine.score(r.images[0], r.box_px[0]).score > threshold for r in shown]
        found[name] = float(np.mean([a.float().mean().item() for a in answers]))
    return found


def run_cell(contender: str, seed: int, budget: int) -> dict[str, Any]:
    """One contender on one seed."""
    with tempfile.TemporaryDirectory(prefix="datamask-blanks-") as text:
        folder = Path(text)
        basis = installed(contender, folder)
        spec = load_spec(
            ROOT / "examples" / "noise.toml",
            seed=seed,
            overrides=[f'mask.basis="{basis}"', "search.islands=1", "search.generations=1000"],
        )
        opened = open_run(spec, Record(open_store(folder).sub("run")), resume=False)
        problem = Problem(opened, {}, budget)
        with suppress(BudgetSpent):
            islands()(problem)
        noise = np.random.default_rng(seed).normal(
            0, facts_of(basis).spread, (NOISE_MASKS, problem.dimension)
        )
        assert problem.incumbent is not None
        best = problem.incumbent[1]
        found = {
            "contender": contender,
            "seed": seed,
            "budget": budget,
            "half": accepted_after(problem, 0.5),
            "nine_tenths": accepted_after(problem, 0.9),
            "elite": seen(basis, best[None], 60, 1_000 + seed),
            "noise": seen(basis, noise, NOISE_VIEWS, 2_000 + seed),
        }
        del BASES[basis]
    return found


def table(cells: list[dict[str, Any]]) -> str:
    """The cells as a Markdown table, a row a contender."""
    machines = (*JUDGES, *CRITICS)
    lines = marks.head("modes, relief", "views to half", "to 90%", *machines, f"noise: {', '.join(JUDGES)}")
    for contender in CONTENDERS:
        own = [cell for cell in cells if cell["contender"] == contender]
        if not own:
            continue
        after = [", ".join(str(cell[key] or "-") for cell in own) for key in ("half", "nine_tenths")]
        rates = [f"{100 * np.median([c['elite'][m] for c in own]):.0f}%" for m in machines]
        noise = ", ".join(f"{100 * np.mean([c['noise'][m] for c in own]):.1f}%" for m in JUDGES)
        lines.append(marks.row(contender, *after, *rates, noise))
    return "\n".join(lines)


def main() -> int:
    """Run the cells that are missing, print the table."""
    parser = argparse.ArgumentParser("python -m bench.blanks", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--contenders", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument(
        "--budget", type=int, default=BUDGET, help="scored views a cell (default: %(default)s)"
    )
    parser.add_argument("--cells", type=Path, default=ROOT / "runs" / "blanks", help="folder of the cells")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "blanks.json")
    options = parser.parse_args()
    options.cells.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        for contender in options.contenders:
            path = (
                options.cells
                / f"{contender.replace(', ', '-').replace(' ', '')}-{seed}-{options.budget}.json"
            )
            if not path.exists():
                write(run_cell(contender, seed, options.budget), path)
                print(path.name, flush=True)
    cells = [json.loads(path.read_text()) for path in sorted(options.cells.glob(f"*-{options.budget}.json"))]
    write({"cells": cells}, options.out)
    print(table(cells))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
