"""YuNet, the face detector that OpenCV has had since 2021, graded and batched.

Wu, Peng and Yu, YuNet: A Tiny Millisecond-level Face Detector, Machine Intelligence Research 2023. Decoded as
OpenCV's cv2.FaceDetectorYN does (modules/objdetect/src/face_detect.cpp), which keeps what is above a
threshold.
"""

from __future__ import annotations

import torch

from services.recognition import catalog
from services.recognition.detect import Windows
from services.recognition.networks.network import Network
from services.recognition.networks.onnx_steps import read_steps
from services.recognition.networks.windows import WindowDetector, by_cell, cells, planes

NAME = "yunet"
_STRIDES = (8, 16, 32)
_OUTPUTS = tuple(f"{part}_{stride}" for stride in _STRIDES for part in ("cls", "obj", "bbox", "kps"))


class YuNet(WindowDetector):
    """A picture is looked at in its own size, black at the right and below up to a multiple of 32 pixels.

    :raises Unavailable: without the weights.
    :raises CorruptData: if they are damaged.
    """

    name = NAME

    def __init__(self, device: str | torch.device = "cpu") -> None:
        data = catalog.read_verified(catalog.model_info(NAME))
        super().__init__(Network(read_steps(data, NAME), _OUTPUTS, device), device)

    def _windows(self, images: torch.Tensor) -> Windows:
        answers = iter(self._network(planes(images, _STRIDES[-1]).flip(1)))  # blue, green, red
        scores, boxes, points = [], [], []
        for stride in _STRIDES:
            face, thing, box, marks = (next(answers) for _ in range(4))
            at = cells(face.shape[2], face.shape[3], face.device)
            face, thing, box, marks = (by_cell(part) for part in (face, thing, box, marks))
            scores.append((face.sigmoid() * thing.sigmoid()).sqrt()[..., 0])
            center, half = (at + box[..., :2]) * stride, box[..., 2:].exp() * (stride / 2)
            boxes.append(torch.cat([center - half, center + half], dim=-1))
            # OpenCV hands them to warpAffine as they are: they are pixel indices.
            points.append((at[:, None] + marks.reshape(*marks.shape[:2], 5, 2)) * stride + 0.5)
        return Windows(torch.cat(scores, 1), torch.cat(boxes, 1), points_px=torch.cat(points, 1))
