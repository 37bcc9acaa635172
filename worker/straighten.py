"""The points that a recognizer straightens a face by, as the search takes them.

Where dlib's HOG sees the mask, its box and dlib's landmark predictor give the points of dlib's recognizer,
just as in dlib; elsewhere, and for other recognizers, the mask's own vertices do, projected through the known
camera.
"""

from __future__ import annotations

import torch

from services.recognition import catalog
from services.recognition.dlib import alignment
from services.recognition.dlib.landmarks import LandmarkPredictor
from worker.scorer import ALIGNING, dlib_points

IN_WORDS = (
    "where dlib's HOG sees the face: its box and dlib's landmark predictor; elsewhere the basis's own "
    "landmark vertices through the known camera; photographs: dlib's whole own pipeline"
)


class Straightener:
    """Finds faces and points, on the device where the pictures are."""

    def __init__(self, device: str = "cpu") -> None:
        self._detector = catalog.detector(ALIGNING, device)
        self._predictor = LandmarkPredictor(device)
        self._threshold = catalog.model_info(ALIGNING).threshold

    @torch.inference_mode()
    def find(
        self, names: tuple[str, ...], images: torch.Tensor, regions: torch.Tensor, own: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Points (n, k, 2) named ``names``, and whether the detector sees a face: bool (n,).

        images: uint8 (n, S, S, 3). regions: float32 (n, 4), the masks' boxes. own: the masks' own points.
        """
        face = self._detector.score(images, regions)
        points = own
        if names == alignment.POINT_NAMES:
            points = dlib_points(self._predictor, images, face, own)
        return points, face.score > self._threshold
