"""OpenCV's frontal face cascade: by habit a critic, a second machine that had no part in the search.

Viola and Jones, Rapid Object Detection using a Boosted Cascade of Simple Features, CVPR 2001, in the version
that comes with OpenCV 4 (Rainer Lienhart's Haar features). It answers yes or no; how near a no came to a yes
is in the stages that a window passed (see graded_cascade.py). Per image and on the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from services.errors import BadInput, CorruptData
from services.recognition import catalog

Box = tuple[float, float, float, float]

SCALE_FACTOR = 1.1
"""From one window size to the next; OpenCV's default."""

MIN_NEIGHBORS = 3
"""How many windows of about the same place must agree; OpenCV's default."""

MIN_SIZE_PX = 24
"""The smallest window; the size that the cascade was trained at."""


@dataclass(frozen=True)
class CascadeVerdict:
    """What the cascade says to one image.

    accepted: OpenCV's plain detectMultiScale reports a face whose center lies in the region.
    box_px: left, top, right, bottom of the surest such face; if none is accepted, of the window centered in
        the region that came nearest; None if there is none (OpenCV tells of late failures only).
    stages: how many stages that window passed; all 25 make a face. 0 without a window.
    level_weight: the sum of its last stage, larger is surer; 0.0 without a window. Compare weights at equal
        `stages` only.
    """

    accepted: bool
    box_px: Box | None
    stages: int
    level_weight: float


@dataclass(frozen=True)
class _Window:
    stages: int
    weight: float
    box_px: Box


class ViolaJones:
    """OpenCV's ``haarcascade_frontalface_default`` with the settings above.

    Gray is OpenCV's own from RGB, without histogram equalization: the verdict is that of the plain call.
    Unavailable or CorruptData if the cascade's file is missing or is not the one in the catalog.
    """

    name = "viola-jones"

    def __init__(self) -> None:
        path = catalog.verify(catalog.model_info(self.name))
        self._cascade = cv2.CascadeClassifier(str(path))
        if self._cascade.empty():
            raise CorruptData(f"{self.name}: OpenCV {cv2.__version__} cannot read {path}; use OpenCV 4.14")

    def detect(
        self, images: NDArray[np.uint8], regions: NDArray[np.float32] | None = None
    ) -> tuple[CascadeVerdict, ...]:
        """One verdict per image.

        images: uint8 (n, H, W, 3), sRGB. regions: (n, 4) boxes left, top, right, bottom in pixels that a
        face's center must lie in, or None for anywhere. BadInput for other shapes or types.
        """
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            found = f"{images.dtype} {images.shape}"
            raise BadInput(f"ViolaJones: images are {found}, expected uint8 (n, H, W, 3)")
        if regions is not None and regions.shape != (len(images), 4):
            raise BadInput(f"ViolaJones: regions are {regions.shape}, expected ({len(images)}, 4)")
        return tuple(
            self._verdict(image, None if regions is None else regions[index])
            for index, image in enumerate(images)
        )

    def faces(self, image: NDArray[np.uint8]) -> list[tuple[float, Box]]:
        """Weight (0.0 where OpenCV tells none) and box of each face that a plain call reports in one image
        uint8 (H, W, 3), surest first.
        """
        accepted, near = self._asked(image)
        weights = {window.box_px: window.weight for window in near}
        return sorted(((weights.get(box, 0.0), box) for box in accepted), reverse=True)

    def _verdict(self, image: NDArray[np.uint8], region: NDArray[np.float32] | None) -> CascadeVerdict:
        reported, near = self._asked(image)
        accepted = [box for box in reported if _center_in(box, region)]
        windows = [window for window in near if _center_in(window.box_px, region)]
        faces = [window for window in windows if window.box_px in accepted]
        # Ties go to the box, so that the order in which OpenCV's threads finish does not matter.
        best = max(faces or windows, key=lambda w: (w.stages, w.weight, w.box_px), default=None)
        if best is None:
            return CascadeVerdict(bool(accepted), max(accepted, default=None), 0, 0.0)
        return CascadeVerdict(bool(accepted), best.box_px, best.stages, best.weight)

    def _asked(self, image: NDArray[np.uint8]) -> tuple[list[Box], list[_Window]]:
        """The faces that a plain call reports, and the windows that came near."""
        gray = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
        smallest = (MIN_SIZE_PX, MIN_SIZE_PX)
        # Asked for levels, OpenCV also groups windows that failed late: the yes or no is a plain call's.
        plain = self._cascade.detectMultiScale(
            gray, scaleFactor=SCALE_FACTOR, minNeighbors=MIN_NEIGHBORS, minSize=smallest
        )
        graded = self._cascade.detectMultiScale3(
            gray,
            scaleFactor=SCALE_FACTOR,
            minNeighbors=MIN_NEIGHBORS,
            minSize=smallest,
            outputRejectLevels=True,
        )
        near = [
            _Window(int(stages), float(weight), _box(face))
            for face, stages, weight in zip(*graded, strict=True)
        ]
        return [_box(face) for face in plain], near


def _box(face: NDArray[np.int32]) -> Box:
    """OpenCV's x, y, width, height as left, top, right, bottom."""
    x, y, width, height = (float(value) for value in face)
    return x, y, x + width, y + height


def _center_in(box: Box, region: NDArray[np.float32] | None) -> bool:
    if region is None:
        return True
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return bool(region[0] <= x <= region[2] and region[1] <= y <= region[3])
