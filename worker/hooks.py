"""What happens around a task: figures, deaths, time limits. Runs in a worker's parent process."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import redis
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import Task, signals
from celery.worker import state
from celery.worker.request import Request

from services import logs
from services.errors import DatamaskError
from services.faults import said
from services.storage.open import open_store
from services.wire.bells import Bell, bell_list, connect, ring, run_digest
from services.wire.messages import Work, decode_work
from services.wire.objects import record_failure
from services.wire.stack import is_stack
from worker import metrics
from worker.reports import tell

log = logging.getLogger(__name__)

MAX_DEATHS = 5  # processes that a batch may take with it before it is set aside
DEATHS_TTL_S = 86_400
STUCK = os.EX_TEMPFAIL  # exit code of a process that cannot use its device any more: no batch is to blame


@signals.setup_logging.connect(weak=False)  # type: ignore[untyped-decorator]
def keep_our_logs(**_: Any) -> None:
    """Whoever listens to this signal sets the logs up, in parent and children; celery then does not."""
    logs.setup_as_parent()


@lru_cache(maxsize=4)
def client_of(broker_url: str) -> redis.Redis[bytes]:
    """This process's one client."""
    return connect(broker_url)


def deaths_key(work: Work) -> str:
    """The Redis key that counts the processes which died over a batch."""
    return f"datamask:deaths:{run_digest(work)}:{work.batch}"


def deaths(client: redis.Redis[bytes], work: Work) -> int:
    """How many processes died over this batch, one after the other; 0 where Redis cannot say."""
    try:
        return int(client.get(deaths_key(work)) or 0)
    except redis.RedisError:
        return 0


class WorkRequest(Request):  # type: ignore[misc]
    """A task as the parent process sees it."""

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
        """Note a batch whose process died while this parent lives: perhaps the batch killed it.

        A worker that is killed as a whole notes nothing, and a worker that is told to stop does not count.
        """
        lost = isinstance(getattr(exc_info.exception, "exc", exc_info.exception), WorkerLostError)
        stopping = state.should_stop or state.should_terminate or self._already_cancelled
        if lost and not stopping:
            metrics.count("died", 0, 0.0)
            with contextlib.suppress(DatamaskError, redis.RedisError):
                work = decode_work(self.kwargs)
                if f"exitcode {STUCK} " not in f"{exc_info.exception}":
                    client = client_of(self.task.app.conf.broker_url)
                    client.incr(deaths_key(work))
                    client.expire(deaths_key(work), DEATHS_TTL_S)
                log.warning(
                    "batch %s: the process that worked on it died; it goes back into the queue",
                    work.batch,
                    extra=work.facts(),
                )
        super().on_failure(exc_info, send_failed_event, return_ok)


class WorkTask(Task):  # type: ignore[misc]
    """Base of the tasks: one that hangs is a failure of its batch, one that breaks is trouble."""

    abstract = True
    Request = WorkRequest

    def on_failure(
        self, exc: Exception, task_id: str, args: Any, kwargs: Mapping[str, Any], einfo: Any
    ) -> None:
        """Say so and ring; celery calls this where the time limit is over and where a body raised."""
        timed_out = isinstance(exc, TimeLimitExceeded)
        tell("", "failed" if timed_out else "trouble")
        try:
            work = decode_work(kwargs)
            bell = Bell(work.batch, "trouble", detail=said(exc))
            if timed_out and is_stack(work.batch):
                bell = Bell(work.batch, "apart")
            elif timed_out:
                reason = f"not done after {self.time_limit} s; its process was killed"
                record_failure(open_store(work.store).sub(work.run), work.batch, reason)
                bell = Bell(work.batch, "failed")
            ring(client_of(self.app.conf.broker_url), bell_list(work), bell)
        except (DatamaskError, redis.RedisError, OSError) as error:
            log.error("a failed task cannot be recorded (%s); it will be sent again", error)
