"""The Celery tasks. Their modules import torch when the first batch comes, in the child that scores."""

from __future__ import annotations

import logging
import os
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import redis
from celery import shared_task

from services.errors import BadInput, DatamaskError
from services.storage.store import open_store
from worker import pin
from worker.bell import Bell, bell_list, connect, ring
from worker.messages import TASK, Score, decode_score
from worker.objects import MAX_ATTEMPTS, attempts, batch_key, record_failure

if TYPE_CHECKING:
    pass

log = logging.getLogger(__name__)

STORE_VARIABLE = "DATAMASK_STORE"  # where set, a worker touches no other store
MAX_DEATHS = 5  # processes that a batch may take with it before it is set aside
STARTS_TTL_S = 86_400
TROUBLE_PAUSE_S = 2.0  # a worker that cannot score must not empty the queue in a blink


@shared_task(name=TASK, bind=True)  # type: ignore[untyped-decorator]
def score(self: Any, **message: Any) -> None:
    """Score one batch and ring back.

    A message that makes no sense is dropped with a line in the log: nobody could be rung up.
    """
    try:
        work = decode_score(message)
        allowed(work.store)
    except BadInput as error:
        log.error("message dropped: %s", error)
        return
    client = _client(self.app.conf.broker_url)
    bell = set_aside(work) if _deaths(client, work) > MAX_DEATHS else attend(work)
    try:
        client.delete(_starts(work))
        ring(client, bell_list(work), bell)
    except redis.RedisError as error:
        log.warning("batch %s: %s, but the bell cannot be rung (%s)", work.batch, bell.outcome, error)
    log.info("%s: %s, %d views", self.request.argsrepr, bell.outcome, bell.views)
    if bell.outcome in ("refused", "trouble"):
        log.error("batch %s: %s: %s", work.batch, bell.outcome, bell.detail)
        time.sleep(TROUBLE_PAUSE_S)


def attend(work: Score) -> Bell:
    """Have the batch scored by this process's one evaluator; say what became of it."""
    try:
        from worker.evaluate import shared_evaluator

        run = open_store(work.store).sub(work.run)
        evaluator = shared_evaluator()
        pin.join(run, evaluator.fingerprint())
        summary = evaluator.evaluate(run, work.batch)
    except pin.Refused as error:
        return Bell(work.batch, "refused", detail=_line(error))
    except (DatamaskError, MemoryError, OSError, ImportError) as error:
        return Bell(work.batch, "trouble", detail=_line(error))
    return Bell(work.batch, summary.outcome, summary.views)  # type: ignore[arg-type]


def set_aside(work: Score) -> Bell:
    """Give a batch up that has killed every process which tried it: it would go round for ever."""
    try:
        run = open_store(work.store).sub(work.run)
        while run.exists(batch_key(work.batch)) and attempts(run, work.batch) < MAX_ATTEMPTS:
            record_failure(run, work.batch, f"the scoring process died {MAX_DEATHS} times in a row")
    except (DatamaskError, OSError) as error:
        return Bell(work.batch, "trouble", detail=_line(error))
    return Bell(work.batch, "failed")


def _deaths(client: redis.Redis[bytes], work: Score) -> int:
    """How often this batch was begun without an end, this time included; 1 where Redis cannot say."""
    try:
        pipe = client.pipeline(transaction=True)
        pipe.incr(_starts(work))
        pipe.expire(_starts(work), STARTS_TTL_S)
        return int(pipe.execute()[0])
    except redis.RedisError:
        return 1


def _starts(work: Score) -> str:
    return f"datamask:starts:{bell_list(work).rpartition(':')[2]}:{work.batch}"


def allowed(store_url: str) -> None:
    """:raises BadInput: if this worker was told to serve another store only."""
    own = os.environ.get(STORE_VARIABLE)
    if own and open_store(own).url.rstrip("/") != store_url.rstrip("/"):
        raise BadInput(f"{TASK}: store {store_url}: this worker serves {own} only ({STORE_VARIABLE})")


@lru_cache(maxsize=4)
def _client(broker_url: str) -> redis.Redis[bytes]:
    return connect(broker_url)


def _line(error: BaseException) -> str:
    return " ".join(f"{error}".split())[:500] or type(error).__name__
