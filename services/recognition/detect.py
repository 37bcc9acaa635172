"""What every graded face detector of the inner loop looks like from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch


@dataclass(frozen=True)
class Detections:
    """The best window of each image.

    score: float32 (n,), graded; a detector's threshold is in the catalog (dlib's are 0).
    box_px: float32 (n, 4), left, top, right, bottom in continuous pixel coordinates (pixel centers at .5).
    points_px: float32 (n, 5, 2), pupils, nose tip and mouth corners (template.POINT_NAMES) in the same
    coordinates, from detectors that find them; else None.
    """

    score: torch.Tensor
    box_px: torch.Tensor
    points_px: torch.Tensor | None = None


class Detector(Protocol):
    """A face detector that says not only whether but how much it sees a face."""

    @property
    def name(self) -> str:
        """The detector's name in the model catalog."""
        ...

    def score(self, images: torch.Tensor, regions: torch.Tensor | None = None) -> Detections:
        """The highest score of each image among windows whose center lies in its region.

        images: uint8 (n, S, S, 3), sRGB. regions: float32 (n, 4) boxes in pixels, borders included, or None
        for anywhere. Images where no window qualifies get the detector's documented floor score and a box of
        zeros. No non-maximum suppression takes place: a maximum does not need it.
        """
        ...


def centers_in_regions(centers_px: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
    """Which windows count: bool (n, k) for centers float32 (k, 2) as x, y and regions float32 (n, 4)."""
    x, y = centers_px[:, 0], centers_px[:, 1]
    left, top, right, bottom = (regions[:, side : side + 1] for side in range(4))
    return (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
