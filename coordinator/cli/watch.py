"""``datamask watch``: the report page of a run while it grows."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from coordinator.record import Record
from services.storage.store import open_store


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
            envvar="DATAMASK_WATCH_TOKEN", help="Word that a visitor must bring; needed beyond loopback."
        ),
    ] = None,
) -> None:
    """Serve the report page from a run's record while it grows, until stopped. It only reads.

    On 127.0.0.1 anybody on this machine may look. On any other --host a --token is required, and visitors
    open
    http://HOST:PORT/?token=TOKEN once.

    Example: datamask watch runs/archetype-001
    """
    from coordinator.watch import serve

    record = Record(open_store(run))
    record.spec_table()
    with serve(record, host, port, token) as server:
        console = Console(stderr=True)
        console.print(
            f"Watching {record.url}; Ctrl-C ends it.", highlight=False, markup=False, soft_wrap=True
        )
        print(server.url, flush=True)
        server.serve_forever()
