"""What JPEG does to a picture, batched: color difference at half the size, blocks, quantized cosines.

Baseline JPEG (ITU-T T.81) as libjpeg writes and reads it: YCbCr (JFIF), chroma halved by box averages
(4:2:0), the standard's example tables scaled by a quality from 1 to 100, and on the way back chroma smoothed
by the triangle filter. Whatever is lossless in a file (zigzag, Huffman codes) changes nothing and is left
out. It agrees with a real encoder and decoder up to how they round (a test compares with Pillow's).

Sums are written out term by term: a matrix product may round differently for another number of pictures.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

_BLOCK = 8

# T.81, tables K.1 and K.2: quantization steps of luminance and chrominance at quality 50.
_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8 for _ in range(4)),
)


def tables(quality: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Quantization steps (8, 8) of luminance and chrominance at a quality, as libjpeg scales them."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    luminance, chrominance = (
        np.clip((np.array(table, np.int64) * scale + 50) // 100, 1, 255)
        for table in (_LUMINANCE, _CHROMINANCE)
    )
    return luminance, chrominance


def compressed(images: Tensor, quality: Tensor) -> Tensor:
    """Pictures after a JPEG file, uint8 (n, H, W, 3).

    images: uint8 (n, H, W, 3), RGB. quality: (n,) whole numbers from 1 to 100, on the CPU.
    """
    height, width = images.shape[1:3]
    steps = [tables(int(q)) for q in quality.tolist()]
    luminance, chrominance = (
        torch.from_numpy(np.stack(found)).to(images.device).float() for found in zip(*steps, strict=True)
    )
    red, green, blue = (images[..., k].float() for k in range(3))
    y = (0.299 * red + 0.587 * green + 0.114 * blue).add_(0.5).floor_()
    cb = (128.0 - 0.168735892 * red - 0.331264108 * green + 0.5 * blue).add_(0.5).floor_()
    cr = (128.0 + 0.5 * red - 0.418687589 * green - 0.081312411 * blue).add_(0.5).floor_()
    y = _quantized(_filled(y, _BLOCK, _BLOCK), luminance)[:, :height, :width]
    cb, cr = (_smoothed(_quantized(_halved(c), chrominance), height, width) for c in (cb, cr))
    channels = (
        y + 1.402 * (cr - 128.0),
        y - 0.344136286 * (cb - 128.0) - 0.714136286 * (cr - 128.0),
        y + 1.772 * (cb - 128.0),
    )
    return torch.stack([c.add(0.5).floor_().clamp_(0, 255).to(torch.uint8) for c in channels], dim=-1)


def _filled(plane: Tensor, rows: int, columns: int) -> Tensor:
    """The plane (n, H, W) with its last row and column repeated up to multiples."""
    height, width = plane.shape[1:]
    return F.pad(plane[:, None], (0, -width % columns, 0, -height % rows), mode="replicate")[:, 0]


def _halved(plane: Tensor) -> Tensor:
    """Averages of 2 x 2, whole blocks of them. A half is rounded down in even columns and up in odd ones.

    libjpeg repeats the last column before it averages and the last row after.
    """
    p = _filled(plane, 2, 2 * _BLOCK)
    total = p[:, 0::2, 0::2] + p[:, 0::2, 1::2] + p[:, 1::2, 0::2] + p[:, 1::2, 1::2]
    bias = 1.0 + torch.arange(total.shape[2], device=plane.device).remainder(2)
    return _filled(((total + bias) / 4.0).floor_(), _BLOCK, _BLOCK)


def _smoothed(plane: Tensor, height: int, width: int) -> Tensor:
    """Twice the size, nearer samples counting three times as much: libjpeg's fancy upsampling.

    What fills up the last block is no sample of the picture. A half is rounded up in even columns and down in
    odd ones.
    """
    plane = plane[:, : (height + 1) // 2, : (width + 1) // 2]
    size = (2 * plane.shape[1], 2 * plane.shape[2])
    wide = F.interpolate(plane[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    bias = 8.0 - torch.arange(size[1], device=plane.device).remainder(2)
    return wide.mul_(16.0).add_(bias).div_(16.0).floor_()[:, :height, :width]


def _quantized(plane: Tensor, steps: Tensor) -> Tensor:
    """Whole blocks (n, H, W) after the cosine transform, rounding to ``steps`` (n, 8, 8), and back."""
    count, height, width = plane.shape
    blocks = (plane - 128.0).view(count, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    spectrum = _along(_along(blocks, 2, forward=True), 4, forward=True)
    step = steps[:, None, :, None, :]
    kept = (spectrum / step).add_(0.5).floor_() * step
    back = _along(_along(kept, 2, forward=False), 4, forward=False)
    return back.add_(128.5).floor_().clamp_(0, 255).reshape(count, height, width)


def _along(blocks: Tensor, axis: int, *, forward: bool) -> Tensor:
    """The orthonormal cosine transform of one axis of eight, or its inverse."""
    cosines = _cosines() if forward else tuple(zip(*_cosines(), strict=True))
    lines = [blocks.select(axis, k) for k in range(_BLOCK)]
    sums = []
    for row in cosines:
        total = lines[0] * row[0]
        for line, weight in zip(lines[1:], row[1:], strict=True):
            total.add_(line, alpha=weight)
        sums.append(total)
    return torch.stack(sums, dim=axis)


@lru_cache(maxsize=1)
def _cosines() -> tuple[tuple[float, ...], ...]:
    def weight(u: int, x: int) -> float:
        scale = math.sqrt((1.0 if u == 0 else 2.0) / _BLOCK)
        return scale * math.cos((2 * x + 1) * u * math.pi / (2 * _BLOCK))

    return tuple(tuple(weight(u, x) for x in range(_BLOCK)) for u in range(_BLOCK))
