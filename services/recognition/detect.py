"""What every graded face detector of the inner loop looks like from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

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


@dataclass(frozen=True)
class Windows:
    """What a detector says of every place: all k windows of n pictures of one size.

    scores: float32 (n, k). boxes_px: float32 (n, k, 4), or (k, 4) where they lie alike in every picture.
    floor: the detector's documented floor score. points_px: float32 (n, k, 5, 2), from detectors that find
    landmarks. centers_px: float32 (..., 2), where a detector has them otherwise than as its boxes' middles.
    """

    scores: torch.Tensor
    boxes_px: torch.Tensor
    floor: float = 0.0
    points_px: torch.Tensor | None = None
    centers_px: torch.Tensor | None = None

    def inside(self, regions: torch.Tensor | None) -> torch.Tensor:
        """Which windows are centered in their picture's region (n, 4), its borders too: bool (n, k)."""
        if regions is None:
            return torch.ones_like(self.scores, dtype=torch.bool)
        if self.centers_px is not None:
            return centers_in_regions(self.centers_px, regions)
        return centers_in_regions((self.boxes_px[..., :2] + self.boxes_px[..., 2:]) / 2, regions)

    def best(self, regions: torch.Tensor | None) -> Detections:
        """The best window of each picture among those that are centered in its region."""
        highest, index = self.scores.masked_fill(~self.inside(regions), -torch.inf).max(dim=1)
        rows, nowhere = torch.arange(len(index), device=index.device), torch.isneginf(highest)
        boxes = self.boxes_px[index] if self.boxes_px.ndim == 2 else self.boxes_px[rows, index]
        points = None
        if self.points_px is not None:
            points = self.points_px[rows, index].masked_fill(nowhere[:, None, None], 0.0)
        return Detections(
            highest.masked_fill(nowhere, self.floor), boxes.masked_fill(nowhere[:, None], 0.0), points
        )


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


@runtime_checkable
class GradesEveryPlace(Protocol):
    """A detector that hands out all its windows; its entry in the catalog says so (``ModelInfo.windows``)."""

    def windows(self, images: torch.Tensor) -> Windows:
        """All windows of images uint8 (n, S, S, 3). Their :meth:`Windows.best` is what ``score`` gives."""
        ...


@runtime_checkable
class ReportsFaces(Protocol):
    """A detector that does not grade every place, but says of each face that it reports where it is."""

    def faces(self, image: torch.Tensor) -> Detections:
        """The k faces in one picture uint8 (H, W, 3), best first: a row for each, all above the threshold."""
        ...


def centers_in_regions(centers_px: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
    """Which windows count: bool (n, k) for centers float32 (k, 2) or (n, k, 2) as x, y and regions float32
    (n, 4).
    """
    x, y = centers_px[..., 0], centers_px[..., 1]
    left, top, right, bottom = (regions[:, side : side + 1] for side in range(4))
    return (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
