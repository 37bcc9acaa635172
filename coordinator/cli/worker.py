"""``datamask worker``: score batches that a coordinator elsewhere sends."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from coordinator.cli.options import LogFormat, LogFormatName, MetricsPort
from services.wire.bells import BROKER_VARIABLE, DEFAULT_BROKER


class DeviceName(StrEnum):
    """Where a worker scores."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class LogLevel(StrEnum):
    """How much a worker says."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


def worker(
    broker: Annotated[
        str | None,
        typer.Option(
            envvar=BROKER_VARIABLE,
            help="Redis that the coordinator sends batches through; DATAMASK_BROKER_FILE may name a file "
            "that holds its URL.",
            show_default=DEFAULT_BROKER,
        ),
    ] = None,
    concurrency: Annotated[
        int, typer.Option(min=1, help="Scoring processes; one a device is right, each loads its networks.")
    ] = 1,
    device: Annotated[DeviceName, typer.Option(help="Device to score on.")] = DeviceName.auto,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, help="Cores that each process scores on; scores do not depend on it.", show_default="all"
        ),
    ] = None,
    queues: Annotated[
        str, typer.Option(help="Kinds of work to take: score, realize, or both with a comma between.")
    ] = "score,realize",
    loglevel: Annotated[LogLevel, typer.Option(help="How much to say.")] = LogLevel.info,
    metrics_port: MetricsPort = None,
    log_format: LogFormat = LogFormatName.text,
    grace_s: Annotated[
        float, typer.Option(min=0, help="Seconds that a batch in hand may go on after SIGQUIT.")
    ] = 20.0,
    idle_s: Annotated[
        float | None,
        typer.Option(min=1, help="Leave after so many seconds without work.", show_default="stay"),
    ] = None,
) -> None:
    """Score batches for coordinators that run with --executor celery, until stopped.

    SIGTERM: the batch in hand is finished first. SIGQUIT: it may go on for --grace-s, then it goes back into
    the queue. A worker that is killed loses nothing: its batch goes to another. Where DATAMASK_STORE is set,
    batches of other stores are refused.

    Example: datamask worker --broker redis://127.0.0.1:6379/0
    """
    from worker.launch import launch

    code = launch(
        broker,
        concurrency=concurrency,
        device=device.value,
        threads=threads,
        loglevel=loglevel.value.upper(),
        queues=queues,
        metrics_port=metrics_port,
        log_format=log_format.value,
        grace_s=grace_s,
        idle_s=idle_s,
    )
    raise typer.Exit(code)
