"""Log lines for people or, one JSON object a line, for machines."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from typing import Any, Literal

LogFormat = Literal["text", "json"]
FORMAT_VARIABLE = "DATAMASK_LOG_FORMAT"
LEVEL_VARIABLE = "DATAMASK_LOG_LEVEL"  # of worker to child: a spawned one inherits nothing else

FACTS = ("run", "island", "generation", "batch", "epoch", "outcome", "views", "seconds")
_hidden: set[str] = set()


def hide(secret: str) -> None:
    """Never write this password into a log of this process: libraries and servers may repeat it."""
    if len(secret) > 3:  # less would be found in every line
        _hidden.add(secret)


def _discreet(line: str) -> str:
    for secret in _hidden:
        line = line.replace(secret, "***")
    return line


def setup_as_parent() -> None:
    """What :func:`setup` did in the process that started this one."""
    kind = os.environ.get(FORMAT_VARIABLE)
    level = os.environ.get(LEVEL_VARIABLE, "INFO")
    setup("json" if kind == "json" else "text", int(level) if level.isdigit() else level)


class TextFormatter(logging.Formatter):
    """Lines for people."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and a traceback where there is one."""
        return _discreet(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, and the facts where known."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _discreet(record.getMessage()),
        }
        fields |= {name: getattr(record, name) for name in FACTS if hasattr(record, name)}
        if record.exc_info:
            fields["traceback"] = _discreet(self.formatException(record.exc_info))
        return json.dumps(fields, ensure_ascii=False, default=str)


def setup(kind: LogFormat, level: int | str) -> None:
    """Send every log line to standard error, here and in spawned children; replaces what was set up."""
    os.environ[FORMAT_VARIABLE], os.environ[LEVEL_VARIABLE] = kind, str(level)
    handler = logging.StreamHandler(sys.stderr)
    text = TextFormatter("[%(asctime)s %(levelname)s %(processName)s] %(message)s")
    handler.setFormatter(JsonFormatter() if kind == "json" else text)
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # Each request of the object store would be a line.
    for chatty in ("botocore", "boto3", "urllib3", "s3transfer", "numba", "PIL", "OpenGL"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
