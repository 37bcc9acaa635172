"""``datamask watch``: the report page of a run while it grows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from coordinator.record.record import Record
from services.secret_file import read_secret
from services.storage.open import open_store


def watch(
    run: Annotated[
        str, typer.Argument(help="Path or URL of the run, as evolve printed it.", show_default=False)
    ],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8300,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            envvar="DATAMASK_WATCH_TOKEN",
            help="Word that a visitor must bring; needed beyond loopback. DATAMASK_WATCH_TOKEN_FILE may name "
            "a file that holds it.",
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Listen also before there is a run, and show it once it begins.")
    ] = False,
    refusal: Annotated[
        Path | None,
        typer.Option(
            envvar="DATAMASK_REFUSAL",
            help="File that says why the coordinator refuses the run, where it does; the page shows it.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Serve the report page from a run's record while it grows, until stopped. It only reads.

    On 127.0.0.1 anybody on this machine may look. On any other --host a --token is required, and visitors
    open
    http://HOST:PORT/?token=TOKEN once. http://HOST:PORT/healthz says to anybody that the server is up.

    Example: datamask watch runs/archetype-001
    """
    from coordinator.record.page_server import serve

    word = token or read_secret("DATAMASK_WATCH_TOKEN_FILE", "the word that a visitor must bring")
    record = Record(open_store(run))
    if not wait:
        record.spec_table()
    with serve(record, host, port, word, refusal) as server:
        console = Console(stderr=True)
        console.print(
            f"Watching {record.url}; Ctrl-C ends it.", highlight=False, markup=False, soft_wrap=True
        )
        print(server.url, flush=True)
        server.serve_forever()
