"""A run's detectors before pictures: what each says by itself, and those that agree on a place together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from services.errors import BadInput
from services.recognition.agreement import Agreement, Reading
from services.recognition.detect import Detections, Detector, GradesEveryPlace
from services.recognition.kinds import KINDS
from services.recognition.model import ModelInfo
from services.wire.plan import Quantity


@dataclass(frozen=True)
class Seen:
    """Of n pictures, by detector: its best window, and its score float32 (n,) in the place of all."""

    best: dict[str, Detections]
    together: dict[str, torch.Tensor]


class Agreeing:
    """Asks detectors, each once.

    :param readings: of those that agree on a place, in their order; none: there are no such.
    """

    def __init__(self, readings: Mapping[str, Reading]) -> None:
        self._names = tuple(readings)
        self._agreement = Agreement(list(readings.values())) if readings else None

    def look(self, detectors: Mapping[str, Detector], images: torch.Tensor, regions: torch.Tensor) -> Seen:
        """What they see in pictures uint8 (n, S, S, 3), over regions float32 (n, 4)."""
        every = {name: _every_place(detectors[name]).windows(images) for name in self._names}
        best = {
            name: every[name].best(regions) if name in every else detector.score(images, regions)
            for name, detector in detectors.items()
        }
        if self._agreement is None:
            return Seen(best, {})
        scores = self._agreement.scores(list(every.values()), regions, images.shape[1:3])
        return Seen(best, dict(zip(self._names, scores, strict=True)))


def readings_of(quantities: Sequence[Quantity], infos: Mapping[str, ModelInfo]) -> dict[str, Reading]:
    """How the detectors read that a plan asks for one place."""
    found = {}
    for quantity in quantities:
        kind, info = KINDS[quantity.kind], infos[quantity.model]
        if kind.together:
            threshold = info.threshold if quantity.threshold is None else quantity.threshold
            scale = info.scale if quantity.scale is None else quantity.scale
            slope = kind.slope if quantity.slope is None else quantity.slope
            found[quantity.model] = Reading(info.measure, threshold, scale, slope)
    return found


def _every_place(detector: Detector) -> GradesEveryPlace:
    if not isinstance(detector, GradesEveryPlace):
        raise BadInput(f"model {detector.name!r} does not say what it sees in every place")
    return detector
