"""``python -m bench.noise_proof``: run the cells that are missing, then write the tables.

Ctrl-C loses the cells under work and no other; a search goes on at its last checkpoint. The same command goes
on where it stopped, and cells that are done are never made anew: each test seed is run once. Parts may be run
on several machines (`--seeds`), and their folders put together.

    python -m bench.noise_proof --estimate
    python -m bench.noise_proof
    python -m bench.noise_proof search verify --seeds 101 102
    python -m bench.noise_proof --quick
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.evidence import ROOT
from bench.marks import write_between
from bench.noise_proof.findings import Findings
from bench.noise_proof.settings import PROOF, QUICK, SPEC, Settings
from bench.noise_proof.stages import STAGES
from bench.noise_proof.tables import page
from bench.outcome import circumstances
from bench.running import add_options, ended, estimate, run, work_of

PAGE = ROOT / "docs" / "evidence-noise.md"
DATA = ROOT / "docs" / "evidence-noise"
FIRST_MARK, LAST_MARK = "<!-- noise proof -->", "<!-- end of noise proof -->"

console = Console(stderr=True)


def report(settings: Settings, folder: Path, document: Path | None, data: Path | None) -> str:
    """Write findings and raw scores, and the tables between the marks of a page; the tables."""
    findings = Findings(settings, folder)
    found = findings.all()
    text = page(settings, found)
    if data is not None:
        data.mkdir(parents=True, exist_ok=True)
        whole = {**found, "fixed": settings.table(), "written": circumstances(), "commit": commit()}
        (data / "findings.json").write_text(json.dumps(whole, indent=1) + "\n")
        for name, rows in (("scores", findings.views()), ("elites", findings.genomes())):
            with (data / f"{name}.csv").open("w", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(rows)
    if document is not None:
        write_between(document, FIRST_MARK, LAST_MARK, text)
    return text


def commit() -> str | None:
    """The commit that this is, None where there is no git."""
    return _git("rev-parse", "HEAD")


def changed() -> bool:
    """Whether what was fixed is not what was committed."""
    return bool(_git("status", "--porcelain", "--", str(Path(__file__).parent), str(SPEC)))


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m bench.noise_proof",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stages", nargs="*", help=f"some of {', '.join(STAGES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="tiny budgets on tuning seeds: does it work?")
    parser.add_argument("--seeds", type=int, nargs="+", help="of the settings' seeds only these")
    add_options(parser, "runs/noise-proof")
    parser.add_argument("--tables", action="store_true", help="run nothing, write tables of what is there")
    parser.add_argument("--page", type=Path, help="write the tables between the marks of this page")
    parser.add_argument("--data", type=Path, help="write findings and raw scores into this folder")
    options = parser.parse_args(argv)
    if unknown := set(options.stages) - set(STAGES):
        parser.error(f"{', '.join(sorted(unknown))}: expected some of {', '.join(STAGES)}")
    settings = QUICK if options.quick else PROOF
    if outside := set(options.seeds or ()) - set(settings.seeds):
        known = f"{settings.seeds[0]} to {settings.seeds[-1]}"
        parser.error(f"--seeds {' '.join(map(str, sorted(outside)))}: expected seeds from {known}")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Run, write, print. Exit code 1 where something is wrong, 130 after Ctrl-C."""
    options = _arguments(argv)
    settings = QUICK if options.quick else PROOF
    folder = options.store or ROOT / "runs" / settings.name
    work = work_of(
        list(STAGES.values()),
        settings,
        folder,
        options.stages or list(STAGES),
        options.seeds or settings.seeds,
    )
    document, data = options.page, options.data
    if settings is PROOF:
        document, data = document or PAGE, data or DATA
    if settings is PROOF and work and not (options.estimate or options.tables) and changed():
        console.print(
            "bench/noise_proof or examples/noise.toml has changes that are not committed: commit "
            "what is asked before a test seed is run (--quick tries it out)",
            style="red",
        )
        return 1

    def run_and_report() -> None:
        if options.estimate:
            print("\n".join(estimate(folder, work, options.jobs)))
            return
        if not options.tables:
            run(settings, folder, work, options.jobs, console)
        print(report(settings, folder, document, data))

    return ended(console, run_and_report)


if __name__ == "__main__":
    sys.exit(main())
