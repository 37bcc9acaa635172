"""Score one batch of a run's record: read it, score it, write the scores once (queue SCORE)."""

from __future__ import annotations

import logging
import threading
import traceback
from collections import ChainMap, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Literal, TypeVar

import numpy as np
import torch

from services.faults import is_machines, said
from services.recognition import own
from services.recognition.catalog import model_info
from services.recognition.model import ModelInfo
from services.shape.installed import know
from services.storage.store import ObjectMissing, Store
from services.wire.objects import batch_key, left_to_do, read_target, record_failure, scores_key
from services.wire.pin import Refused, join
from services.wire.plan import Batch, Plan, check_id, decode_batch
from services.wire.stack import decode_stack, encode_stacked, is_stack
from worker.fingerprint import fingerprint, pick_device
from worker.passes import LEAST, pass_images, room, shapes_within
from worker.scorer import Scorer

log = logging.getLogger(__name__)

SCORERS_KEPT = 4  # plans whose networks stay in memory; runs that take turns seldom have more
JOINED_KEPT = 64  # runs whose pins are remembered

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Summary:
    """What became of a batch or a stack. outcome: ``scored``, ``known``, ``gone``, ``failed`` or ``apart``.

    views: images scored.
    """

    batch: str
    outcome: str
    views: int = 0


