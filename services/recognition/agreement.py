"""What several detectors say of a picture in the one place where they agree best.

The mean of what detectors say lets one that is content pay for one that refuses, and two that each see a face
somewhere need not see the same one. So the place is one of the first detector's windows (an anchor), where
each of the others has its best window among those that overlap the anchor. Of all anchors the one is taken
where the mean of the saturated margins is highest: of what lies beyond a threshold only a part counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from services.compiled import compiled
from services.recognition.detect import Windows
from services.recognition.margins import SURE
from services.recognition.model import AnswerKind

LEAST_IOU = np.float32(0.3)
"""Windows overlap where they have at least this share of their union in common."""

_CUDA_SLICE = 16  # pictures whose windows are paired at a time: 90 MB of 160 px

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Reading:
    """How a detector's answers read: measure, threshold and scale as in :class:`ModelInfo`.

    slope: the part of a margin above 0 that counts.
    """

    measure: AnswerKind
    threshold: float
    scale: float
    slope: float

    def content(self, scores: torch.Tensor) -> torch.Tensor:
        """Saturated margins, float32 of the scores' shape."""
        gap = scores - self.threshold
        if self.measure == "probability":  # in 64 bits, so that vectors and their ends round alike
            gap = (_log_odds(scores) - _log_odds(torch.tensor(self.threshold))).float()
        margin = gap / self.scale
        return torch.where(margin > 0, margin * self.slope, margin)


class Agreement:
    """Finds the place for two detectors or more.

    What a picture scores does not depend on how many others come along. Which windows overlap is found out
    once for a size of pictures, where windows lie alike in all of them (HOG's and MMOD's do).

    :param readings: how each detector's answers read, in the detectors' order.
    """

    def __init__(self, readings: Sequence[Reading]) -> None:
        if len(readings) < 2:
            raise ValueError(f"readings: expected two or more, got {len(readings)}")
        self._readings = tuple(readings)
        self._lists: dict[tuple[int, int, int], tuple[NDArray[np.int64], NDArray[np.int64]]] = {}

    @torch.inference_mode()
    def scores(
        self, windows: Sequence[Windows], regions: torch.Tensor | None, size_px: Sequence[int]
    ) -> torch.Tensor:
        """Every detector's score in the place that is taken, float32 (detectors, n), in its own units: its
        floor where it has no window there, or where the first detector has none in the region.

        windows: each detector's, of n pictures. regions: float32 (n, 4) boxes in pixels that windows are
        centered in, or None for anywhere. size_px: height and width of the pictures.
        """
        anchors = windows[0].inside(regions)
        near = [windows[0].scores]
        for k, other in enumerate(windows[1:], 1):
            usable = other.scores.masked_fill(~other.inside(regions), other.floor)
            kept = k, size_px[0], size_px[1]
            near.append(self._overlapping(kept, windows[0], anchors, other, usable))
        content = torch.stack([r.content(s) for r, s in zip(self._readings, near, strict=True)]).mean(dim=0)
        if not content.shape[1]:  # of pictures too small for the first detector
            return torch.stack(
                [anchors.new_full(anchors.shape[:1], w.floor, dtype=torch.float32) for w in windows]
            )
        place = content.masked_fill(~anchors, -torch.inf).argmax(dim=1, keepdim=True)
        nowhere = ~anchors.gather(1, place)
        found = [
            scores.gather(1, place).masked_fill(nowhere, window.floor)[:, 0]
            for scores, window in zip(near, windows, strict=True)
        ]
        return torch.stack(found)

    def _overlapping(
        self,
        kept: tuple[int, int, int],
        first: Windows,
        anchors: torch.Tensor,
        other: Windows,
        usable: torch.Tensor,
    ) -> torch.Tensor:
        """float32 (n, a): the best of the other's ``usable`` scores (n, k) that overlaps each anchor that
        counts (n, a).
        """
        alike = first.boxes_px.ndim == other.boxes_px.ndim == 2
        if usable.is_cuda:
            return overlapping(first.boxes_px, other.boxes_px, usable, other.floor)
        best = np.full(anchors.shape, other.floor, np.float32)
        scores, counts = usable.numpy(), anchors.numpy()
        if alike:
            if kept not in self._lists:
                pairs = overlap(first.boxes_px[None], other.boxes_px[None])[0]
                ends = np.cumsum(pairs.sum(dim=1).numpy())
                self._lists[kept] = np.concatenate([[0], ends]), pairs.nonzero()[:, 1].numpy()
            _best_listed(scores, counts, *self._lists[kept], best)
        else:
            _best_overlapping(scores, counts, _boxes(first), _boxes(other), best)
        return torch.from_numpy(best)


