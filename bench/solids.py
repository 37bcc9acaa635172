"""Is there a mask, a width, a process or a mount that no solid can be made of? Random ones of all four.

    python -m bench.solids runs/archetype-001 --count 300

A third each of masks that the runs recorded (noise without a run), of noise up to a spec's, and of noise so
strong that it folds. Every solid has to pass all checks of ``datamask print``, to be as wide as asked, and
to be one closed surface in its files, where corners are known by their places alone; admesh looks at the STL,
too, if it is installed. Nothing is rendered or scored. Only what is too large may be refused.

Solid k of a seed is always the same one: ``--only K`` makes it again. Lines that are in ``--out`` already
stand, so that the command can be interrupted. ``--page docs/printing.md`` writes the figures there.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from bench.marks import write_between
from bench.print_proof import admesh
from coordinator.record.record import Record
from services.errors import BadInput, DatamaskError
from services.printing import files
from services.printing.catalog import MOUNTS, PROCESSES, Order, make_order
from services.printing.checks import check
from services.printing.field import VOXEL_MM
from services.printing.solid import as_written
from services.printing.surface import edges_of
from services.shape.basis import load_basis
from services.shape.catalog import DEFAULT_BASIS
from services.shape.decode import Decoder
from services.storage.open import open_store
from worker.printing import COLOR_EDGE_MM, make_solid

ROOT = Path(__file__).parents[1]
KINDS = ("recorded", "noise", "folded")
FIRST_MARK, LAST_MARK = "<!-- solids -->", "<!-- end of solids -->"
SPREADS = {"noise": (0.4, 1.2), "folded": (1.5, 3.0)}  # standard deviations of the genes
WIDTHS_MM = (40.0, 200.0)
BED = "2000x2000x2000"  # the mesh is on trial, not the machine
OFF_MM = 0.2  # so much may the width be off

Genomes = NDArray[np.float32]


def main() -> None:
    """Make the solids; exit code 1 if any has a fault."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", help="paths or URLs of runs to take masks from")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--voxel-mm", type=float, default=VOXEL_MM)
    parser.add_argument("--only", type=int, help="make this one alone, and write nothing")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "runs" / "solids.jsonl", help="a line for each solid"
    )
    parser.add_argument("--page", type=Path, help="write the figures between the marks of this page")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    pool = recorded(wanted.runs)
    if wanted.only is not None:
        print(json.dumps(tried(wanted.seed, wanted.only, pool, wanted.voxel_mm), indent=1))
        return
    rows = [json.loads(line) for line in wanted.out.read_text().splitlines()] if wanted.out.exists() else []
    wanted.out.parent.mkdir(parents=True, exist_ok=True)
    done = {row["k"] for row in rows}
    with wanted.out.open("a") as out:
        for k in range(wanted.count):
            if k not in done:
                rows.append(tried(wanted.seed, k, pool, wanted.voxel_mm))
                print(json.dumps(rows[-1]), file=out, flush=True)
                print(json.dumps(rows[-1]), file=sys.stderr)
    said = summary([row for row in rows if row["k"] < wanted.count], shutil.which("admesh") is not None)
    print(said)
    if wanted.page:
        write_between(wanted.page, FIRST_MARK, LAST_MARK, said + "\n")
    if any(row["faults"] for row in rows):
        raise SystemExit(1)


def recorded(runs: Sequence[str]) -> Genomes:
    """The genomes ``(n, d)`` of every mask that the runs recorded, of the default basis."""
    genes = len(load_basis(DEFAULT_BASIS).gene_names)
    found = [np.empty((0, genes), np.float32)]
    for run in runs:
        record = Record(open_store(run))
        for key, sha256 in record.evaluations(record.head()).items():
            column = pq.read_table(io.BytesIO(record.part(key, sha256)), columns=["genome"])["genome"]
            rows = np.array(column.to_pylist(), np.float32)
            if rows.shape[1] != genes:
                raise SystemExit(f"{run}: its masks are of another basis than {DEFAULT_BASIS}; leave it out")
            found.append(rows)
    return np.concatenate(found)


