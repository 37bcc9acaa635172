"""``datamask compare``: runs side by side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from coordinator.cli.figures import FormatOption, formats_of
from coordinator.cli.layout import print_table
from coordinator.cli.report import shown_rate
from coordinator.cli.terminal import print_json
from datamask.comparing import MOMENTS, Comparison
from datamask.comparing import compare as set_side_by_side

LONGEST = 40  # characters of a spec's value in a table


def compare(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN RUN...", help="Paths or URLs of runs.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for figures of curves and rates, with CSV.", show_default="none"),
    ] = None,
    format_: FormatOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same for machines.")] = False,
) -> None:
    """Set runs side by side: what differs in their specs, how they went, what machines say of their elites.

    Rates are of all views of all elites, with Wilson's 95% interval; the views of one mask are not
    independent. They come from datamask verify, or else from the audit at a run's end.

    Example: datamask compare runs/archetype-001 runs/archetype-002 --out figures
    """
    found = set_side_by_side(runs)
    if as_json:
        print_json(found.facts())
    else:
        _print(Console(), found)
    if out is not None:
        for path in found.figures(out, [kind.value for kind in formats_of(format_)]):
            print(path, file=sys.stderr if as_json else sys.stdout)


def _print(console: Console, found: Comparison) -> None:
    names = [told.run for told in found.runs]
    rows = [[key, *map(_shown, values)] for key, values in found.differences.items()]
    print_table(
        console, "What differs in the specs", ["key", *names], rows or [["nothing", *("" for _ in names)]]
    )
    header = ["run", "generations", "masks", *(f"best at {moment:.0%}" for moment in MOMENTS)]
    rows = [
        [t.run, f"{t.generations}" + ("" if t.done else " so far"), f"{t.masks}", *map(_signed, t.best)]
        for t in found.runs
    ]
    print_table(console, "Fitness: the best until then", header, rows)
    rows = [
        [t.run, e["id"], _signed(e["fitness"]), "yes" if e["accepted"] else "no", _values(e["values"])]
        for t in found.runs
        for e in t.elites
    ]
    header = ["run", "mask", "fitness", "accepted", "values"]
    print_table(console, "Elites, on the ranking views", header, rows, left=(0, 1), prose=(4,))
    asked = list(dict.fromkeys((r.machine, r.asked) for t in found.runs for r in t.rates))
    if asked:
        held = {(t.run, r.machine, r.asked): r for t in found.runs for r in t.rates}
        rows = [
            [machine, what, *(_rate(held.get((name, machine, what))) for name in names)]
            for machine, what in asked
        ]
        title = "Share of the elites' views, with its 95% interval"
        print_table(console, title, ["machine", "asked", *names], rows, left=(0, 1))


def _rate(rate: Any) -> str:
    return shown_rate(None if rate is None else {"share": rate.share, "low": rate.low, "high": rate.high})


def _values(values: dict[str, float]) -> str:
    return ", ".join(f"{label} {value:+.2f}" for label, value in values.items())


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def _shown(value: object) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
