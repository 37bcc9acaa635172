"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class LogFormatName(StrEnum):
    """How log lines look."""

    text = "text"
    json = "json"


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
