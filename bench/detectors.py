"""Every detector that is here, asked about pictures one after the other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from datamask.looking import infos_of
from services.recognition import catalog
from services.recognition.detect import Detector


def installed() -> dict[str, Detector]:
    """By name, loaded."""
    return {info.name: catalog.detector(info.name) for info in infos_of(None)}


def scores_of(
    detectors: Mapping[str, Detector], images: torch.Tensor, boxes: torch.Tensor
) -> dict[str, NDArray[np.float32]]:
    """Scores float32 (n,) over the boxes (n, 4) of pictures uint8 (n, S, S, 3), by detector."""
    with torch.inference_mode():
        return {name: machine.score(images, boxes).score.numpy() for name, machine in detectors.items()}


def seen(name: str, scores: NDArray[np.float32]) -> int:
    """In how many of the pictures a detector sees a face, by its published threshold."""
    return int((scores > catalog.model_info(name).threshold).sum())
