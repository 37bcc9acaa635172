"""What every task does around its work: read the message, beat, tell whose fault a failure is, ring."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import redis

from services.errors import BadInput, DatamaskError
from services.faults import said, sticks
from services.storage.open import open_store
from services.storage.place import masked
from services.storage.store import Store
from services.wire import pin
from services.wire.app import HARD_LIMIT_S
from services.wire.beats import Heartbeat
from services.wire.bells import Bell, bell_list, ring
from services.wire.messages import Done, Work, decode_work
from services.wire.objects import MAX_ATTEMPTS, attempts, batch_key, record_failure, scores_key
from services.wire.stack import is_stack
from worker.ahead import ahead
from worker.hooks import MAX_DEATHS, STUCK, client_of, deaths, deaths_key
from worker.reports import tell

log = logging.getLogger(__name__)

STORE_VARIABLE = "DATAMASK_STORE"  # where set, a worker touches no other store
TROUBLE_PAUSE_S = 2.0  # a worker that cannot score must not empty the queue in a blink

Attend = Callable[[Store, str, Heartbeat], Bell]


@dataclass(frozen=True)
class Steps:
    """What is done about a stack: read it, compute, write. A Bell instead of a result is the end of it.

    read: what the run's store has under a name. compute: of what was read; the object to write, and how many
    views that took.
    """

    read: Callable[[Store, str], Any]
    compute: Callable[[Store, str, Any], tuple[bytes, int] | Bell]


def serve(task: Any, message: Mapping[str, Any], attend: Attend, steps: Steps | None = None) -> str:
    """Do what a message asks for with this process's own parts, and ring back.

    A message that makes no sense is dropped with a line in the log: nobody could be rung up.

    :param steps: for stacks: the next one is read while this one is computed, and this one written meanwhile.
    :returns: a small summary as JSON text, for Flower; of a stack that it is taken.
    """
    began = time.monotonic()
    try:
        work = decode_work(message)
        allowed(work.store)
    except BadInput as error:
        log.error("message dropped: %s", error)
        tell("", "dropped")
        return Done("dropped").encoded()
    client = client_of(task.app.conf.broker_url)
    if steps is not None and is_stack(work.batch):
        return _served_ahead(client, work, steps)
    with Heartbeat(client, work) as heart:
        bell = given_back(work, deaths(client, work)) or attended(work, attend, heart)
    bell = replace(bell, seconds=round(time.monotonic() - began, 3))
    _ring_back(client, work, bell)
    return Done(bell.outcome, bell.views, bell.seconds).encoded()


def _ring_back(client: redis.Redis[bytes], work: Work, bell: Bell) -> None:
    facts = {**work.facts(), "outcome": bell.outcome, "views": bell.views, "seconds": bell.seconds}
    tell(work.batch, bell.outcome, bell.views, bell.seconds)
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


def _served_ahead(client: redis.Redis[bytes], work: Work, steps: Steps) -> str:
    heart = Heartbeat(client, work, HARD_LIMIT_S)
    heart.start()
    seconds = 0.0

    def end(bell: Bell) -> None:
        heart.stop()
        _ring_back(client, work, replace(bell, seconds=round(seconds, 3)))

    def compute() -> Any:
        nonlocal seconds
        began = time.monotonic()
        made = _guarded(work, lambda run: steps.compute(run, work.batch, read))
        seconds = time.monotonic() - began
        return made

    def write(made: Any) -> None:
        if not isinstance(made, Bell):
            data, views = made
            found = _guarded(work, lambda run: run.create(scores_key(work.batch), data))
            made = found if isinstance(found, Bell) else Bell(work.batch, "scored", views)
        end(made)

    read = given_back(work, deaths(client, work)) or _guarded(work, lambda run: steps.read(run, work.batch))
    if isinstance(read, Bell):
        end(read)
    else:
        tell(work.batch)
        ahead().put(compute, write)
    return Done("taken").encoded()


def attended(work: Work, attend: Attend, heart: Heartbeat) -> Bell:
    """Say what became of the work; faults of the infrastructure and refusals count against no batch."""
    bell: Bell = _guarded(work, lambda run: attend(run, work.batch, heart))
    return bell


def _guarded(work: Work, do: Callable[[Store], Any]) -> Any:
    """What comes of it, given the work's run; a Bell where that fails."""
    try:
        return do(open_store(work.store).sub(work.run))
    except pin.Refused as error:
        return Bell(work.batch, "refused", detail=said(error))
    except Exception as error:
        # What is a batch's own fault, whoever attends to it has written down already.
        if not isinstance(error, DatamaskError):
            log.error("batch %s: trouble", work.batch, exc_info=error)
        if sticks(error):
            log.error("this process can use its GPU no more: it ends, and a new one takes its place")
            threading.Timer(TROUBLE_PAUSE_S / 2, os._exit, (STUCK,)).start()  # when its bell has rung
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
