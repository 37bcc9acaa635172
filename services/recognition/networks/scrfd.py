"""insightface's SCRFD face detectors (Guo et al. 2022), graded and batched.

The package keeps what is above a threshold, image by image. Here every anchor counts: the score of an image
is the highest probability in its region, however low, so that a search has something to climb.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F

from services.errors import BadInput
from services.recognition.detect import Detections
from services.recognition.model import ModelInfo
from services.recognition.networks.onnx_session import OnnxNetwork

_GRID_PX = 32


class ScrfdDetector:
    """Implements :class:`services.recognition.detect.Detector`; its scores are probabilities, its floor is 0.

    A picture is scored as it is, filled up with black at the right and below to a multiple of 32 pixels, or
    enlarged where the file takes one size only. The package would enlarge it to 128 and to 640 pixels; tell
    it ``input_size`` to compare. Errors as :class:`OnnxNetwork`.
    """

    def __init__(self, info: ModelInfo, device: str | torch.device = "cpu") -> None:
        self.name = info.name
        self._network = OnnxNetwork(info, device)
        if self._network.shape.kind != "detect":
            raise BadInput(f"model {info.name!r}: the file holds no detector")
        model = self._network.package.model
        self._strides = tuple(int(stride) for stride in model._feat_stride_fpn)
        self._anchors = int(model._num_anchors)
        self._points = bool(model.use_kps)

    @torch.inference_mode()
    def score(self, images: torch.Tensor, regions: torch.Tensor | None = None) -> Detections:
        """See :meth:`services.recognition.detect.Detector.score`. Landmarks come along where the model has
        them.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise ValueError(f"images: expected uint8 (n, H, W, 3), got {images.dtype} {tuple(images.shape)}")
        pictures, shrink = self._framed(images)
        outputs = self._network.run(self._network.normalized(pictures))
        scores, boxes, points = self._decoded(outputs, pictures.shape[1], pictures.shape[2])
        boxes = boxes / shrink
        if regions is not None:
            x, y = (boxes[..., 0] + boxes[..., 2]) / 2, (boxes[..., 1] + boxes[..., 3]) / 2
            left, top, right, bottom = (regions[:, side : side + 1] for side in range(4))
            inside = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
            scores = torch.where(inside, scores, -1.0)
        best, index = scores.max(dim=1)
        rows = torch.arange(len(images), device=best.device)
        found = best >= 0
        # The package's landmarks are pixel indices: it hands them to warpAffine as they are.
        marks = None if points is None else (points[rows, index] / shrink + 0.5) * found[:, None, None]
        return Detections(best.clamp_min(0.0), boxes[rows, index] * found[:, None], marks)

    def _framed(self, images: torch.Tensor) -> tuple[torch.Tensor, float]:
        """Pictures of a size that the network takes, and by how much they were enlarged."""
        height, width = images.shape[1:3]
        fixed = self._network.shape.size_px
        if fixed is None:
            return F.pad(images, (0, 0, 0, -width % _GRID_PX, 0, -height % _GRID_PX)), 1.0
        enlarge = fixed / max(height, width)
        planes = images.permute(0, 3, 1, 2).float()
        size = (min(fixed, round(height * enlarge)), min(fixed, round(width * enlarge)))
        scaled = F.interpolate(planes, size, mode="bilinear", align_corners=False)
        scaled = F.pad((scaled + 0.5).floor(), (0, fixed - size[1], 0, fixed - size[0]))
        return scaled.to(torch.uint8).permute(0, 2, 3, 1), enlarge

    def _decoded(
        self, outputs: list[torch.Tensor], height: int, width: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Probabilities (n, k), boxes (n, k, 4) and landmarks (n, k, 5, 2) of all anchors of all levels.

        Distances from an anchor's center, in strides, to the box's sides and to the landmarks.
        """
        levels = len(self._strides)
        scores, boxes, points = [], [], []
        for level, stride in enumerate(self._strides):
            center = _centers(height // stride, width // stride, stride, self._anchors, outputs[0].device)
            reach = outputs[level + levels] * stride
            if reach.shape[1] != len(center):
                raise BadInput(
                    f"model {self.name!r}: {reach.shape[1]} anchors at stride {stride}, expected "
                    f"{len(center)} for {width} x {height} pixels: not an SCRFD detector"
                )
            scores.append(outputs[level].flatten(1))
            boxes.append(torch.cat([center - reach[..., :2], center + reach[..., 2:]], dim=-1))
            if self._points:
                marks = outputs[level + 2 * levels] * stride
                points.append(center[:, None] + marks.reshape(*marks.shape[:2], -1, 2))
        together = torch.cat(points, dim=1) if points else None
        return torch.cat(scores, dim=1), torch.cat(boxes, dim=1), together


@lru_cache(maxsize=64)
def _centers(rows: int, columns: int, stride: int, anchors: int, device: torch.device) -> torch.Tensor:
    """float32 (rows * columns * anchors, 2), x and y: the package's own, without half a stride's offset."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    centers = torch.stack([x, y], dim=-1).reshape(-1, 1, 2).expand(-1, anchors, 2).reshape(-1, 2)
    return (centers * stride).float().to(device)
