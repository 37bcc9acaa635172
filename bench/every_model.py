"""The inner loop with every model that comes with the package and runs in torch, against those models alone.

Detectors, recognizers and correlation filters at once, on ready pictures: more than any run asks for. What
aligns a face is part of a recognizer's own call here, on both sides; morph, render and dlib's landmarks are
what the loop adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from bench.inner_loop import pieces_of
from bench.stopwatch import Spread, seconds_of
from bench.workload import Workload
from coordinator.queue.executor import AT_ONCE
from services.recognition import catalog
from services.wire.plan import Batch, Quantity, make_plan
from worker.examination.targets import build_filter
from worker.eye import Eye
from worker.lanes import Lanes
from worker.scorer import Scorer

DETECTORS = ("dlib-hog", "dlib-mmod", "yunet", "centerface", "blazeface-short", "blazeface-full", "mtcnn")
RECOGNIZERS = ("dlib-resnet", "lbp", "eigenfaces")
CORRELATORS = ("otsdf",)
MODELS = (*DETECTORS, *RECOGNIZERS, *CORRELATORS)


@dataclass(frozen=True)
class _Ready:
    """Pictures uint8 (n, S, S, 3), regions float32 (n, 4) and every landmark float32 (n, p, 2)."""

    images: torch.Tensor
    regions: torch.Tensor
    points: torch.Tensor


class EveryModel:
    """The scorer of a plan with all of MODELS, and the same machines by themselves."""

    def __init__(self, workload: Workload, device: str = "cpu") -> None:
        basis = workload.plan.basis
        size = {name: catalog.recognizer(name, device).size for name in RECOGNIZERS}
        targets = {name: np.zeros((1, size[name]), np.float32) for name in RECOGNIZERS}
        targets |= {name: build_filter([], name, basis) for name in CORRELATORS}
        quantities = (
            *(Quantity("detect", name) for name in DETECTORS),
            *(Quantity("identity", name, name) for name in RECOGNIZERS),
            *(Quantity("correlate", name, name) for name in CORRELATORS),
        )
        plan = make_plan(basis, quantities, workload.plan.ranges)
        self._batches: list[Batch] = [replace(batch, plan=plan) for batch in workload.batches]
        self._scorer = Scorer(plan, targets, device)
        self._lanes = Lanes(device)
        self._machines = self._scorer.machines
        self._templates = {name: torch.from_numpy(targets[name][0]).to(device) for name in CORRELATORS}
        self._eye = Eye(basis, self._machines.aligned, device)
        pieces = pieces_of(workload, self._scorer.images)
        self._ready = [self._rendered(piece, workload) for piece in pieces]

    def score(self) -> None:
        """From genomes to scores, as the local executor does it."""
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(self._scorer.score, self._batches))

    def alone(self) -> None:
        """The machines' own calls."""
        self._lanes.map(self._answers, self._ready)

    @property
    def images(self) -> int:
        """Pictures that :meth:`alone` looks at."""
        return sum(len(piece.images) for piece in self._ready)

    @torch.inference_mode()
    def _rendered(self, genomes: np.ndarray[Any, np.dtype[np.float32]], workload: Workload) -> _Ready:
        _, rendered = self._eye.every(genomes, workload.views)
        flat = (rendered.images, rendered.box_px, rendered.points_px)
        return _Ready(*(part.flatten(0, 1).clone() for part in flat))

    @torch.inference_mode()
    def _answers(self, piece: _Ready) -> None:
        machines = self._machines
        for detector in machines.detectors.values():
            detector.score(piece.images, piece.regions)
        for recognizer in machines.recognizers.values():
            recognizer.embed(piece.images, self._eye.points_of(recognizer, piece.points))
        for name, correlator in machines.correlators.items():
            own = self._eye.points_of(correlator, piece.points)
            correlator.score(piece.images, own, self._templates[name])


def every_model(workload: Workload, rounds: int, device: str = "cpu") -> dict[str, Any]:
    """Views per second of both sides, and their ratio round by round, as JSON values."""
    loop = EveryModel(workload, device)
    loop.score()
    whole: list[float] = []
    alone: list[float] = []
    for number in range(rounds):
        sides = [(whole, loop.score, workload.image_count), (alone, loop.alone, loop.images)]
        for seconds, work, images in sides if number % 2 == 0 else reversed(sides):
            seconds.append(seconds_of(work, device) / images)
    return {
        "models": list(MODELS),
        "views_per_second": {"datamask": _speed(whole), "models_alone": _speed(alone)},
        "ratio": Spread.of([a / w for a, w in zip(alone, whole, strict=True)]).as_json(),
    }


def _speed(seconds: Sequence[float]) -> dict[str, object]:
    return Spread.of([1.0 / s for s in seconds]).as_json()
