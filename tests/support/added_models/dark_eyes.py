"""A detector that tests/coordinator/test_additions.py adds: a face is darker in its upper half."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from services.recognition.model import ModelInfo

if TYPE_CHECKING:
    from services.recognition.detect import Detector

INFO = ModelInfo(
    name="dark-eyes",
    kind="detect",
    roles=("objective",),
    licence="Apache-2.0",
    source="the tests",
    training_data="none",
    package="services.recognition",
    file=None,
    sha256=hashlib.sha256(b"dark-eyes 1").hexdigest(),
    threshold=0.05,
    threshold_source="a guess",
    how_to_get="part of the tests",
    scale=0.1,
)


def build(info: ModelInfo, device: str) -> Detector:
    import torch

    from services.recognition.detect import Detections

    class DarkEyes:
        name = INFO.name

        def score(self, images: torch.Tensor, regions: torch.Tensor | None = None) -> Detections:
            gray = images.float().mean(dim=3) / 255.0
            middle = gray.shape[1] // 2
            score = gray[:, middle:].mean(dim=(1, 2)) - gray[:, :middle].mean(dim=(1, 2))
            return Detections(score, torch.zeros(len(images), 4))

    return DarkEyes()
