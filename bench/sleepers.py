"""Workers that only sleep: the real task names, messages, bells and store, and no torch.

``python -m bench.sleepers --broker URL`` starts one. It gives every genome scores that follow from its genes,
so that a search goes on as ever.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from celery import shared_task

from services.storage.store import ObjectMissing, Store
from worker import logs
from worker.app import HARD_LIMIT_S, make_app
from worker.bell import Bell
from worker.heartbeat import Heartbeat
from worker.hooks import WorkTask
from worker.jobs import decode_job, encode_reports
from worker.launch import run_worker
from worker.messages import QUEUES, REALIZE, SCORE
from worker.objects import batch_key, scores_key
from worker.plan import Batch, Scores, decode_batch
from worker.tasks import serve

SLEEP_VARIABLE = "DATAMASK_BENCH_SLEEP_S"
TIMES_VARIABLE = "DATAMASK_BENCH_TIMES"  # a folder: each process notes when it was at work


@shared_task(name=SCORE, base=WorkTask, bind=True)  # type: ignore[untyped-decorator]
def score(self: Any, **message: Any) -> dict[str, Any]:
    """Sleep, then write scores."""
    began = time.monotonic()
    try:
        return serve(self, message, _slept)
    finally:
        if folder := os.environ.get(TIMES_VARIABLE):
            with Path(folder, f"{os.getpid()}.txt").open("a") as file:
                file.write(f"{began} {time.monotonic()}\n")


@shared_task(name=REALIZE, base=WorkTask, bind=True)  # type: ignore[untyped-decorator]
def realize(self: Any, **message: Any) -> dict[str, Any]:
    """Say that it is done."""
    return serve(self, message, _pretended)


def _slept(run: Store, batch: str, heart: Heartbeat) -> Bell:
    if run.exists(scores_key(batch)):
        return Bell(batch, "known")
    try:
        work = decode_batch(run.get(batch_key(batch)), batch)
    except ObjectMissing:
        return Bell(batch, "gone")
    time.sleep(float(os.environ.get(SLEEP_VARIABLE, "0")))
    run.create(scores_key(batch), scores_of(work).encoded({}))
    return Bell(batch, "scored", len(work.genomes) * work.view_count)


def _pretended(run: Store, batch: str, heart: Heartbeat) -> Bell:
    decode_job(run.get(batch_key(batch)), batch)
    run.create(scores_key(batch), encode_reports([]))
    return Bell(batch, "scored")


def scores_of(work: Batch) -> Scores:
    """Scores of the right shapes: the nearer a genome is to the neutral face, the better."""
    n, v = len(work.genomes), work.view_count
    raw = -np.square(work.genomes).mean(axis=1, keepdims=True).astype(np.float32)
    return Scores(
        raw=np.broadcast_to(raw, (len(work.plan.measures), n, v)).copy(),
        between=np.full(n, np.nan, np.float32),
        status=np.zeros(n, np.uint8),
        flipped=np.zeros(n, np.float32),
        coverage=np.ones((n, v), np.float32),
    )


def main() -> int:
    """Start a worker of sleepers; it ends as a real one does."""
    parser = argparse.ArgumentParser("python -m bench.sleepers", description=__doc__.splitlines()[0])
    parser.add_argument("--broker", required=True)
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--grace-s", type=float, default=20.0)
    parser.add_argument("--limit-s", type=float, default=HARD_LIMIT_S, help="hard time limit of a batch")
    arguments = parser.parse_args()
    logs.setup("text", "INFO")
    app = make_app(arguments.broker, tasks=["bench.sleepers"], grace_s=arguments.grace_s)
    app.conf.task_time_limit = arguments.limit_s
    return run_worker(app, arguments.concurrency, list(QUEUES.values()))


if __name__ == "__main__":
    sys.exit(main())
