"""The Celery tasks. Their modules import torch when the first batch comes, in the child that scores."""

from __future__ import annotations

from functools import partial
from typing import Any

from celery import shared_task

from services.storage.store import Store
from services.wire.beats import Heartbeat
from services.wire.bells import Bell
from services.wire.messages import REALIZE, SCORE
from worker.hooks import WorkTask
from worker.serve import serve


@shared_task(name=SCORE, base=WorkTask, bind=True)  # type: ignore[untyped-decorator]
def score(self: Any, **message: Any) -> str:
    """Score one batch."""
    return serve(self, message, partial(_scored, str(message.get("session", ""))))


@shared_task(name=REALIZE, base=WorkTask, bind=True)  # type: ignore[untyped-decorator]
def realize(self: Any, **message: Any) -> str:
    """Write meshes, pictures and audits of masks."""
    return serve(self, message, _realized)


def _scored(session: str, run: Store, batch: str, heart: Heartbeat) -> Bell:
    from worker.evaluate import shared_evaluator

    evaluator = shared_evaluator()
    evaluator.join(run, session)
    summary = evaluator.evaluate(run, batch)
    return Bell(batch, summary.outcome, summary.views)  # type: ignore[arg-type]


def _realized(run: Store, batch: str, heart: Heartbeat) -> Bell:
    from worker.exhibition.job import realize_job

    return Bell(batch, realize_job(run, batch, heart.tell).outcome)  # type: ignore[arg-type]
