"""Ringing back: how a worker tells a coordinator that a batch wants looking at.

A bell is a hint and nothing more. It sits on a Redis list, one list a run (one for each of its coordinator
processes, where there are several), that expires by itself; whoever hears it looks into the store for what is
true. A lost bell costs time, never a result.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from typing import get_args

import redis

from services.errors import one_line
from services.logs import hide
from services.secret_file import read_secret
from services.wire.broker_url import check_broker, password_of
from services.wire.messages import Outcome, Work

VERSION = 3
TTL_S = 3600
KEPT = 10_000  # bells that nobody hears are dropped beyond this many

DEFAULT_BROKER = "redis://127.0.0.1:6379/0"
BROKER_VARIABLE = "DATAMASK_BROKER"
BROKER_FILE_VARIABLE = "DATAMASK_BROKER_FILE"  # a file that holds the URL, for its password is a secret


@dataclass(frozen=True)
class Bell:
    """What became of one task.

    views: images scored for it. seconds: how long that took, by the worker's own clock. detail: one line
    where it was not scored.
    """

    batch: str
    outcome: Outcome
    views: int = 0
    detail: str = ""
    seconds: float = 0.0

    def encoded(self) -> str:
        """JSON text."""
        return json.dumps({"v": VERSION, **asdict(self)}, sort_keys=True)


def decode_bell(data: bytes | str) -> Bell | None:
    """The bell, or None where it is not one of this version: whoever rang, the store knows better."""
    try:
        values = json.loads(data)
        if values.pop("v") != VERSION:
            return None
        bell = Bell(
            str(values["batch"]),
            values["outcome"],
            int(values["views"]),
            one_line(str(values["detail"])),
            float(values["seconds"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    return bell if bell.outcome in get_args(Outcome) else None


def run_digest(work: Work) -> str:
    """What stands for a run in the names of its keys in Redis."""
    return hashlib.sha256(f"{work.store.rstrip('/')}/{work.run}".encode()).hexdigest()[:32]


def bell_list(work: Work) -> str:
    """Name of the Redis list on which whoever asks for this work listens."""
    return f"datamask:bells:{run_digest(work)}" + (f":{work.line}" if work.line else "")


def ring(client: redis.Redis[bytes], name: str, bell: Bell) -> None:
    """Put a bell on the list. :raises redis.RedisError: if Redis cannot be reached."""
    pipe = client.pipeline(transaction=True)
    pipe.lpush(name, bell.encoded())
    pipe.ltrim(name, 0, KEPT - 1)
    pipe.expire(name, TTL_S)
    pipe.execute()


def connect(broker_url: str, timeout_s: float = 5.0) -> redis.Redis[bytes]:
    """A client that connects at its first command.

    :raises BadInput: if the URL is not one of Redis.
    """
    broker_url = check_broker(broker_url)
    hide(password_of(broker_url))
    return redis.Redis.from_url(
        broker_url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        health_check_interval=30,
    )


def named_broker() -> str | None:
    """The URL that the environment names, by DATAMASK_BROKER or in the file DATAMASK_BROKER_FILE, or None.

    :raises BadInput: if that file cannot be read, or is empty.
    """
    return os.environ.get(BROKER_VARIABLE) or read_secret(BROKER_FILE_VARIABLE, "a Redis URL")


def find_broker(given: str | None = None) -> str:
    """``given``, else what :func:`named_broker` finds, else the Redis of this machine.

    :raises BadInput: as there.
    """
    return given or named_broker() or DEFAULT_BROKER
