"""Score one batch of a run's record: read it, score it, write the scores once (task ``masks.score``)."""

from __future__ import annotations

import threading
import traceback
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch

from services.storage.store import ObjectMissing, Store
from services.wire.objects import batch_key, read_target, record_failure, scores_key
from services.wire.pin import IMAGES, Refused
from services.wire.plan import Batch, Plan, check_id, decode_batch
from worker.fingerprint import fingerprint, pick_device
from worker.passes import pass_images
from worker.scorer import Scorer


@dataclass(frozen=True)
class Summary:
    """What became of a batch. outcome: ``scored``, ``known``, ``gone``, ``failed``; views: images scored."""

    batch: str
    outcome: str
    views: int = 0


class Evaluator:
    """Scores batches of any run, keeping the networks of the last plan in memory. Several threads may ask.

    :param device: torch device; None picks CUDA where it is there.
    """

    def __init__(self, device: str | None = None) -> None:
        self.device = pick_device() if device is None else device
        self._scorer: tuple[tuple[str, int], Scorer] | None = None
        self._loading = threading.Lock()

    @cached_property
    def images(self) -> int:
        """Pictures that a pass has room for, as long as nothing is loaded yet: asked for once."""
        return pass_images(self.device)

    def fingerprint(self) -> dict[str, str]:
        """See :func:`worker.fingerprint.fingerprint`."""
        return fingerprint(self.device)

    def evaluate(self, run: Store, batch: str, images: int | None = None) -> Summary:
        """Score ``batches/<batch>`` into ``scores/<batch>``, so many pictures a pass (None: as many as fit).

        A batch that is gone or has scores already is left alone. An exception of the scoring itself is
        written under ``failures/<batch>/``; faults of the infrastructure (store, memory, missing weights) are
        raised and do not count against the batch.
        """
        if run.exists(scores_key(batch)):
            return Summary(batch, "known")
        where = f"{run.url}/{batch_key(batch)}"
        try:
            data = run.get(batch_key(batch))
        except ObjectMissing:
            return Summary(batch, "gone")
        work = decode_batch(data, where)
        check_id(batch, data, where)
        scorer = self._scorer_for(work.plan, run, self.images if images is None else images)
        try:
            scores = scorer.score(work)
        except (MemoryError, OSError, torch.OutOfMemoryError):
            raise
        except Exception:
            record_failure(run, batch, traceback.format_exc())
            return Summary(batch, "failed")
        run.create(
            scores_key(batch),
            scores.encoded({"fingerprint": {**self.fingerprint(), IMAGES: str(scorer.images)}}),
        )
        return Summary(batch, "scored", views=_views(work))

    def _scorer_for(self, plan: Plan, run: Store, images: int) -> Scorer:
        if plan.half and not self.device.startswith("cuda"):
            raise Refused(
                '[run] precision = "half" is for GPUs, a CPU would take ten times as long; bring a worker '
                'with a GPU, or start a run with precision = "full"'
            )
        key = plan.digest(), images
        with self._loading:
            if self._scorer is None or self._scorer[0] != key:
                targets = {
                    m.target: read_target(run, m.target) for m in plan.measures if m.target is not None
                }
                self._scorer = (key, Scorer(plan, targets, self.device, images))
            return self._scorer[1]


def _views(batch: Batch) -> int:
    return len(batch.genomes) * batch.view_count


@lru_cache(maxsize=1)
def shared_evaluator() -> Evaluator:
    """The process's one evaluator: networks load once."""
    return Evaluator()
