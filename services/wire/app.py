"""The Celery application: its settings, with the reason for each that is not a default.

Redis is a doorbell here: messages hold ids, results are not kept, and what Redis forgets is asked for again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from celery import Celery
from kombu.entity import Exchange, Queue

from services.errors import BadInput
from services.wire.bells import find_broker
from services.wire.broker_url import check_broker
from services.wire.messages import QUEUES, SCORE

HARD_LIMIT_S = 3600  # a batch that takes longer hangs; its process is killed
# A job of masks' files, or of the last elites' audits and pictures, has as many views as the spec asks for.
REALIZE_LIMIT_S = 86_400
# Redis hands out again what was not acknowledged for this long. Shorter than a task, it would loop for ever.
VISIBILITY_S = REALIZE_LIMIT_S + 600
SOFT_SHUTDOWN_S = 20

StartMethod = Literal["fork", "spawn"]


def make_app(
    broker_url: str,
    start_method: StartMethod = "fork",
    *,
    tasks: Sequence[str] = ("worker.tasks",),
    grace_s: float = SOFT_SHUTDOWN_S,
) -> Celery:
    """A new application; nothing global is changed.

    :param start_method: ``spawn`` where children use CUDA, which does not survive a fork.
    :param tasks: modules of the tasks. grace_s: how long a batch in hand may go on after SIGQUIT.
    :raises BadInput: if the URL is not one of Redis.
    """
    app = Celery(
        "datamask",
        broker=check_broker(broker_url),
        amqp="services.wire.transport:TolerantAmqp",
        set_as_current=False,
        include=list(tasks),
    )
    # The nameless exchange pushes straight onto the list: no binding that a flushed Redis could forget.
    nameless = Exchange("", type="direct")  # type: ignore[no-untyped-call]
    queues = [
        Queue(name, exchange=nameless, routing_key=name)  # type: ignore[no-untyped-call]
        for name in QUEUES.values()
    ]
    app.conf.update(
        task_queues=queues,
        task_default_queue=SCORE,
        task_default_exchange="",
        task_default_routing_key=SCORE,
        task_create_missing_queues=False,
        # JSON only: nothing from a queue is ever unpickled.
        task_serializer="json",
        accept_content=["json"],
        result_accept_content=["json"],
        # The record answers, so no result is kept.
        task_ignore_result=True,
        # A batch goes back to the queue when its worker dies; whoever gets it twice finds its scores.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        task_time_limit=HARD_LIMIT_S,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_S,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
        },
        # A worker outlives its Redis.
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # One child scores on one device; the other pools ignore time limits, and solo answers no ping.
        worker_pool="prefork",
        worker_concurrency=1,
        worker_pool_start_method=start_method,
        worker_proc_alive_timeout=120.0,  # a spawned child imports everything anew
        worker_soft_shutdown_timeout=grace_s,
        worker_disable_rate_limits=True,
        # For Flower, which hears of a task when a worker has it: an event at each sending would double what
        # sending costs the coordinator (measured: 2 of 4 ms a batch).
        worker_send_task_events=True,
        task_track_started=True,
    )
    return app


def __getattr__(name: str) -> Any:
    """``app``, built when asked for: ``celery -A services.wire.app`` reads the environment at call time."""
    if name == "app":
        try:
            return make_app(find_broker())
        except BadInput as error:  # who asks is Celery's own command line, or Flower
            raise SystemExit(f"datamask: {error}") from None
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