class Evaluator:
    """Scores batches of any run. Several threads may ask.

    The networks of the last SCORERS_KEPT plans stay in memory, each once however many plans name it, so that
    runs may take turns.

    :param device: torch device; None picks CUDA where it is there.
    """

    def __init__(self, device: str | None = None) -> None:
        self.device = pick_device() if device is None else device
        self._scorers: OrderedDict[tuple[str, tuple[ModelInfo, ...]], Scorer] = OrderedDict()
        self._joined: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._loading = threading.Lock()

    @cached_property
    def images(self) -> int:
        """Pictures that a pass has room for: asked for once, as long as nothing is loaded yet, and fewer from
        each time on that memory was too small.
        """
        return pass_images(self.device)

    @cached_property
    def room(self) -> int:
        """Pictures that are worked on at a time: what is worth putting into one stack."""
        return room(self.device)

    def fingerprint(self) -> dict[str, str]:
        """See :func:`worker.fingerprint.fingerprint`."""
        return fingerprint(self.device)

    def join(self, run: Store, session: str = "") -> None:
        """Score for a run, see :func:`services.wire.pin.join`.

        :param session: what a coordinator calls one of its lives. While it is the same the run cannot be
            another one of the same name, and its pin is not read again; empty: it is.
        """
        key = run.url, session
        if not session or key not in self._joined:
            join(run, self.fingerprint())
        _keep(self._joined, key, None, JOINED_KEPT)

    def evaluate(self, run: Store, batch: str) -> Summary:
        """Score ``batches/<batch>``, a batch or a stack, into ``scores/<batch>``.

        A batch that is gone or has scores already is left alone. What fails on this batch and not on plain
        masks is its own fault, and written under ``failures/<batch>/``. Everything else is a fault of the
        machine or the infrastructure: it is raised, and counts against no batch. A stack that fails is to be
        taken apart, and nothing is written.
        """
        return self._with_room(lambda: self._evaluate(run, batch))

    def _evaluate(self, run: Store, batch: str) -> Summary:
        data = left_to_do(run, batch)
        if isinstance(data, str):
            return Summary(batch, data)
        where = f"{run.url}/{batch_key(batch)}"
        check_id(batch, data, where)
        if is_stack(batch):
            made = self._score_stack(run, decode_stack(data, where))
            if made is None:
                return Summary(batch, "apart")
            run.create(scores_key(batch), made[0])
            return Summary(batch, "scored", made[1])
        work = decode_batch(data, where)
        scorer = self._scorer_for(work.plan, run)
        try:
            scores = scorer.score(work)
        except Exception as error:
            if is_machines(error) or not _scores_plain_masks(scorer, work):
                raise
            record_failure(run, batch, traceback.format_exc())
            return Summary(batch, "failed")
        run.create(scores_key(batch), scores.encoded({"fingerprint": self.fingerprint()}))
        return Summary(batch, "scored", views=_views(work))

    def read_stack(self, run: Store, name: str) -> dict[str, Batch] | Literal["gone"]:
        """The batches of ``batches/<name>``.

        Whether they have scores is not asked: a message seldom comes twice, and who comes second finds them
        when it writes.
        """
        try:
            data = run.get(batch_key(name))
        except ObjectMissing:
            return "gone"
        where = f"{run.url}/{batch_key(name)}"
        check_id(name, data, where)
        return decode_stack(data, where)

    def score_stack(self, run: Store, batches: Mapping[str, Batch]) -> tuple[bytes, int] | None:
        """The object of a stack's scores, and images scored; None where its batches are to be tried alone.

        What is the machine's or the infrastructure's fault is raised.
        """
        return self._with_room(lambda: self._score_stack(run, batches))

    def _score_stack(self, run: Store, batches: Mapping[str, Batch]) -> tuple[bytes, int] | None:
        works = list(batches.values())
        scorer = self._scorer_for(works[0].plan, run)
        try:
            scores = dict(zip(batches, scorer.score_together(works), strict=True))
        except Exception as error:
            if is_machines(error):
                raise
            words = "%d batches in one stack cannot be scored (%s); each is tried alone"
            log.warning(words, len(batches), said(error))
            return None
        data = encode_stacked(scores, {"fingerprint": self.fingerprint()})
        return data, sum(_views(work) for work in works)

    def _scorer_for(self, plan: Plan, run: Store) -> Scorer:
        if plan.half and not self.device.startswith("cuda"):
            raise Refused(
                '[run] precision = "half" is for GPUs, a CPU would take ten times as long; bring a worker '
                'with a GPU, or start a run with precision = "full"'
            )
        # A callable may have taken another's name, and a plan does not hold how its answers are to be read.
        called = (name for name in plan.models if own.is_own(name))
        key = plan.digest(), tuple(model_info(name, plan.models[name]) for name in called)
        with self._loading:
            scorer = self._scorers.get(key)
            if scorer is None:
                targets = {
                    m.target: read_target(run, m.target) for m in plan.quantities if m.target is not None
                }
                know(plan.basis)
                loaded = ChainMap(*(kept.machines.held for kept in self._scorers.values()))
                scorer = Scorer(plan, targets, self.device, self.images, loaded)
            _keep(self._scorers, key, scorer, SCORERS_KEPT)
            return scorer

    def _with_room(self, do: Callable[[], Value]) -> Value:
        """What ``do`` returns. Where memory does not hold it all networks are let go of, passes are made
        smaller from then on, and it is done once more.
        """
        try:
            return do()
        except (MemoryError, torch.OutOfMemoryError) as error:
            self._make_room()
            log.warning("%s; once more, in passes of %d pictures", said(error), self.images)
        # Outside, for an error that is handled still holds what was computed.
        torch.cuda.empty_cache()
        try:
            return do()
        except (MemoryError, torch.OutOfMemoryError):
            self._make_room()
            raise

    def _make_room(self) -> None:
        with self._loading:
            self._scorers.clear()
        self.images = min(self.images, shapes_within(max(LEAST, self.images - 1))[-1])


def _keep(kept: OrderedDict[Key, Value], key: Key, value: Value, most: int) -> None:
    """Put a value last, and let go of the first ones where there are too many."""
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)


def _scores_plain_masks(scorer: Scorer, batch: Batch) -> bool:
    """Whether as many masks of weights 0 can be scored under the same views: then it is not the machine."""
    plain = np.zeros((len(batch.genomes), len(scorer.eye.basis.gene_names)), np.float32)
    try:
        scorer.score(replace(batch, genomes=plain))
    except Exception:
        return False
    return True


def _views(batch: Batch) -> int:
    return len(batch.genomes) * batch.view_count


@lru_cache(maxsize=1)
def shared_evaluator() -> Evaluator:
    """The process's one evaluator: networks load once."""
    return Evaluator()
