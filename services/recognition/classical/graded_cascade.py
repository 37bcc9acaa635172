"""Viola and Jones' cascade as a graded detector, so that a search could climb it.

A cascade is a chain of 25 tests; a window that fails one is dropped. Machado et al. 2012 found that its yes
or no is useless as fitness and that the stages passed are not. OpenCV tells of failures in the last four
stages only. So where it tells of none, we ask the same cascade cut short after fewer stages: its last four
are then earlier ones. Per image and on the CPU, in the lane that calls.
"""

from __future__ import annotations

import math
import threading
import xml.etree.ElementTree as ET
from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from services.errors import CorruptData
from services.recognition import catalog
from services.recognition.classical.cascade import MIN_SIZE_PX, SCALE_FACTOR, ViolaJones
from services.recognition.detect import Detections

STAGES = 25
TOLD = 4
"""OpenCV's rejectLevels: windows that fail in the last so many stages are told of."""

FLOOR = -20.0
"""Score of an image whose best window in the region fails within the first five stages."""

_CUTS = (25, 21, 17, 13, 9)


class GradedCascade:
    """Implements :class:`services.recognition.detect.Detector`.

    Above 0 where OpenCV's plain call reports a face in the region: half the sum of its last stage, at least
    0.01. Below 0 elsewhere: the stages that the furthest window did not pass, less a part of one for how near
    it came to passing its last; a window that passed them all but without enough neighbors scores from -1 to
    0. Unavailable or CorruptData as :class:`ViolaJones`.
    """

    name = "viola-jones"

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._device = torch.device(device)
        self._text = catalog.read_verified(catalog.model_info(self.name)).decode()
        self._own = threading.local()
        _ = self._machines  # whatever is wrong with the file shows now

    @property
    def _machines(self) -> tuple[ViolaJones, dict[int, cv2.CascadeClassifier]]:
        """The calling thread's own: OpenCV's classifiers keep the image that they are working on."""
        if not hasattr(self._own, "machines"):
            cut = {stages: _cascade(text) for stages, text in _shortened(self._text).items()}
            self._own.machines = ViolaJones(), cut
        machines: tuple[ViolaJones, dict[int, cv2.CascadeClassifier]] = self._own.machines
        return machines

    def score(self, images: torch.Tensor, regions: torch.Tensor | None = None) -> Detections:
        """See :meth:`services.recognition.detect.Detector.score`; images uint8 (n, H, W, 3)."""
        pixels = images.cpu().numpy()
        wanted = None if regions is None else regions.cpu().numpy()
        scores = np.full(len(pixels), FLOOR, np.float32)
        boxes = np.zeros((len(pixels), 4), np.float32)
        for k, verdict in enumerate(self._machines[0].detect(pixels, wanted)):
            if verdict.accepted and verdict.box_px is not None:
                scores[k], boxes[k] = _surer(verdict.level_weight), verdict.box_px
            else:
                region = None if wanted is None else wanted[k]
                scores[k], boxes[k] = self._nearest(pixels[k], region)
        return Detections(torch.from_numpy(scores).to(self._device), torch.from_numpy(boxes).to(self._device))

    def faces(self, image: torch.Tensor) -> Detections:
        """See :meth:`services.recognition.detect.ReportsFaces.faces`."""
        found = self._machines[0].faces(image.cpu().numpy())
        scores = torch.tensor([_surer(weight) for weight, _ in found], dtype=torch.float32)
        boxes = torch.tensor([box for _, box in found], dtype=torch.float32).reshape(-1, 4)
        return Detections(scores.to(self._device), boxes.to(self._device))

    def _nearest(
        self, image: NDArray[np.uint8], region: NDArray[np.float32] | None
    ) -> tuple[float, NDArray[np.float32]]:
        """Score and box of the window that got furthest, from the longest cascade that tells of one."""
        gray = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
        for stages in _CUTS:
            # Without grouping: single windows count, since a crowd of them is what a face is.
            found, levels, weights = self._machines[1][stages].detectMultiScale3(
                gray,
                scaleFactor=SCALE_FACTOR,
                minNeighbors=0,
                minSize=(MIN_SIZE_PX, MIN_SIZE_PX),
                outputRejectLevels=True,
            )
            if len(found) == 0:
                continue
            corners = np.asarray(found, np.float32)
            boxes = np.concatenate([corners[:, :2], corners[:, :2] + corners[:, 2:]], axis=1)
            inside = _centered(boxes, region)
            if not inside.any():
                continue
            passed, sums = np.ravel(levels)[inside].tolist(), np.ravel(weights)[inside].tolist()
            # Ties go to the box, so that the order in which OpenCV's threads finish does not matter.
            stage, total, box = max(zip(passed, sums, map(tuple, boxes[inside].tolist()), strict=True))
            near = 1.0 / (1.0 + math.exp(-total / 2.0))
            return float(stage) - STAGES - 1.0 + near, np.array(box, np.float32)
        return FLOOR, np.zeros(4, np.float32)


def _surer(weight: float) -> float:
    """The score of an accepted face."""
    return max(0.01, weight / 2.0)


def _centered(boxes: NDArray[np.float32], region: NDArray[np.float32] | None) -> NDArray[np.bool_]:
    if region is None:
        return np.ones(len(boxes), np.bool_)
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    inside: NDArray[np.bool_] = (x >= region[0]) & (x <= region[2]) & (y >= region[1]) & (y <= region[3])
    return inside


@lru_cache(maxsize=1)  # of an installed file, for every lane and every machine of this process
def _shortened(text: str) -> dict[int, str]:
    """The cascade's file with its first 25, 21, ... stages only, by their number."""
    root = ET.fromstring(text)
    listed, count = root.find("cascade/stages"), root.find("cascade/stageNum")
    if listed is None or count is None or len(listed) != STAGES:
        raise CorruptData("viola-jones: the cascade's file has not 25 stages; install OpenCV 4.14 again")
    texts = {}
    for stages in _CUTS:
        for stage in list(listed)[stages:]:
            listed.remove(stage)
        count.text = str(stages)
        texts[stages] = '<?xml version="1.0"?>\n' + ET.tostring(root, encoding="unicode")
    return texts


def _cascade(text: str) -> cv2.CascadeClassifier:
    """The classifier of a file's text."""
    storage = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
    cascade = cv2.CascadeClassifier()
    if not cascade.read(storage.getFirstTopLevelNode()):
        raise CorruptData("viola-jones: OpenCV cannot read the cascade's file; install OpenCV 4.14 again")
    return cascade
