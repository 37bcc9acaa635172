"""The Celery tasks. Their modules import torch when the first batch comes, in the child that scores."""

from __future__ import annotations

from functools import partial
from typing import Any

from celery import shared_task

from services.storage.store import Store
from services.wire.app import REALIZE_LIMIT_S
from services.wire.beats import Heartbeat
from services.wire.bells import Bell
from services.wire.messages import REALIZE, SCORE
from worker.hooks import WorkTask
from worker.serve import Steps, serve


@shared_task(name=SCORE, base=WorkTask, bind=True)  # type: ignore[untyped-decorator]
def score(self: Any, **message: Any) -> str:
    """Score one batch."""
    session = str(message.get("session", ""))
    return serve(self, message, partial(_scored, session), Steps(partial(_read, session), _computed))


@shared_task(name=REALIZE, base=WorkTask, bind=True, time_limit=REALIZE_LIMIT_S)  # type: ignore[untyped-decorator]
def realize(self: Any, **message: Any) -> str:
    """Write meshes, pictures and audits of masks."""
    return serve(self, message, _realized)


def _scored(session: str, run: Store, batch: str, heart: Heartbeat) -> Bell:
    from worker.evaluate import shared_evaluator

    evaluator = shared_evaluator()
    evaluator.join(run, session)
    summary = evaluator.evaluate(run, batch)
    return Bell(batch, summary.outcome, summary.views)  # type: ignore[arg-type]


def _read(session: str, run: Store, name: str) -> Any:
    from worker.evaluate import shared_evaluator

    evaluator = shared_evaluator()
    evaluator.join(run, session)
    found = evaluator.read_stack(run, name)
    return Bell(name, found) if isinstance(found, str) else found


def _computed(run: Store, name: str, batches: Any) -> tuple[bytes, int] | Bell:
    from worker.evaluate import shared_evaluator

    return shared_evaluator().score_stack(run, batches) or Bell(name, "apart")


def _realized(run: Store, batch: str, heart: Heartbeat) -> Bell:
    from worker.exhibition.job import realize_job

    return Bell(batch, realize_job(run, batch, heart.tell).outcome)  # type: ignore[arg-type]
