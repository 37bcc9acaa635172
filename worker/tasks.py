"""The Celery tasks. Their modules import torch when the first batch comes, in the child that scores."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from services.storage.store import Store
from services.wire import pin
from services.wire.beats import Heartbeat
from services.wire.bells import Bell
from services.wire.messages import REALIZE, SCORE
from worker.hooks import WorkTask
from worker.serve import serve


@shared_task(name=SCORE, base=WorkTask, bind=True)  # type: ignore[untyped-decorator]
def score(self: Any, **message: Any) -> dict[str, Any]:
    """Score one batch."""
    return serve(self, message, _scored)


@shared_task(name=REALIZE, base=WorkTask, bind=True)  # type: ignore[untyped-decorator]
def realize(self: Any, **message: Any) -> dict[str, Any]:
    """Write meshes, pictures and audits of masks."""
    return serve(self, message, _realized)


def _scored(run: Store, batch: str, heart: Heartbeat) -> Bell:
    from worker.evaluate import shared_evaluator

    evaluator = shared_evaluator()
    images = pin.join(run, evaluator.fingerprint(), evaluator.images)
    summary = evaluator.evaluate(run, batch, images)
    return Bell(batch, summary.outcome, summary.views)  # type: ignore[arg-type]


def _realized(run: Store, batch: str, heart: Heartbeat) -> Bell:
    from worker.exhibition.job import realize_job

    return Bell(batch, realize_job(run, batch, heart.tell).outcome)  # type: ignore[arg-type]
