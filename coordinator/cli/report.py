"""The last words of a run: its elites, what the machines say of them, and where to look."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from coordinator.cli.layout import print_table
from coordinator.search.evolution import Evolution
from coordinator.spec.spec import Spec
from services.recognition.fitness import Objective
from services.wire.jobs import AuditReport
from services.wire.page_plan import controls_of


def summary(
    console: Console,
    objectives: Sequence[Objective],
    evolution: Evolution,
    reports: Sequence[AuditReport],
    spec: Spec,
) -> None:
    """Print the table of elites and the paths of the pictures."""
    by_id = {report.id: report for report in reports}
    # Recognizers and filters are asked by datamask verify; the audit at a run's end asks detectors.
    critics = [c for c in spec.verify.critics if all(c in report.critics for report in reports)]
    header = ["mask", "fitness", *(objective.label for objective in objectives), "audit: HOG sees it"]
    header += [f"critic: {critic}" for critic in critics]
    header += ["audit: distance"] if spec.identity else []
    rows = []
    for mask in evolution.elites():
        report = by_id[mask.id]
        row = [mask.id, f"{mask.fitness:+.2f}", *(f"{v:+.2f}" for v in mask.values), f"{report.hog_rate:.0%}"]
        row += [f"{report.critics[critic]:.0%}" for critic in critics]
        if spec.identity:
            row.append("-" if report.distance_median is None else f"{report.distance_median:.2f}")
        rows.append(row)
    print_table(console, f"Elites of {spec.name} (seed {spec.seed})", header, rows)
    controls = controls_of(evolution.record.store)
    if controls is not None:
        print_controls(console, controls)
    seconds = time.monotonic() - evolution.started
    console.print(
        f"{evolution.scored_views} views scored in {seconds:.0f} s. "
        "Objectives: margin over the threshold, above 0 is accepted. "
        f"Audit and critics: share of {spec.verify.views} held-out views.",
        highlight=False,
    )
    for batch in evolution.set_aside:
        console.print(
            f"batch {batch} kept failing and was set aside; see failures/{batch}/ in the run", style="yellow"
        )
    page = "report.html, film.mp4, " if evolution.record.store.exists("report.html") else ""
    console.print(
        f"Look at {page}lineup.png, composite.png and masks/ in {evolution.record.url}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def print_controls(console: Console, controls: Mapping[str, Any]) -> None:
    """The best elite beside its controls: see services/recognition/statistics/controls.py."""
    subjects = controls["subjects"]
    names = {"noise": "noise", "first": "generation 0"}
    short = [names.get(kind, name) for kind, name in subjects.items()]
    main = next(iter(subjects))  # what the difference is taken to
    header = ["", "elite", *short, f"elite - {short[0]}"]
    asked = {"detect": "", "correlate": ", its reference", "match": ", "}
    rows = []
    for row in controls["rows"]:
        side = "" if row["side"] == row["machine"] else f" ({row['side']})"
        name = f"{row['machine']}{side}{asked.get(row['what'], '')}{row['threshold']}"
        cells = [shown_rate(row["elite"]), *(shown_rate(row.get(kind)) for kind in subjects)]
        rows.append([name, *cells, _shown_more(row[main]["more"]) if main in row else "-"])
    title = f"Elite against control: {controls['elite']}, shares of the same held-out views"
    print_table(console, title, header, rows)
    console.print(
        f"Controls: {'; '.join(subjects.values())}. In brackets 95% intervals over views: Wilson's for the "
        "rate of one mask, Newcombe's for a difference in points.",
        highlight=False,
        soft_wrap=True,
    )


def _shown_more(more: Mapping[str, float]) -> str:
    """``+95 (+76..+100)``, in points."""
    share, low, high = (100 * more[name] for name in ("share", "low", "high"))
    return f"{share:+.0f} ({low:+.0f}..{high:+.0f})"


def shown_rate(rate: Mapping[str, Any] | None) -> str:
    """A share with its interval: ``98% (94-99)``."""
    if rate is None:
        return "-"
    return f"{rate['share']:.0%} ({rate['low'] * 100:.0f}-{rate['high'] * 100:.0f})"
