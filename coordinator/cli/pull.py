"""``datamask pull``: take a run home."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from coordinator.record.pull import THREADS, Pulled, Selection
from coordinator.record.pull import pull as copy_run
from services.storage.local import LocalStore
from services.storage.open import open_store
from services.storage.place import check_folder


def pull(
    run: Annotated[
        str, typer.Argument(help="Path or URL of the run, as evolve printed it.", show_default=False)
    ],
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Folder to copy into; made if need be.", show_default=False),
    ],
    only: Annotated[
        list[str] | None,
        typer.Option(help="Parts to copy, by their names in the run, e.g. masks,evaluations. Default: all."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, max=16, help="Objects to copy at the same time.")] = THREADS,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress, only the folder at the end.")
    ] = False,
) -> None:
    """Copy a RUN, or parts of it, from its store to the folder DIR.

    The copy is the same tree, which show, mesh and evolve --resume take as well. Sizes and hashes are
    checked. Give the same command again to go on after an interruption or to bring a copy up to date; what is
    there and right is not fetched again. A run that is still at work is copied as of its newest checkpoint,
    without the batches and scores in flight; name those with --only.

    Example: datamask pull s3://masks/portrait-001 portrait --only masks,evaluations,report.html
    """
    console = Console(stderr=True, quiet=quiet)
    parts = [name for words in only or () for name in words.replace(",", " ").split()]
    target = LocalStore(check_folder(folder, "DIR").expanduser())
    bar = Progress(
        TextColumn("[bold]copying"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn("· left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    )
    task = bar.add_task("", total=None)
    try:
        with bar:

            def planned(plan: Selection) -> None:
                bar.reset(task, total=plan.size)

            pulled = copy_run(
                open_store(run), target, parts, planned, lambda count: bar.advance(task, count), threads
            )
    except KeyboardInterrupt:
        words = [w for name in parts for w in ("--only", name)]
        command = shlex.join(["datamask", "pull", run, str(folder), *words])
        console.print(
            f"\ninterrupted; what was copied stays. Go on with:\n  {command}",
            style="yellow",
            soft_wrap=True,
            markup=False,
        )
        raise typer.Exit(130) from None
    console.print(_words(pulled), highlight=False)
    print(target.root)


def _words(pulled: Pulled) -> str:
    size = decimal(pulled.fetched_bytes)
    gone = f", {pulled.gone} went while the run was copied" if pulled.gone else ""
    return f"{pulled.fetched} files copied ({size}), {pulled.held} were there already{gone}"
