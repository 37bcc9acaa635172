"""Celery's way to Redis, but that no message can stop a worker.

Whoever may write into the broker may put anything into a queue: another program's message, half of one. Kombu
and Celery raise on many of those, and the exception ends the worker, then the next one that is handed the
message. Here whatever a coordinator would not have sent is dropped, with a line in the log.
"""

from __future__ import annotations

import base64
import json
import logging
from queue import Empty
from typing import Any

from celery.app.amqp import AMQP
from kombu.connection import Connection
from kombu.transport import redis

from services.wire.messages import QUEUES

log = logging.getLogger(__name__)

# Of a task's headers, those that a coordinator leaves empty: Celery acts on each.
_EMPTY = ("eta", "expires", "group", "shadow", "compression", "stamped_headers", "stamps")


def is_task(message: Any, queue: str) -> bool:
    """Whether a message off a queue, decoded from JSON, is that queue's task as ``send_task`` writes it."""
    try:
        headers, properties = message["headers"], message["properties"]
        args, kwargs, embed = json.loads(base64.b64decode(message["body"], validate=True))
        texts = [
            *(headers[name] for name in ("id", "argsrepr", "kwargsrepr", "origin", "root_id")),
            *(properties["delivery_info"][name] for name in ("exchange", "routing_key")),
            *(properties[name] for name in ("correlation_id", "reply_to", "delivery_tag")),
        ]
        return (
            headers["task"] == queue
            and all(isinstance(text, str) for text in texts)
            and not any(headers.get(name) for name in _EMPTY)
            and headers["timelimit"] == [None, None]
            and headers["parent_id"] is None
            and all(type(n) is int for n in (headers["retries"], properties["priority"]))
            and properties["body_encoding"] == "base64"
            and (message["content-type"], message["content-encoding"]) == ("application/json", "utf-8")
            and args == []
            and type(kwargs) is dict
            and "self" not in kwargs
            and not any(dict(embed).values())
        )
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        return False


class Channel(redis.Channel):
    """Where messages come in as text."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except (ValueError, RecursionError) as error:  # it is no JSON, and off the queue already
            log.error("message dropped: %s", error)
            raise Empty from None  # as if there had been none


class Transport(redis.Transport):
    """Where messages are handed on."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        if queue in QUEUES.values() and not is_task(message, queue):
            log.error("message dropped: no coordinator has sent it: %.200r", message)
        else:
            super()._deliver(message, queue)  # type: ignore[no-untyped-call]


class TolerantConnection(Connection):
    """A connection by :class:`Transport`; in log lines and for Flower it is called redis all the same."""

    def get_transport_cls(self) -> type[Transport]:
        """The class, whatever the URL's scheme."""
        return Transport


class TolerantAmqp(AMQP):  # type: ignore[misc]
    """What an application makes its connections by."""

    Connection = TolerantConnection