def tried(
    seed: int, k: int, pool: Genomes, voxel_mm: float, widths_mm: tuple[float, float] = WIDTHS_MM
) -> dict[str, Any]:
    """Make solid k of a seed, at one of these widths; what it was and what is wrong with it."""
    rng = np.random.default_rng((seed, k))
    kind = KINDS[k % 3] if len(pool) else KINDS[1 + k % 2]
    if kind == "recorded":
        genome = pool[rng.integers(len(pool))]
    else:
        genome = np.asarray(rng.normal(0, rng.uniform(*SPREADS[kind]), pool.shape[1]), np.float32)
    process = PROCESSES[str(rng.choice(sorted(PROCESSES)))]
    # Half of them in whole centimeters, as people ask for them.
    width = float(np.exp(rng.uniform(*np.log(widths_mm))))
    width = round(width, -1) if rng.random() < 0.5 else round(width, 1)
    least = process.least_wall_mm
    wall = process.wall_mm if rng.random() < 0.7 else round(float(rng.uniform(least, 2 * least)), 1)
    order = make_order(
        process.name,
        width_mm=width,
        wall_mm=wall,
        mount=str(rng.choice(MOUNTS)),
        bed_mm=BED,
        edition="2/5" if rng.random() < 0.3 else None,
    )
    started = time.monotonic()
    try:
        faults, figures = faults_of(genome, order, voxel_mm)
    except BadInput as error:
        faults, figures = [], {"refused": str(error)}
    except DatamaskError as error:
        faults, figures = [str(error)], {}
    asked = {"process": process.name, "mount": order.mount, "width_mm": width, "wall_mm": wall}
    asked["edition"] = order.edition is not None
    took = round(time.monotonic() - started, 1)
    return {"k": k, "kind": kind, **asked, "faults": faults, **figures, "seconds": took}


def faults_of(genome: Genomes, order: Order, voxel_mm: float) -> tuple[list[str], Mapping[str, Any]]:
    """What is wrong with the solid of a genome ``(d,)``, one line each, and its figures.

    :raises DatamaskError: where there is none.
    """
    basis = load_basis(DEFAULT_BASIS)
    vertices = Decoder(basis).decode(torch.from_numpy(genome[None]))[0].numpy()
    mark = None if order.edition is None else "i00-g0000-000  2/5"
    solid = make_solid(vertices, basis, order, voxel_mm, mark)
    checks, thick = check(solid.body, order, solid.around, solid.crossing, solid.thick)
    faults = [f"{line.name}: {line.figure}" for line in checks if line.passed is False]
    bodies = [solid.body]
    if order.process.name == "color":  # a painted one has more points
        bodies.append(solid.body.refine_to_length(COLOR_EDGE_MM))
    for body in bodies:
        points, triangles = as_written(body)
        faults += faults_in_files(points - points.min(axis=0), triangles, order)
    # A rod that ties a loose part on may stand out beside it.
    off = float(np.ptp(points[:, 0])) - order.width_mm
    if abs(off) > OFF_MM and not solid.wall.mended.tied_parts:
        faults.append(f"{off:+.2f} mm wider than asked for")
    figures = {
        "triangles": solid.body.num_tri(),
        "least_wall_mm": round(thick.least_mm, 3),
        "off_surface_mm": {key: round(value, 3) for key, value in asdict(solid.wall.deviation).items()},
        "decimation_mm": round(solid.wall.simplify_mm, 3),
        "mended": {key: round(value, 2) for key, value in asdict(solid.wall.mended).items()},
        "not_made": solid.work.refused,
    }
    return faults, figures


def faults_in_files(points: NDArray[np.float64], triangles: NDArray[np.int64], order: Order) -> list[str]:
    """What a program finds that knows corners by their places: points ``(n, 3)``, triangles ``(m, 3)``."""
    _, corner = np.unique(points.astype(np.float32), axis=0, return_inverse=True)
    placed = corner.reshape(-1)[triangles]
    faults = []
    if flat := int((placed == placed[:, [1, 2, 0]]).any(axis=1).sum()):
        faults.append(f"files: {flat} faces without area")
    if odd := int((edges_of(placed)[2] != 2).sum()):
        faults.append(f"files: {odd} edges that have not two faces")
    if shutil.which("admesh"):
        part = files.Part("solid", points, triangles, order.process.color_srgb, None, {})
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "solid.stl"
            path.write_bytes(files.stl(part))
            faults += [f"admesh: {name}: {count}" for name, count in admesh(path).items() if count]
    return faults


def summary(rows: Sequence[Mapping[str, Any]], with_admesh: bool) -> str:
    """The figures in a sentence or two."""
    made = [row for row in rows if "refused" not in row]
    bad = [row for row in made if row["faults"]]
    kinds = ", ".join(
        f"{count} {kind}" for kind, count in sorted(Counter(row["kind"] for row in made).items())
    )
    off = [row["off_surface_mm"]["p99_mm"] for row in made if "off_surface_mm" in row]
    return (
        f"{len(made)} solids ({kinds}), {min(row['width_mm'] for row in made):g} to "
        f"{max(row['width_mm'] for row in made):g} mm wide: {len(bad)} with a fault"
        f"{'' if with_admesh else ' (without admesh)'}, {len(rows) - len(made)} more refused as too large. "
        f"In 99 of 100 places an outer face lies within {np.median(off):.2f} mm of the evolved surface (the "
        f"solids' median; {max(off):.2f} mm for the worst)."
    )


if __name__ == "__main__":
    main()
