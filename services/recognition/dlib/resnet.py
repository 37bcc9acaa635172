"""dlib's face recognition ResNet in torch, from dlib's own weights.

29 convolutions after He et al. 2016 (dlib's dnn_face_recognition_ex.cpp): a 150 x 150 chip becomes 128
numbers, and two chips show the same person where their Euclidean distance is under the catalog's threshold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F

from services.errors import CorruptData
from services.recognition import catalog
from services.recognition.dlib.weights import AddPrevious, Dense, FoldedConvolution, Pool, Relu, fold, load
from services.recognition.networks.chip_network import ChipNetwork

NAME = "dlib-resnet"
CHIP_PX = 150
EMBEDDING_SIZE = 128


@dataclass(frozen=True)
class _Convolution:
    """filters float32 (out, in, k, k) with batch norm folded in, bias float32 (out,)."""

    filters: torch.Tensor
    bias: torch.Tensor
    stride: int
    padding: int

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, self.filters, self.bias, self.stride, self.padding)

    def half(self) -> _Convolution:
        return replace(self, filters=self.filters.half(), bias=self.bias.half())


@dataclass(frozen=True)
class _Block:
    """A residual block: two convolutions beside a shortcut, which is halved where the block shrinks."""

    first: _Convolution
    second: _Convolution
    shrinks: bool

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        y = self.second(self.first(x).relu_())
        shortcut = F.avg_pool2d(x, 2, 2) if self.shrinks else x
        return _add_padded(y, shortcut).relu_()


class DlibResNet(ChipNetwork):
    """Chips in, aligned as by alignment.chips, embeddings out.

    The fixed slices count: measured on a CPU, a batch of one may differ in its last bits from a larger one.
    """

    name = NAME
    side_px, embedding_size, slices = CHIP_PX, EMBEDDING_SIZE, (24, 128)

    def __init__(self, device: str | torch.device = "cpu", weights: Path | None = None) -> None:
        """weights: another place for the file; Unavailable or CorruptData as in dlib_weights.load."""
        network = load(catalog.model_info(NAME), weights)
        super().__init__(device)
        self._mean = torch.tensor(network.mean_rgb, device=self._device)
        layers = list(fold(network.layers))
        if len(layers) < 4 or not isinstance(layers[-1], Dense):
            raise CorruptData(f"{NAME}: the file holds no recognizer; install the weights again")
        self._weights = torch.tensor(layers[-1].weights, device=self._device)
        self._stem = self._upload(layers[0])
        self._blocks = self._read_blocks(layers[2:-2])

    def halve(self) -> None:
        """See precision.Halves; the last layer, a single product, stays in float32."""
        self._stem = self._stem.half()
        self._blocks = [replace(b, first=b.first.half(), second=b.second.half()) for b in self._blocks]

    def embed_float(self, chips: torch.Tensor) -> torch.Tensor:
        """As :meth:`embed`, of float32 chips and with gradients: for asking what an embedding hangs on."""
        return self._embed(chips)

    def _embed_slice(self, chips: torch.Tensor) -> torch.Tensor:
        # The permuted view is what torch calls channels last, its fastest layout for convolutions here.
        x = ((chips.float() - self._mean) / 256.0).permute(0, 3, 1, 2).to(self._stem.filters.dtype)
        x = F.max_pool2d(self._stem(x), 3, 2).relu_()  # the same as relu first, on a quarter of the values
        for block in self._blocks:
            x = block(x)
        return x.float().mean((2, 3)) @ self._weights

    def _upload(self, layer: object) -> _Convolution:
        if not isinstance(layer, FoldedConvolution):
            raise CorruptData(
                f"{NAME}: found {type(layer).__name__} for a convolution; install the weights again"
            )
        filters = torch.tensor(layer.filters, device=self._device).contiguous(
            memory_format=torch.channels_last
        )
        return _Convolution(
            filters, torch.tensor(layer.bias, device=self._device), layer.stride, layer.padding
        )

    def _read_blocks(
        self, layers: list[FoldedConvolution | Pool | Relu | AddPrevious | Dense]
    ) -> list[_Block]:
        """Blocks from layers: two convolutions, a pool where the block shrinks, the sum, max(x, 0)."""
        blocks: list[_Block] = []
        at = 0
        while at < len(layers):
            first, second = self._upload(layers[at]), self._upload(layers[at + 1])
            shrinks = isinstance(layers[at + 2], Pool)
            at += 3 if shrinks else 2
            if not isinstance(layers[at], AddPrevious) or not isinstance(layers[at + 1], Relu):
                raise CorruptData(
                    f"{NAME}: a residual block does not end in a sum; install the weights again"
                )
            at += 2
            blocks.append(_Block(first, second, shrinks))
        return blocks


def _add_padded(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a + b, each padded with zeros at its ends to the larger of both shapes (dlib's add_prev)."""
    channels, rows, columns = (max(a.shape[axis], b.shape[axis]) for axis in (1, 2, 3))
    return _pad_to(a, channels, rows, columns) + _pad_to(b, channels, rows, columns)


def _pad_to(x: torch.Tensor, channels: int, rows: int, columns: int) -> torch.Tensor:
    missing = channels - x.shape[1], rows - x.shape[2], columns - x.shape[3]
    if not any(missing):
        return x
    padded = F.pad(x, (0, missing[2], 0, missing[1], 0, missing[0]))
    return padded.contiguous(memory_format=torch.channels_last)
