"""``datamask figures``: a run's figures for a paper."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from datamask.charts import figures as write_figures


class FormatName(StrEnum):
    """What figures are written as."""

    svg = "svg"
    pdf = "pdf"
    png = "png"


FormatOption = Annotated[
    list[FormatName] | None, typer.Option("--format", help="Repeat for several.", show_default="svg and pdf")
]


def formats_of(chosen: list[FormatName] | None) -> list[FormatName]:
    """The formats that were asked for, or the usual ones."""
    return chosen or [FormatName.svg, FormatName.pdf]


def figures(
    run: Annotated[
        str, typer.Argument(help="Path or URL of the run, as evolve printed it.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("figures"),
    format_: FormatOption = None,
) -> None:
    """Draw a run's curves, rates, matrices, gaze and archive for a paper, with their numbers as CSV.

    What the record has no numbers for is left out: rates come from datamask verify, gaze from datamask gaze.

    Example: datamask figures runs/archetype-001 --out figures --format pdf
    """
    for path in write_figures(run, out, [kind.value for kind in formats_of(format_)]):
        print(path)
