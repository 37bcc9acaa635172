"""dlib's MMOD face detector, graded and batched in torch, from dlib's own weights.

The network (King 2015, Max-Margin Object Detection, and dlib's dnn_mmod_face_detection_ex.cpp) slides a window of
80 x 80 pixels with stride 8 over dlib's tiled pyramid; see tiling.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from services.errors import CorruptData
from services.recognition import catalog, tiling
from services.recognition.detect import Detections, centers_in_regions
from services.recognition.dlib_weights import FoldedConvolution, fold, load

FLOOR = -3.0
NAME = "dlib-mmod"


@dataclass(frozen=True)
class _Plan:
    """What does not change between images of one size."""

    canvas: tiling.Canvas
    centers_px: torch.Tensor
    boxes_px: torch.Tensor


class MmodDetector:
    """Implements services.recognition.detect.Detector; its floor score is FLOOR."""

    name = NAME

    def __init__(self, device: str | torch.device = "cpu", weights: Path | None = None) -> None:
        network = load(catalog.model_info(NAME), weights)
        layers = fold(network.layers)
        if network.window_px is None or not layers:
            raise CorruptData(f"{NAME}: the file holds no sliding-window detector; install the weights again")
        self._window_px = network.window_px
        self._device = torch.device(device)
        self._mean = torch.tensor(network.mean_rgb, device=self._device).view(1, 3, 1, 1)
        self._layers: list[tuple[FoldedConvolution, torch.Tensor, torch.Tensor]] = []
        for layer in layers:
            if not isinstance(layer, FoldedConvolution):
                raise CorruptData(
                    f"{NAME}: unexpected {type(layer).__name__} layer; install the weights again"
                )
            filters = torch.tensor(layer.filters, device=self._device)
            filters = filters.contiguous(memory_format=torch.channels_last)
            self._layers.append((layer, filters, torch.tensor(layer.bias, device=self._device)))
        self._plans: dict[tuple[int, int], _Plan] = {}

    @torch.inference_mode()
    def score(self, images: torch.Tensor, regions: torch.Tensor | None = None) -> Detections:
        plan = self._plan(images.shape[1], images.shape[2])
        scores = self._scores(images, plan.canvas).flatten(1)
        if regions is not None:
            counts = centers_in_regions(plan.centers_px, regions)
            scores = scores.masked_fill(~counts, -torch.inf)
        best, index = scores.max(dim=1)
        boxes = plan.boxes_px[index]
        none = torch.isneginf(best)
        return Detections(best.masked_fill(none, FLOOR), boxes.masked_fill(none[:, None], 0.0))

    def _plan(self, height: int, width: int) -> _Plan:
        plan = self._plans.get((height, width))
        if plan is None:
            canvas = tiling.layout(height, width)
            rows, columns, stride, offset = self._grid(canvas.height, canvas.width)
            windows = tiling.windows(canvas, rows, columns, stride, offset, self._window_px)
            centers = torch.from_numpy(windows.centers_px).to(self._device)
            plan = _Plan(canvas, centers, torch.from_numpy(windows.boxes_px).to(self._device))
            self._plans[height, width] = plan
        return plan

    def _grid(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Rows and columns of the answer, and which canvas pixel a cell is centered on (stride, offset)."""
        stride, offset = 1, 0
        for layer, _, _ in self._layers:
            size = layer.filters.shape[2]
            height = (height + 2 * layer.padding - size) // layer.stride + 1
            width = (width + 2 * layer.padding - size) // layer.stride + 1
            offset += stride * (size // 2 - layer.padding)
            stride *= layer.stride
        return height, width, stride, offset

    def _scores(self, images: torch.Tensor, canvas: tiling.Canvas) -> torch.Tensor:
        """float32 (n, rows, columns): the network's answer over the canvas of uint8 images (n, H, W, 3)."""
        x = self._fill(images, canvas)
        for layer, filters, bias in self._layers:
            x = F.conv2d(x, filters, bias, layer.stride, layer.padding)
            if layer.relu:
                x = x.relu_()
        return x[:, 0]

    def _fill(self, images: torch.Tensor, canvas: tiling.Canvas) -> torch.Tensor:
        """The canvas, float32 (n, 3, H, W), channels last: levels with the mean taken off, zero between them.

        dlib shrinks the normalized float levels, each from the one before, with corners aligned (tt::resize_bilinear),
        not the 8-bit image.
        """
        level = (images.permute(0, 3, 1, 2).float() - self._mean) / 256.0
        filled = torch.zeros(
            (images.shape[0], 3, canvas.height, canvas.width),
            device=self._device,
        ).contiguous(memory_format=torch.channels_last)
        for tile in canvas.tiles:
            if (tile.height, tile.width) != level.shape[2:]:
                level = F.interpolate(level, (tile.height, tile.width), mode="bilinear", align_corners=True)
            filled[:, :, tile.top : tile.top + tile.height, tile.left : tile.left + tile.width] = level
        return filled
