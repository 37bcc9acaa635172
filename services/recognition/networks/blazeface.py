"""BlazeFace, the face detector of Google's MediaPipe, in two sizes, graded and batched.

Bazarevsky et al., BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs, 2019. Anchors and decoding
as MediaPipe has them (mediapipe/modules/face_detection, ssd_anchors_calculator.cc,
tensors_to_detections_calculator.cc).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F

from services.recognition import catalog
from services.recognition.detect import Windows
from services.recognition.networks.network import Network
from services.recognition.networks.tflite_steps import read_steps
from services.recognition.networks.windows import WindowDetector, by_cell, cells, pair

FULL, SHORT = "blazeface-full", "blazeface-short"

# Half the mouth's width, in distances between the eyes: as in ArcFace's template (see template.py).
_HALF_MOUTH = 0.414


@dataclass(frozen=True)
class _Kind:
    """side_px: of its square picture. maps: names of scores and boxes, and the anchors in each cell."""

    side_px: int
    maps: tuple[tuple[str, str, int], ...]


_KINDS = {
    FULL: _Kind(192, (("classifier_face_4", "regressor_face_4", 1),)),
    SHORT: _Kind(128, (("classificator_8", "regressor_8", 2), ("classificator_16", "regressor_16", 6))),
}


class BlazeFace(WindowDetector):
    """name: FULL or SHORT. A picture is brought to the network's size, black beside it or above
    and below where it is not square, without smoothing where it is larger, as MediaPipe does.

    The network finds eyes, nose tip and the mouth's middle (and ears); the mouth's corners are put left and
    right of that, along the line of the eyes. Errors as :class:`YuNet`.
    """

    def __init__(self, name: str, device: str | torch.device = "cpu") -> None:
        self.name = name
        self._kind = _KINDS[name]
        data = catalog.read_verified(catalog.model_info(name))
        outputs = [output for scores, boxes, _ in self._kind.maps for output in (scores, boxes)]
        super().__init__(Network(read_steps(data, name), outputs, device), device)

    def _windows(self, images: torch.Tensor) -> Windows:
        side = self._kind.side_px
        pictures, enlarged, left, top = framed(images, side)
        answers = self._network(pictures * (1.0 / 127.5) - 1.0)
        n = len(images)
        scores = torch.cat([by_cell(part).reshape(n, -1) for part in answers[0::2]], dim=1)
        numbers = torch.cat([by_cell(part).reshape(n, -1, 8, 2) for part in answers[1::2]], dim=1)
        center = _anchors(self._kind, scores.device) + numbers[:, :, 0]
        half = numbers[:, :, 1] / 2
        marks = _anchors(self._kind, scores.device)[:, None] + numbers[:, :, 2:6]
        edge = pair(left, top, scores.device)
        boxes = torch.cat([center - half - edge, center + half - edge], dim=-1) / enlarged
        return Windows(scores.sigmoid(), boxes, points_px=_five((marks - edge) / enlarged))


def framed(images: torch.Tensor, side_px: int) -> tuple[torch.Tensor, float, int, int]:
    """Pictures uint8 (n, H, W, 3) as whole numbers float32 (n, 3, side, side), by how much they were
    enlarged, and how many columns left of them and rows above them are black.
    """
    height, width = images.shape[1:3]
    enlarged = side_px / max(height, width)
    size = (max(1, round(height * enlarged)), max(1, round(width * enlarged)))
    planes = images.permute(0, 3, 1, 2).float()
    if size != (height, width):
        planes = F.interpolate(planes, size, mode="bilinear", align_corners=False)
        planes = (planes + 0.5).floor()
    down, across = side_px - size[0], side_px - size[1]
    top, left = down // 2, across // 2
    return F.pad(planes, (left, across - left, top, down - top)), enlarged, left, top


@lru_cache(maxsize=8)
def _anchors(kind: _Kind, device: torch.device) -> torch.Tensor:
    """Centers of all anchors, float32 (k, 2), x and y in pixels of the network's picture."""
    found = []
    for scores, _, count in kind.maps:
        stride = int(scores.rpartition("_")[2])
        rows = kind.side_px // stride
        found.append(((cells(rows, rows, device) + 0.5) * stride).repeat_interleave(count, dim=0))
    return torch.cat(found)


def _five(marks: torch.Tensor) -> torch.Tensor:
    """Pupils, nose tip and mouth corners (..., 5, 2) from eyes, nose tip and mouth's middle (..., 4, 2)."""
    eyes, nose, mouth = marks[..., :2, :], marks[..., 2:3, :], marks[..., 3:, :]
    aside = (eyes[..., 1:, :] - eyes[..., :1, :]) * _HALF_MOUTH
    return torch.cat([eyes, nose, mouth - aside, mouth + aside], dim=-2)
