"""dlib's MMOD face detector, graded and batched in torch, from dlib's own weights.

The network (King 2015, Max-Margin Object Detection, and dlib's dnn_mmod_face_detection_ex.cpp) slides a
window of 80 x 80 pixels with stride 8 over dlib's tiled pyramid; see tiling.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F

from services.errors import CorruptData
from services.recognition import catalog
from services.recognition.detect import Detections, Windows, centers_in_regions
from services.recognition.dlib import tiling
from services.recognition.dlib.weights import FoldedConvolution, fold, load
from services.recognition.networks.precision import exact
from services.recognition.together import together

NAME = "dlib-mmod"

# Below every single window that was seen (-5.7); the best window of noise or of plain gray scores about -1.1.
FLOOR = -8.0

_CPU_SLICE = 4
_CUDA_SLICE = 64


@dataclass(frozen=True)
class _Step:
    """One convolution: filters float32 (out, in, size, size), bias (out,), and whether max(x, 0) follows."""

    size: int
    stride: int
    padding: int
    relu: bool
    filters: torch.Tensor
    bias: torch.Tensor


@dataclass(frozen=True)
class _Layout:
    """What does not change between images of one size. slice: how many of them are answered together."""

    slice: int
    canvas: tiling.Canvas
    centers_px: torch.Tensor
    boxes_px: torch.Tensor


class MmodDetector:
    """Implements services.recognition.detect.Detector; its floor score is FLOOR.

    Images are taken in slices of a fixed size, the last one padded: an image's score does not depend on how
    many others came along (measured on CPU: a batch of one may differ in its last bits from a larger one).
    """

    name = NAME

    def __init__(self, device: str | torch.device = "cpu", weights: Path | None = None) -> None:
        """weights: another place for the file; Unavailable or CorruptData as in dlib_weights.load."""
        network = load(catalog.model_info(NAME), weights)
        layers = fold(network.layers)
        if network.window_px is None or not all(isinstance(layer, FoldedConvolution) for layer in layers):
            raise CorruptData(f"{NAME}: the file holds no sliding-window detector; install the weights again")
        self._window_px = network.window_px
        self._device = torch.device(device)
        self._mean = torch.tensor(network.mean_rgb, device=self._device)
        self._layers = [
            _Step(layer.filters.shape[2], layer.stride, layer.padding, layer.relu, *self._upload(layer))
            for layer in layers
            if isinstance(layer, FoldedConvolution)
        ]
        self._plans: dict[tuple[int, int], _Layout] = {}

    def halve(self) -> None:
        """See services.recognition.networks.precision.Halves."""
        self._layers = [
            replace(step, filters=step.filters.half(), bias=step.bias.half()) for step in self._layers
        ]

    @torch.inference_mode()
    def score(self, images: torch.Tensor, regions: torch.Tensor | None = None) -> Detections:
        """The best window of each image; see services.recognition.detect.Detector.score.

        Windows may reach over the image's border, as dlib's do. regions None also counts the windows that
        dlib centers in the gaps between levels, up to some pixels outside the image.
        """
        return self.windows(images).best(regions)

    @torch.inference_mode()
    def windows(self, images: torch.Tensor) -> Windows:
        """See :meth:`services.recognition.detect.GradesEveryPlace.windows`."""
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise ValueError(f"images: expected uint8 (n, H, W, 3), got {images.dtype} {tuple(images.shape)}")
        plan = self._plan(images.shape[1], images.shape[2])
        with exact(self._device):
            pieces = [self._answer(piece, plan) for piece in torch.split(images, plan.slice)]
        return Windows(torch.cat(pieces), plan.boxes_px, FLOOR, centers_px=plan.centers_px)

    def score_float(self, images: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
        """As :meth:`score`, float32 (n,) of float32 images and with gradients: what does a score hang on?"""
        plan = self._plan(images.shape[1], images.shape[2])
        with exact(self._device):
            pieces = [self._answer(piece, plan) for piece in torch.split(images, plan.slice)]
        inside = centers_in_regions(plan.centers_px, regions)
        return torch.cat(pieces).masked_fill(~inside, FLOOR).amax(dim=1)

    def _upload(self, layer: FoldedConvolution) -> tuple[torch.Tensor, torch.Tensor]:
        filters = torch.tensor(layer.filters, device=self._device)
        return filters.contiguous(memory_format=torch.channels_last), torch.tensor(
            layer.bias, device=self._device
        )

    def _plan(self, height: int, width: int) -> _Layout:
        plan = self._plans.get((height, width))
        if plan is None:
            canvas = tiling.layout(height, width)
            rows, columns, stride, offset = self._grid(canvas.height, canvas.width)
            if min(rows, columns) < 1:
                raise ValueError(f"images: {width} x {height} pixels are too few for {NAME}")
            windows = tiling.windows(canvas, rows, columns, stride, offset, self._window_px)
            centers = torch.from_numpy(windows.centers_px).to(self._device)
            most = together(self._device, _CPU_SLICE, _CUDA_SLICE, height, width)
            plan = _Layout(most, canvas, centers, torch.from_numpy(windows.boxes_px).to(self._device))
            self._plans[height, width] = plan
        return plan

    def _grid(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Rows and columns of the answer, and which canvas pixel a cell is centered on (stride, offset)."""
        stride, offset = 1, 0
        for step in self._layers:
            height = (height + 2 * step.padding - step.size) // step.stride + 1
            width = (width + 2 * step.padding - step.size) // step.stride + 1
            offset += stride * (step.size // 2 - step.padding)
            stride *= step.stride
        return height, width, stride, offset

    def _answer(self, images: torch.Tensor, plan: _Layout) -> torch.Tensor:
        """float32 (n, cells): the network's answer to uint8 images (n, H, W, 3), n at most one slice."""
        count = images.shape[0]
        padded = F.pad(images, (0, 0, 0, 0, 0, 0, 0, plan.slice - count))
        x = self._fill(padded, plan.canvas).to(self._layers[0].filters.dtype)
        for step in self._layers[:-1]:
            x = F.conv2d(x, step.filters, step.bias, step.stride, step.padding)
            if step.relu:
                x = x.relu_()
        return _single_filter(x, self._layers[-1]).flatten(1)[:count].float()

    def _fill(self, images: torch.Tensor, canvas: tiling.Canvas) -> torch.Tensor:
        """The canvas, float32 (n, 3, H, W), channels last: levels less the mean, zeros between them.

        dlib shrinks the normalized float levels (tt::resize_bilinear), each from the one before and with
        corners aligned; it does not shrink the 8-bit image.
        """
        level = ((images.float() - self._mean) / 256.0).permute(0, 3, 1, 2).contiguous()
        filled = torch.zeros((images.shape[0], canvas.height, canvas.width, 3), device=self._device)
        for tile in canvas.tiles:
            if (tile.height, tile.width) != level.shape[2:]:
                level = F.interpolate(level, (tile.height, tile.width), mode="bilinear", align_corners=True)
            rows, columns = slice(tile.top, tile.top + tile.height), slice(tile.left, tile.left + tile.width)
            filled[:, rows, columns] = level.permute(0, 2, 3, 1)
        return filled.permute(0, 3, 1, 2)


def _single_filter(x: torch.Tensor, step: _Step) -> torch.Tensor:
    """float32 (n, rows, columns): a convolution with one square filter, stride 1.

    The filter's rows run as separate filters, whose answers are shifted and added: on CPU 0.12 instead of
    0.70 ms a view, because a convolution with one output channel leaves most of a vector unit idle.
    """
    rows = step.filters.permute(2, 1, 0, 3).contiguous(memory_format=torch.channels_last)
    parts = F.conv2d(x, rows, None, 1, (0, step.padding))
    height = x.shape[2] + 2 * step.padding - step.size + 1
    parts = F.pad(parts, (0, 0, step.padding, step.padding))
    total = parts[:, 0, :height] + step.bias
    for row in range(1, step.size):
        total = total + parts[:, row, row : row + height]
    return total
