"""Tasks that only sleep: the real names, messages, bells and store, and no torch.

They give every genome scores that follow from its genes, so that a search goes on as ever.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

from celery import shared_task

from bench.made_up import scores_of, stacked_scores_of
from services.storage.store import ObjectMissing, Store
from services.wire.beats import Heartbeat
from services.wire.bells import Bell
from services.wire.jobs import Answer, decode_job
from services.wire.messages import REALIZE, SCORE
from services.wire.objects import batch_key, scores_key
from services.wire.plan import decode_batch
from services.wire.stack import decode_stack, is_stack
from worker.hooks import WorkTask
from worker.serve import Steps, serve

SLEEP_VARIABLE = "DATAMASK_BENCH_SLEEP_S"  # for each batch
RATE_VARIABLE = "DATAMASK_BENCH_VIEWS_PER_S"
TIMES_VARIABLE = "DATAMASK_BENCH_TIMES"  # a folder: each worker notes when it was at work


@shared_task(name=SCORE, base=WorkTask, bind=True)  # type: ignore[untyped-decorator]
def score(self: Any, **message: Any) -> str:
    """Sleep, then write scores."""
    began = time.monotonic()
    try:
        return serve(self, message, _slept, Steps(_read, _computed))
    finally:
        folder = os.environ.get(TIMES_VARIABLE)
        if folder and not is_stack(f"{message.get('batch')}"):  # what a stack takes is noted by itself
            with Path(folder, f"{os.getpid()}-{threading.get_ident()}.txt").open("a") as file:
                file.write(f"{began} {time.monotonic()}\n")


@shared_task(name=REALIZE, base=WorkTask, bind=True)  # type: ignore[untyped-decorator]
def realize(self: Any, **message: Any) -> str:
    """Say that it is done."""
    return serve(self, message, _pretended)


def _slept(run: Store, batch: str, heart: Heartbeat) -> Bell:
    data = _read(run, batch)
    if isinstance(data, Bell):
        return data
    scores, views = _computed(run, batch, data)
    run.create(scores_key(batch), scores)
    return Bell(batch, "scored", views)


def _read(run: Store, batch: str) -> bytes | Bell:
    if not is_stack(batch) and run.exists(scores_key(batch)):
        return Bell(batch, "known")
    try:
        return run.get(batch_key(batch))
    except ObjectMissing:
        return Bell(batch, "gone")


def _computed(run: Store, batch: str, data: bytes) -> tuple[bytes, int]:
    """Sleep for as long as a worker would compute, what making up scores takes included."""
    began = time.monotonic()
    works = decode_stack(data, batch) if is_stack(batch) else {batch: decode_batch(data, batch)}
    views = sum(len(work.genomes) * work.view_count for work in works.values())
    scores = stacked_scores_of(data) if is_stack(batch) else scores_of(works[batch]).encoded({})
    seconds = float(os.environ.get(SLEEP_VARIABLE, "0")) * len(works)
    seconds += views / float(os.environ.get(RATE_VARIABLE, "inf"))
    time.sleep(max(0.0, began + seconds - time.monotonic()))
    if is_stack(batch) and (folder := os.environ.get(TIMES_VARIABLE)):
        with Path(folder, f"{os.getpid()}-{threading.main_thread().ident}.txt").open("a") as file:
            file.write(f"{began} {time.monotonic()}\n")
    return scores, views


def _pretended(run: Store, batch: str, heart: Heartbeat) -> Bell:
    decode_job(run.get(batch_key(batch)), batch)
    run.create(scores_key(batch), Answer().encoded())
    return Bell(batch, "scored")
