"""Do they print? Elites of heads and of blanks as solids, through admesh and PrusaSlicer.

    python -m bench.print_proof heads     every elite of five seeds of examples/archetype.toml
    python -m bench.print_proof blanks    the elites of ten seeds of the noise proof (examples/noise.toml)

Needs admesh and prusa-slicer (Debian: apt-get install admesh prusa-slicer). The runs are those of ``make
evidence``, which the heads' are evolved by where they are not there; masks that have been through are taken
as they are, so that the command can be interrupted. Writes docs/print-proof.json, or
docs/print-proof-blanks.json, and the table between its marks in docs/printing.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import marks
from bench.memory import measure

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "printing.md"
BED = "0x0,400x0,400x400,0x400"  # large enough for every solid: the mesh is on trial, not the machine
REPAIRS = (
    "Degenerate facets",
    "Edges fixed",
    "Facets removed",
    "Facets added",
    "Facets reversed",
    "Backwards edges",
)
# Of the slicer's own walls, where it turns the way that one is printed; nothing about the mesh.
NOT_THE_MESH = ("Reversing even wall line",)
COMPLAINTS = ("warning", "error", "repair", "open edges", "manifold", "self-intersect")


@dataclass(frozen=True)
class Proof:
    """Whose elites are printed, and where what came of them is written.

    store, run: where the runs are, and the name of a seed's. seeds: which. spec: what makes those that are
    not there; None: another command. best: so many of a run's elites, None for all. result: the file; what
    stands in the page is between two marks.
    """

    store: Path
    run: str
    seeds: tuple[int, ...]
    spec: Path | None
    best: int | None
    result: Path
    FIRST_MARK: str
    LAST_MARK: str


PROOFS = {
    "heads": Proof(
        ROOT / "runs" / "evidence",
        "archetype",
        tuple(range(1, 6)),
        ROOT / "examples" / "archetype.toml",
        None,
        ROOT / "docs" / "print-proof.json",
        "<!-- proof -->",
        "<!-- end of proof -->",
    ),
    "blanks": Proof(
        ROOT / "runs" / "noise-proof" / "runs",
        "noise",
        tuple(range(101, 111)),
        None,
        1,
        ROOT / "docs" / "print-proof-blanks.json",
        "<!-- proof of blanks -->",
        "<!-- end of proof of blanks -->",
    ),
}

console = Console(stderr=True)


def main() -> None:
    """Run the proof; exit code 1 if any solid fails it."""
    parser = argparse.ArgumentParser(
        "python -m bench.print_proof",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("whose", nargs="?", choices=PROOFS, default="heads", help="(default: %(default)s)")
    parser.add_argument("--store", type=Path, help="where the runs are (default: where their proof has them)")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "print-proof", help="for the solids")
    parser.add_argument("--seeds", type=int, nargs="*", help="of the runs (default: the proof's)")
    parser.add_argument("--mounts", nargs="*", default=["wear"])
    parser.add_argument("--jobs", type=int, default=2, help="solids side by side, 1.7 GB each (default 2)")
    wanted = parser.parse_args()
    whose = PROOFS[wanted.whose]
    for tool in ("admesh", "prusa-slicer"):
        if shutil.which(tool) is None:
            raise SystemExit(f"{tool} is missing: apt-get install {tool}")
    work = []
    for seed in wanted.seeds or whose.seeds:
        run = evolved(whose, wanted.store or whose.store, seed)
        work += [(run, mask, mount) for mask in elites(run)[: whose.best] for mount in wanted.mounts]
    rows = []
    with ThreadPoolExecutor(wanted.jobs) as pool:
        for row in pool.map(lambda job: proof(job[0], job[1], job[2], wanted.out), work):
            rows.append(row)
            console.print(row, highlight=False)
    command = f"python -m bench.print_proof {wanted.whose}"
    result = {"command": command, "masks": rows, "summary": summary(rows)}
    whose.result.write_text(json.dumps(result, indent=1) + "\n")
    marks.write_between(PAGE, whose.FIRST_MARK, whose.LAST_MARK, table(rows) + "\n")
    console.print(result["summary"])
    if not all(row["passed"] for row in rows):
        raise SystemExit(1)


def evolved(whose: Proof, store: Path, seed: int) -> Path:
    """The run of one seed; with a spec it is evolved if it is not there, gone on with if not at its end."""
    from coordinator.record.record import Record
    from services.storage.open import open_store

    run = store / f"{whose.run}-{seed}"
    if whose.spec is None:
        if not (run / "HEAD").exists():
            raise SystemExit(f"{run}: there is no run; `python -m bench.noise_proof search` makes it")
        return run
    if (run / "HEAD").exists() and Record(open_store(run)).head().done:
        return run
    command = [sys.executable, "-m", "coordinator.cli", "evolve", str(whose.spec)]
    command += ["--store", str(store), "--run", run.name, "--seed", str(seed), "--resume", "--quiet"]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return run


def elites(run: Path) -> list[str]:
    """Ids of a run's elites, the best first."""
    from coordinator.cli.show import read_run
    from coordinator.record.record import Record
    from services.storage.open import open_store

    return [str(entry["id"]) for entry in read_run(Record(open_store(run)))["elites"]]


