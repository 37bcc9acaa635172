"""FaceNet: Inception-ResNet-v1 in torch, from the weights of D. Sandberg's frozen graph.

The architecture is that of Szegedy et al. 2016 (Inception-v4, Inception-ResNet and the Impact of Residual
Connections on Learning, figures 10 to 14) as facenet's src/models/inception_resnet_v1.py has it. A face of
160 x 160 pixels becomes 512 numbers of length 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from services.recognition import template
from services.recognition.dlib.alignment import similarity
from services.recognition.networks.chip_network import ChipNetwork
from services.recognition.networks.layers import Convolution, Padding, convolution
from services.recognition.recognize import normalized

SIDE_PX = 160

Weights = Mapping[str, NDArray[Any]]

# Where MTCNN puts the landmarks template.POINT_NAMES in its box, as shares of the box's width and height, and
# how much higher than wide the box is: means over 8 photographs and 54 renders.
_BOX = ((0.28, 0.40), (0.72, 0.40), (0.50, 0.62), (0.31, 0.775), (0.69, 0.775))
_BOX_HEIGHT = 1.3
# A chip shows this much of the box. Facenet's author cut photographs of 250 pixels to the box and 44 pixels
# more, stretched that to a square of 182, and trained on squares of 160 out of it (README, "align_dataset").
_SHOWN = (1.3, 1.2)
_LARGE_PX = 320  # pictures of more pixels a side are looked at in finer steps, whose means a chip shows

# Facenet's "fixed image standardization", which its author trained and tested these weights with.
_MIDDLE, _SCALE = 127.5, 1.0 / 128.0

_ROOT = "InceptionResnetV1"
_STEM: tuple[tuple[str, int, Padding], ...] = (
    ("Conv2d_1a_3x3", 2, "VALID"),
    ("Conv2d_2a_3x3", 1, "VALID"),
    ("Conv2d_2b_3x3", 1, "SAME"),
    ("Conv2d_3b_1x1", 1, "VALID"),
    ("Conv2d_4a_3x3", 1, "VALID"),
    ("Conv2d_4b_3x3", 2, "VALID"),
)
_POOLED = 3  # how many of the stem's convolutions come before its pooling
# The branches of each kind of block; every layer is called Conv2d_ and this. Layers 1a halve the picture.
_BLOCK_35 = (("1x1",), ("0a_1x1", "0b_3x3"), ("0a_1x1", "0b_3x3", "0c_3x3"))
_BLOCK_17 = (("1x1",), ("0a_1x1", "0b_1x7", "0c_7x1"))
_BLOCK_8 = (("1x1",), ("0a_1x1", "0b_1x3", "0c_3x1"))
_MIXED_6A = (("1a_3x3",), ("0a_1x1", "0b_3x3", "1a_3x3"))
_MIXED_7A = (("0a_1x1", "1a_3x3"), ("0a_1x1", "1a_3x3"), ("0a_1x1", "0b_3x3", "1a_3x3"))
_EPSILON = 1e-3  # of the last batch norm, the only one that the graph has not folded


@torch.inference_mode()
def chips(images: torch.Tensor, points_px: torch.Tensor) -> torch.Tensor:
    """Faces as FaceNet was trained with them, uint8 (n, 160, 160, 3): upright, MTCNN's box and a margin
    stretched to a square, bilinear, black outside.

    The box is laid by five landmarks, as no recognizer here asks for a detector's box.

    :param images: uint8 (n, H, W, 3). points_px: float32 (n, 5, 2), the landmarks template.POINT_NAMES as
        x, y in continuous pixel coordinates (pixel centers at .5). Black where they are not finite.
    """
    template.check(images, points_px)
    finer = max(1, round(max(images.shape[1:3]) / _LARGE_PX))
    box = torch.tensor(_BOX, dtype=torch.float64, device=points_px.device)
    extent = torch.tensor((1.0, _BOX_HEIGHT), dtype=torch.float64, device=points_px.device)
    turn, shift = similarity(box * extent, points_px.double() - 0.5)
    # From -0.5 to 0.5 over the chip, at the centers of its pixels.
    steps = (torch.arange(SIDE_PX * finer, dtype=torch.float64, device=box.device) + 0.5) / (
        SIDE_PX * finer
    ) - 0.5
    x, y = (share * (0.5 + shown * steps) for share, shown in zip((1.0, _BOX_HEIGHT), _SHOWN, strict=True))
    return template.cut(images, turn, shift, x, y, finer)


@dataclass(frozen=True)
class _Block:
    """Branches side by side. Residual: ``up`` brings them back to the input's channels and is added to it;
    without it the block shrinks the picture, and a maximum is one more branch.
    """

    branches: tuple[tuple[Convolution, ...], ...]
    up: Convolution | None = None
    rectified: bool = True

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        answers = []
        for branch in self.branches:
            y = x
            for layer in branch:
                y = layer(y)
            answers.append(y)
        if self.up is None:
            return torch.cat([*answers, F.max_pool2d(x, 3, 2)], dim=1)
        y = self.up(torch.cat(answers, dim=1)).add_(x)
        return y.relu_() if self.rectified else y

    def half(self) -> Self:
        branches = tuple(tuple(layer.half() for layer in branch) for branch in self.branches)
        return replace(self, branches=branches, up=None if self.up is None else self.up.half())


class FaceNet(ChipNetwork):
    """Chips in, embeddings of length 1 out.

    :param weights: as graph_def.read_weights gives them.
    :raises KeyError: where one is missing.
    """

    side_px, embedding_size, slices = SIDE_PX, 512, (24, 128)

    def __init__(self, weights: Weights, device: str | torch.device = "cpu") -> None:
        super().__init__(device)
        self._weights = weights
        stem = [self._layer(name, stride=stride, padding=padding) for name, stride, padding in _STEM]
        self._before, self._after = tuple(stem[:_POOLED]), tuple(stem[_POOLED:])
        self._blocks = (
            *(self._block(f"Repeat/block35_{k}", _BLOCK_35) for k in range(1, 6)),
            self._block("Mixed_6a", _MIXED_6A),
            *(self._block(f"Repeat_1/block17_{k}", _BLOCK_17) for k in range(1, 11)),
            self._block("Mixed_7a", _MIXED_7A),
            *(self._block(f"Repeat_2/block8_{k}", _BLOCK_8) for k in range(1, 6)),
            replace(self._block("Block8", _BLOCK_8), rectified=False),
        )
        self._last, self._bias = self._bottleneck()
        del self._weights

    def halve(self) -> None:
        """See precision.Halves; the last layer, a single product, stays in float32."""
        self._before = tuple(layer.half() for layer in self._before)
        self._after = tuple(layer.half() for layer in self._after)
        self._blocks = tuple(block.half() for block in self._blocks)

    def _embed_slice(self, chips: torch.Tensor) -> torch.Tensor:
        x = ((chips.float() - _MIDDLE) * _SCALE).permute(0, 3, 1, 2).to(self._before[0].filters.dtype)
        for layer in self._before:
            x = layer(x)
        x = F.max_pool2d(x, 3, 2)
        for layer in self._after:
            x = layer(x)
        for block in self._blocks:
            x = block(x)
        return normalized(x.float().mean((2, 3)) @ self._last + self._bias)

    def _layer(self, name: str, *, stride: int = 1, padding: Padding = "SAME") -> Convolution:
        filters = self._weights[f"{_ROOT}/{name}/weights"]
        bias = self._weights[f"{_ROOT}/{name}/Conv2D_bn_offset"]
        return convolution(filters, bias, self._device, stride=stride, padding=padding, rectified=True)

    def _block(self, name: str, branches: tuple[tuple[str, ...], ...]) -> _Block:
        layers = []
        for number, branch in enumerate(branches):
            names = [(f"{name}/Branch_{number}/Conv2d_{layer}", layer.startswith("1a")) for layer in branch]
            layers.append(
                tuple(
                    self._layer(n, stride=2, padding="VALID") if halves else self._layer(n)
                    for n, halves in names
                )
            )
        up = f"{_ROOT}/{name}/Conv2d_1x1"
        if f"{up}/weights" not in self._weights:
            return _Block(tuple(layers))
        scale = self._weights[f"{_ROOT}/{name}/mul/x"]
        filters, bias = scale * self._weights[f"{up}/weights"], scale * self._weights[f"{up}/biases"]
        return _Block(tuple(layers), convolution(filters, bias, self._device))

    def _bottleneck(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The last product and its batch norm as one, folded in double so that it costs no accuracy."""
        name = f"{_ROOT}/Bottleneck"
        mean, variance, beta = (
            self._weights[f"{name}/BatchNorm/{part}"].astype(np.float64)
            for part in ("moving_mean", "moving_variance", "beta")
        )
        factor = 1.0 / np.sqrt(variance + _EPSILON)
        folded = self._weights[f"{name}/weights"] * factor, beta - mean * factor
        last, bias = (torch.from_numpy(part.astype(np.float32)).to(self._device) for part in folded)
        return last, bias