def overlap(boxes_px: torch.Tensor, others_px: torch.Tensor) -> torch.Tensor:
    """Which of boxes (n, a, 4) and others (n, k, 4) overlap: bool (n, a, k)."""
    a, b = boxes_px[:, :, None], others_px[:, None]
    width = torch.minimum(a[..., 2], b[..., 2]) - torch.maximum(a[..., 0], b[..., 0])
    height = torch.minimum(a[..., 3], b[..., 3]) - torch.maximum(a[..., 1], b[..., 1])
    common = width.clamp_min(0.0) * height.clamp_min(0.0)
    area, other = ((c[..., 2] - c[..., 0]) * (c[..., 3] - c[..., 1]) for c in (a, b))
    return (common > 0) & (common >= float(LEAST_IOU) * (area + other - common))


def overlapping(
    boxes_px: torch.Tensor, others_px: torch.Tensor, usable: torch.Tensor, floor: float
) -> torch.Tensor:
    """float32 (n, a): of scores (n, k) of other windows the best that overlaps each box, or the floor.

    boxes_px: (a, 4) or (n, a, 4); others_px: (k, 4) or (n, k, 4). On any device; what the compiled loops are
    tested against.
    """
    found = []
    for start in range(0, max(1, len(usable)), _CUDA_SLICE):
        at = slice(start, start + _CUDA_SLICE)
        one, other = (b[None] if b.ndim == 2 else b[at] for b in (boxes_px, others_px))
        found.append(usable[at, None].masked_fill(~overlap(one, other), floor).amax(dim=2))
    return torch.cat(found)


def _log_odds(probability: torch.Tensor) -> torch.Tensor:
    bounded = probability.double().clamp(SURE, 1.0 - SURE)
    return (bounded / (1.0 - bounded)).log()


def _boxes(windows: Windows) -> Float:
    """(1, k, 4) or (n, k, 4)."""
    boxes: Float = windows.boxes_px.contiguous().numpy()
    return boxes[None] if boxes.ndim == 2 else boxes


@compiled
def _best_listed(
    scores: Float, counts: NDArray[np.bool_], ends: NDArray[np.int64], listed: NDArray[np.int64], best: Float
) -> None:
    for n in range(len(scores)):
        for anchor in range(counts.shape[1]):
            if counts[n, anchor]:
                highest = best[n, anchor]
                for k in range(ends[anchor], ends[anchor + 1]):
                    highest = max(highest, scores[n, listed[k]])
                best[n, anchor] = highest


@compiled
def _best_overlapping(
    scores: Float, counts: NDArray[np.bool_], boxes: Float, others: Float, best: Float
) -> None:
    nothing = np.float32(0)
    for n in range(len(scores)):
        mine, theirs = boxes[n % len(boxes)], others[n % len(others)]
        for anchor in range(counts.shape[1]):
            if counts[n, anchor]:
                a, highest = mine[anchor], best[n, anchor]
                area = (a[2] - a[0]) * (a[3] - a[1])
                for k in range(scores.shape[1]):
                    if scores[n, k] > highest:
                        b = theirs[k]
                        width = max(min(a[2], b[2]) - max(a[0], b[0]), nothing)
                        height = max(min(a[3], b[3]) - max(a[1], b[1]), nothing)
                        common = width * height
                        other = (b[2] - b[0]) * (b[3] - b[1])
                        if common > nothing and common >= LEAST_IOU * (area + other - common):
                            highest = scores[n, k]
                best[n, anchor] = highest
