"""What every task does around its work: read the message, beat, tell whose fault a failure is, ring."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import redis

from services.errors import BadInput, DatamaskError
from services.faults import said
from services.storage.open import open_store
from services.storage.place import masked
from services.storage.store import Store
from services.wire import pin
from services.wire.beats import Heartbeat
from services.wire.bells import Bell, bell_list, ring
from services.wire.messages import Done, Work, decode_work
from services.wire.objects import MAX_ATTEMPTS, attempts, batch_key, record_failure
from services.wire.stack import is_stack
from worker.hooks import MAX_DEATHS, client_of, deaths, deaths_key

log = logging.getLogger(__name__)

STORE_VARIABLE = "DATAMASK_STORE"  # where set, a worker touches no other store
TROUBLE_PAUSE_S = 2.0  # a worker that cannot score must not empty the queue in a blink

Attend = Callable[[Store, str, Heartbeat], Bell]


def serve(task: Any, message: Mapping[str, Any], attend: Attend) -> str:
    """Do what a message asks for with this process's own parts, and ring back.

    A message that makes no sense is dropped with a line in the log: nobody could be rung up.

    :returns: a small summary as JSON text, for Flower and for the parent's figures.
    """
    began = time.monotonic()
    try:
        work = decode_work(message)
        allowed(work.store)
    except BadInput as error:
        log.error("message dropped: %s", error)
        return Done("dropped").encoded()
    client = client_of(task.app.conf.broker_url)
    with Heartbeat(client, work) as heart:
        bell = given_back(work, deaths(client, work)) or attended(work, attend, heart)
    bell = replace(bell, seconds=round(time.monotonic() - began, 3))
    facts = {**work.facts(), "outcome": bell.outcome, "views": bell.views, "seconds": bell.seconds}
    try:
        client.delete(deaths_key(work))
        ring(client, bell_list(work), bell)
    except redis.RedisError as error:
        log.warning(
            "batch %s: %s, but the bell cannot be rung (%s); the coordinator will look into the store",
            *(work.batch, bell.outcome, error),
            extra=facts,
        )
    log.info("run %s, %s: %s, %d views", work.run, work.origin.words, bell.outcome, bell.views, extra=facts)
    if bell.outcome in ("refused", "trouble"):
        log.error(
            "batch %s: %s: %s; the coordinator sends it again",
            *(work.batch, bell.outcome, bell.detail),
            extra=facts,
        )
        time.sleep(TROUBLE_PAUSE_S)
    return Done(bell.outcome, bell.views, bell.seconds).encoded()


def attended(work: Work, attend: Attend, heart: Heartbeat) -> Bell:
    """Say what became of the work; faults of the infrastructure and refusals count against no batch."""
    try:
        return attend(open_store(work.store).sub(work.run), work.batch, heart)
    except pin.Refused as error:
        return Bell(work.batch, "refused", detail=said(error))
    except Exception as error:
        # What is a batch's own fault, whoever attends to it has written down already.
        if not isinstance(error, DatamaskError):
            log.error("batch %s: trouble", work.batch, exc_info=error)
        return Bell(work.batch, "trouble", detail=said(error))


def given_back(work: Work, died: int) -> Bell | None:
    """What is said of work that has killed so many processes instead of trying it, or None: it is tried."""
    if is_stack(work.batch):
        return Bell(work.batch, "apart") if died else None
    return set_aside(work) if died >= MAX_DEATHS else None


def set_aside(work: Work) -> Bell:
    """Give a batch up that has killed every process which tried it: it would go round for ever."""
    try:
        run = open_store(work.store).sub(work.run)
        while run.exists(batch_key(work.batch)) and attempts(run, work.batch) < MAX_ATTEMPTS:
            record_failure(run, work.batch, f"the process that worked on it died {MAX_DEATHS} times in a row")
    except (DatamaskError, OSError) as error:
        return Bell(work.batch, "trouble", detail=said(error))
    return Bell(work.batch, "failed")


def allowed(store_url: str) -> None:
    """:raises BadInput: if this worker was told to serve another store only."""
    own = os.environ.get(STORE_VARIABLE)
    if own and open_store(own).url.rstrip("/") != store_url.rstrip("/"):
        raise BadInput(f"store {masked(store_url)}: this worker serves {masked(own)} only ({STORE_VARIABLE})")