def proof(run: Path, mask: str, mount: str, out: Path) -> dict[str, Any]:
    """Print one mask in a process of its own and hand the files to the other programs."""
    folder = out / run.name / mount
    files = folder / mask
    done = files / "proof.json"
    if done.exists():
        return dict(json.loads(done.read_text()))
    command = [sys.executable, "-m", "coordinator.cli", "print", str(run), "--mask", mask, "--mount", mount]
    command += ["--out", str(folder), "--force", "--bed-mm", "400x400x400", "--json"]
    usage = measure(command, ROOT)
    if usage.exit_code:
        raise SystemExit(f"exit code {usage.exit_code} of {' '.join(command)}")
    report = json.loads((files / f"{mask}.print.json").read_text())
    repairs = admesh(files / f"{mask}.stl")
    complaints = {kind: sliced(files / f"{mask}.{kind}") for kind in ("stl", "3mf")}
    agreed = [h and m for h, m in zip(*report["before"]["views"].values(), strict=True)]
    still = [h and m for h, m in zip(*report["after"]["views"].values(), strict=True)]
    kept = sum(a and s for a, s in zip(agreed, still, strict=True))
    row = {
        "run": run.name,
        "mask": mask,
        "mount": mount,
        "seconds": round(usage.seconds, 1),
        "peak_mb": round(usage.peak_mb),
        "size_mm": report["size_mm"],
        "triangles": report["triangles"],
        "volume_cm3": report["volume_cm3"],
        "wall_mm": report["thickness"]["least_mm"],
        "deviation_mm": report["from_evolved_surface_mm"]["max_mm"],
        "files_mb": {
            kind: round((files / f"{mask}.{kind}").stat().st_size / 1e6, 1) for kind in ("stl", "3mf")
        },
        "checks_failed": [line["name"] for line in report["checks"] if line["passed"] is False],
        "admesh_repairs": repairs,
        "slicer_complaints": complaints,
        "width_off_mm": round(max(0.0, report["size_mm"][0] - 180.0, report["size_mm"][1] - 260.0), 3),
        "seen": {
            machine: [sum(report[when]["views"][machine]) for when in ("before", "after")]
            for machine in report["before"]["views"]
        },
        "views": len(agreed),
        "views_accepted_before": sum(agreed),
        "views_still_accepted": kept,
        "not_made": report["not_made"],
    }
    row["passed"] = (
        not row["checks_failed"]
        and not any(repairs.values())
        and not any(complaints.values())
        and min(abs(report["size_mm"][0] - 180.0), abs(report["size_mm"][1] - 260.0)) <= 0.2
        and row["width_off_mm"] <= 0.2
    )
    done.write_text(json.dumps(row, indent=1))
    return row


def admesh(path: Path) -> dict[str, int]:
    """What admesh would have repaired, by name."""
    done = subprocess.run(["admesh", str(path)], capture_output=True, check=True)
    said = done.stdout.decode("utf-8", errors="replace")  # it prints the header, and bytes that lie behind it
    found = {}
    for line in said.splitlines():
        for name in REPAIRS:
            if name in line:
                found[name] = int(line.split(name)[1].split(":")[1].split()[0])
    if len(found) != len(REPAIRS):
        raise SystemExit(f"admesh said something else than expected of {path}:\n{said}")
    return found


def sliced(path: Path) -> list[str]:
    """Slice a file; the lines in which PrusaSlicer complains."""
    target = path.with_suffix(f"{path.suffix}.gcode")
    command = [
        "prusa-slicer",
        "--export-gcode",
        "--loglevel",
        "2",
        "--bed-shape",
        BED,
        "--max-print-height",
        "500",
    ]
    command += ["--layer-height", "0.3", "--output", str(target), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    lines = [line for line in lines if not any(words in line for words in NOT_THE_MESH)]
    complaints = [line for line in lines if any(word in line.lower() for word in COMPLAINTS)]
    if done.returncode or not target.exists():
        complaints.append(f"exit code {done.returncode}")
    target.unlink(missing_ok=True)
    return complaints


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures that the proof is about."""
    # A solid is still accepted if nine in ten of its mask's accepted views are left to it.
    held = [r["views_still_accepted"] >= 0.9 * r["views_accepted_before"] for r in rows]
    every = [r["views_still_accepted"] == r["views_accepted_before"] for r in rows]
    return {
        "solids": len(rows),
        "masks": len({(r["run"], r["mask"]) for r in rows}),
        "passed": sum(r["passed"] for r in rows),
        "still_accepted_in_nine_of_ten_views": sum(held) / len(rows),
        "still_accepted_in_every_view": sum(every) / len(rows),
        "views_still_accepted": sum(r["views_still_accepted"] for r in rows)
        / max(1, sum(r["views_accepted_before"] for r in rows)),
        "largest_mb": max(r["peak_mb"] for r in rows),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown. Rows that say what each machine saw get a column of each, before and after."""
    machines = list(rows[0].get("seen", ()))
    head = ["run", "mask", "mount", "seconds", "size mm", "faces", "least wall mm", "off surface mm"]
    head += [f"{name}, mask to solid" for name in machines] + ["views kept", "passed"]
    lines = marks.head(*head)
    for r in rows:
        cells = [r["run"], r["mask"], r["mount"], r["seconds"]]
        cells += [" x ".join(f"{side:.1f}" for side in r["size_mm"])]
        cells += [r["triangles"], r["wall_mm"], r["deviation_mm"]]
        cells += ["{} to {}".format(*r["seen"][name]) for name in machines]
        cells += [f"{r['views_still_accepted']} of {r['views_accepted_before']}"]
        cells += ["yes" if r["passed"] else "NO"]
        lines.append(marks.row(*cells))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
