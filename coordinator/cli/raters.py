"""``datamask raters``: what many people answered to a test by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from coordinator.cli.layout import print_table
from coordinator.cli.terminal import print_json
from coordinator.record.raters import KINDS, counted, gathered

SHORT = {"elite": "elites", "twin": "twins", "head": "heads", "neutral": "basis", "first": "first"}


def raters(
    answers: Annotated[
        list[Path], typer.Argument(metavar="ANSWERS...", help="Files of answers, one a rater: CSV or JSON.")
    ],
    key: Annotated[
        str,
        typer.Option(
            help="Which picture shows what: the run that the test is of, or the test's key.json.",
            show_default=False,
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for machines.")] = False,
) -> None:
    """Count what people answered to a test that `datamask verify RUN --manual DIR` wrote.

    Hit and false alarm rates, d' with intervals over raters and masks, and whether people put eyes in one
    place, for elites, their sign-scrambled twins, noise and heads. Of fewer than twenty raters nothing is
    claimed. See docs/people.md.

    Example: datamask raters answers-*.csv --key runs/noise-001
    """
    found, told, left_out = gathered(answers, key)
    result = {**counted(found, told), "left_out": left_out}
    if as_json:
        print_json(result)
        return
    console = Console()
    _print_rates(console, result)
    _print_apart(console, result)
    _print_eyes(console, result)
    for line in left_out:
        console.print(f"left out: {line}", style="yellow", soft_wrap=True, markup=False, highlight=False)
    for line in result["says"]:
        console.print(line, style="bold", soft_wrap=True, markup=False, highlight=False)
    console.print(result["note"], soft_wrap=True, markup=False, highlight=False)


def _print_rates(console: Console, result: Mapping[str, Any]) -> None:
    rows = [
        [
            _short(kind),
            KINDS.get(kind, ""),
            str(row["masks"]),
            str(row["pictures"]),
            _interval(row["face"], "{:.0%}"),
        ]
        for kind, row in result["kinds"].items()
    ]
    title = f"Test {result['test']}, {result['raters']} raters: a face in so many of the pictures"
    header = ["", "what", "masks", "pictures", "a face"]
    print_table(console, title, header, rows, left=(0, 1), prose=(1,))


def _print_apart(console: Console, result: Mapping[str, Any]) -> None:
    rows = [
        [
            f"{_short(row['signal'])} from {_short(row['control'])}",
            _interval(row["d_prime"], "{:+.2f}"),
            _interval(row["bias"], "{:+.2f}"),
        ]
        for row in result["against"]
    ]
    print_table(console, "Told apart", ["", "d'", "criterion c"], rows)


def _print_eyes(console: Console, result: Mapping[str, Any]) -> None:
    rows = [
        [
            _short(kind),
            ", ".join(str(row[count]) for count in ("two", "one", "none")),
            str(row["pictures"]),
            _interval(row["same"], "{:.1%}"),
            _interval(row["other"], "{:.1%}"),
        ]
        for kind, row in result["eyes"].items()
    ]
    title = "Eyes: how far from where others put them, of the picture's width"
    header = ["", "two, one, no eyes", "pictures", "same picture", "another mask's"]
    print_table(console, title, header, rows)


def _short(kind: str) -> str:
    return SHORT.get(kind, kind)


def _interval(interval: Mapping[str, Any], form: str) -> str:
    if interval["value"] is None:
        return "-"
    value, low, high = (
        "?" if interval[part] is None else form.format(interval[part]) for part in ("value", "low", "high")
    )
    return f"{value} ({low} to {high})"
