"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from services.wire.bells import BROKER_VARIABLE, DEFAULT_BROKER

MOST_COORDINATORS = 64


class LogFormatName(StrEnum):
    """How log lines look."""

    text = "text"
    json = "json"


class ExecutorName(StrEnum):
    """Where batches are scored."""

    local = "local"
    celery = "celery"


StoreOption = Annotated[
    str, typer.Option(envvar="DATAMASK_STORE", help="Where runs are kept: a folder, or s3://bucket/prefix.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change one value: table.key=value, e.g. search.generations=10."),
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Start the run, or go on with it where it stands.")
]
ExecutorOption = Annotated[ExecutorName, typer.Option(help="Score here, or on Celery workers.")]
CoordinatorsOption = Annotated[
    int,
    typer.Option(
        min=1,
        max=MOST_COORDINATORS,
        help="Processes that share the islands, for more workers than one can feed; with --executor celery.",
    ),
]
BrokerOption = Annotated[
    str | None,
    typer.Option(
        envvar=BROKER_VARIABLE,
        help="Redis of the Celery workers; DATAMASK_BROKER_FILE may name a file that holds its URL.",
        show_default=DEFAULT_BROKER,
    ),
]
PicturesOption = Annotated[
    bool,
    typer.Option(
        "--pictures/--no-pictures",
        help="--no-pictures ends with the last checkpoint, for many runs at once; audits, pictures, "
        "film and page are made when the run is resumed without it.",
    ),
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress, only the run's URL at the end.")
]
MetricsPort = Annotated[
    int | None,
    typer.Option(
        envvar="DATAMASK_METRICS_PORT",
        min=0,
        max=65535,
        help="Answer Prometheus on this port of 127.0.0.1 (or DATAMASK_METRICS_HOST). Default: not.",
    ),
]
LogFormat = Annotated[
    LogFormatName,
    typer.Option(envvar="DATAMASK_LOG_FORMAT", help="Lines for people, or one JSON object a line."),
]
