"""The run of ``make evolve`` beside its controls: the first table that people read.

    make evolve
    python -m bench.first_run runs/noise-001

Reads the audit of a finished run, writes docs/make-evolve.json, and the tables between the marks of README.md
(three machines) and docs/evidence.md (all of them). Scores nothing.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.evidence import PAGE as EVIDENCE
from bench.evidence import ROOT
from bench.marks import write_between
from coordinator.record.record import Record
from services.storage import open_store

README = ROOT / "README.md"
OUT = ROOT / "docs" / "make-evolve.json"
FIRST_MARK, LAST_MARK = "<!-- make evolve -->", "<!-- end of make evolve -->"
KINDS = ("elite", "noise", "first", "neutral")
# What the run's machines are called in a table. The audit is dlib's own code, with the weights bred for.
TITLES = {
    "audit": "dlib HOG (bred for; dlib's own code)",
    "dlib-mmod": "dlib MMOD (bred for)",
    "yunet": "YuNet, threshold 0.9 (not bred for)",
    "centerface": "CenterFace (not bred for)",
    "blazeface-full": "BlazeFace, full range (not bred for)",
    "viola-jones": "Viola-Jones (not bred for)",
}
# One that the masks were bred for, one that was not, and one that sees faces in noise as well.
SHORT = ("audit", "yunet", "viola-jones")


def read(run: str) -> dict[str, Any]:
    """What a finished run says of its best mask and of its controls. :raises SystemExit: without controls."""
    store = Record(open_store(run)).store
    audit = json.loads(store.get("audit.json"))
    controls = audit.get("controls")
    if controls is None:
        raise SystemExit(f"{run}: its audit has no controls; take a finished run of examples/noise.toml")
    return {
        "command": "make evolve",
        "seed": tomllib.loads(store.get("run.toml").decode())["seed"],
        "views": audit["views"],
        "elite": controls["elite"],
        "masks": {
            mask["id"]: {"audit": mask["hog_rate"], **mask["judges"], **mask["critics"]}
            for mask in audit["masks"]
        },
        "machines": {
            row["machine"]: {
                kind: {key: row[kind][key] for key in ("share", "low", "high")}
                for kind in KINDS
                if kind in row
            }
            for row in controls["rows"]
            if row["what"] == "detect" and not row["threshold"]
        },
    }


def table(found: Mapping[str, Any], machines: Sequence[str]) -> str:
    """Rows of machines, columns of masks, as Markdown."""
    lines = [
        "| | best mask | noise | best of generation 0 | the blank |",
        "|---|---|---|---|---|",
    ]
    for name in machines:
        cells = [_cell(found["machines"][name][kind], whole=kind in ("elite", "noise")) for kind in KINDS]
        lines.append(f"| {TITLES[name]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(rate: Mapping[str, float], whole: bool) -> str:
    interval = f" ({100 * rate['low']:.0f} to {100 * rate['high']:.0f})" if whole else ""
    return f"{rate['share']:.0%}{interval}"


def main() -> None:
    """Parse the command line, read, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", nargs="?", default=str(ROOT / "runs" / "noise-001"), help="a finished run")
    found = read(parser.parse_args().run)
    OUT.write_text(json.dumps(found, indent=1) + "\n")
    write_tables(found, README, EVIDENCE)


def write_tables(found: Mapping[str, Any], readme: Path, evidence: Path) -> None:
    """Put the tables between the marks of both pages."""
    write_between(readme, FIRST_MARK, LAST_MARK, table(found, SHORT))
    write_between(evidence, FIRST_MARK, LAST_MARK, table(found, list(TITLES)))


if __name__ == "__main__":
    main()
