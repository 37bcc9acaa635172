"""The masks of ``examples/archetype.toml`` and ``make portrait`` before every machine that is here.

Verifies finished runs (or evolves them first, under runs/verification), with every installed critic that took
no part, and writes the tables between the marks of docs/evidence.md.

    python -m bench.verification
    python -m bench.verification --archetype runs/archetype-001 --portrait runs/portrait-001
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.evidence import PAGE, ROOT, evolve
from bench.marks import write_between
from coordinator.cli.progress import plain_steps
from coordinator.cli.verify import gap_lines
from coordinator.record.record import Record
from coordinator.record.verification import claim_of, open_verified
from coordinator.run import photo_path
from services.recognition import catalog
from services.storage import open_store

FIRST_MARK, LAST_MARK = "<!-- verification -->", "<!-- end of verification -->"
STORE = ROOT / "runs" / "verification"
PORTRAIT = "skimage:astronaut"  # what examples/portrait.toml is about

console = Console(stderr=True)


def every_critic(fitted: Sequence[str]) -> list[str]:
    """Installed machines that may be critics and are no objective of the run."""
    used = {catalog.model_info(name).sha256 for name in fitted}
    return [
        info.name
        for info in (*catalog.models(), *catalog.found())
        if "critic" in info.roles
        and info.kind in ("detect", "recognize", "correlate")
        and catalog.installed(info)
        and info.sha256 not in used
    ]


def verified(run: str, views: int, gallery: int) -> dict[str, Any]:
    """What ``datamask verify`` says of a run with every critic that is here."""
    from worker.examination.verify import verify

    opened = open_verified(Record(open_store(run)))
    fitted = [o.model for o in opened.spec.objective]
    faces = [photo_path(PORTRAIT)] if opened.spec.identity else []
    claim = claim_of(opened, every_critic(fitted), targets=faces)
    with plain_steps(console) as steps:
        return verify(opened.record.store, claim, views, gallery, progress=steps)


def page(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown of all runs: first the gap, then who sees a face, then who is matched."""
    lines: list[str] = []
    for name, said in found.items():
        lines += [f"### {name}", "", *(f"**{line}**" for line in gap_lines(said)), ""]
        lines += [
            f"A face in {said['views']} held-out views (share, Wilson's 95% interval):",
            "",
            *_table(said, "detect"),
            "",
        ]
        if any(row["what"] == "correlate" for row in said["rows"]):
            lines += ["Like the reference of a correlation filter (share of views in which it answers):", ""]
            lines += [*_table(said, "correlate"), ""]
        asked = "the person" if said["question"] == "target" else "another view of itself"
        lines += [f"Taken for {asked} (simulated match rate; thresholds in brackets):", ""]
        lines += [*_table(said, "match"), ""]
        for warning in said["warnings"]:
            lines += [f"Note: {warning}.", ""]
    return "\n".join(lines)


def _table(said: Mapping[str, Any], what: str) -> list[str]:
    rows = [r for r in said["rows"] if r["what"] == what]
    columns: dict[str, Mapping[str, Mapping[str, Any]]] = {}
    for row in rows:
        side = row["machine"] if row["machine"] == row["side"] else f"{row['machine']}, {row['side']}"
        if what != "match":
            columns.setdefault(side, {})[row["subject"]] = row["rate"]  # type: ignore[index]
        else:
            # The loosest calibrated rate and the published threshold; verify.json has the others.
            loosest = [m for m in row["matches"] if m["far"] is not None][:1]
            for match in [*loosest, *(m for m in row["matches"] if m["far"] is None)]:
                name = f"{side}: {match['name']} ({match['threshold']:.3f})"
                columns.setdefault(name, {})[row["subject"]] = match["rate"]  # type: ignore[index]
    subjects = dict.fromkeys(r["subject"] for r in rows)
    lines = ["| |" + "|".join(f" {name} " for name in columns) + "|", "|---|" + "---|" * len(columns)]
    for subject in subjects:
        cells = " | ".join(_cell(rates.get(subject)) for rates in columns.values())
        lines.append(f"| {subject} | {cells} |")
    return lines


def _cell(rate: Mapping[str, Any] | None) -> str:
    if rate is None:
        return "-"
    return f"{rate['share']:.0%} ({rate['low']:.0%} to {rate['high']:.0%})"


def write_page(page: Path, text: str) -> None:
    """Put the tables between the marks of docs/evidence.md."""
    write_between(page, FIRST_MARK, LAST_MARK, text)


def main() -> None:
    """Parse the command line, verify, write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--archetype", help="a finished run of examples/archetype.toml (default: evolve it)")
    parser.add_argument("--portrait", help="a finished run of examples/portrait.toml (default: evolve it)")
    parser.add_argument("--only", choices=("archetype", "portrait"), help="leave the other one out")
    parser.add_argument("--views", type=int, default=100, help="held-out views of each subject (default 100)")
    parser.add_argument("--gallery", type=int, default=1000, help="people to search among (default 1000)")
    options = parser.parse_args()
    found = {}
    for name in ("archetype", "portrait"):
        if options.only not in (None, name):
            continue
        run = getattr(options, name)
        if run is None:
            evolve(f"{name}.toml", name, STORE, [])
            run = str(STORE / name)
        found[f"Verified: {name}"] = verified(run, options.views, options.gallery)
    text = page(found)
    write_page(PAGE, text)
    print(text)


if __name__ == "__main__":
    main()
