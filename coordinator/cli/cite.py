"""``datamask cite``: how to cite a run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from coordinator.cli.terminal import print_json
from datamask.citing import cite as citation_of


def cite(
    run: Annotated[
        str, typer.Argument(help="Path or URL of the run, as evolve printed it.", show_default=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="The same for machines.")] = False,
) -> None:
    """Print how to cite a run: BibTeX with version and commit, the hash of its spec, and its seed."""
    found = citation_of(run)
    if as_json:
        print_json(asdict(found))
    else:
        print(found.bibtex(), end="")
