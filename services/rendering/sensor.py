"""What a camera does to a picture: blur, sRGB encoding, sensor noise, rounding to 8 bits."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from services.rendering.views import Float32s
from services.srgb import linear_to_srgb

LEVELS = 1 << 14
_MASK = 0xFFFFFFFF


def encoding_table(device: torch.device) -> Tensor:
    """Display values 0 to 255 of 16,385 evenly spaced linear values, float32.

    A table, because pow rounds differently on each device, and reading one is faster than computing it. A
    step is at most 0.2 of an 8-bit level.
    """
    values = linear_to_srgb(np.arange(LEVELS + 1) / LEVELS) * 255
    return torch.from_numpy(values.astype(np.float32)).to(device)


def encode(linear: Tensor, table: Tensor) -> Tensor:
    """Display values 0 to 255, float32, of linear values; outside of 0 to 1 they are clipped."""
    index = linear.mul(LEVELS).add_(0.5).clamp_(0, LEVELS).to(torch.int32)
    return table.index_select(0, index.view(-1)).view(linear.shape)


def blur_weights(sigma_px: Float32s) -> Float32s:
    """Gaussian taps (v, 1 + r), center first, each row summing to 1 over both sides; r is the widest 3 sigma.

    A view without blur gets (1, 0, ...), which leaves its picture as it is, bit by bit.
    """
    sigma = sigma_px.astype(np.float64)[:, None]
    radius = math.ceil(3 * float(sigma.max(initial=0.0)))
    steps = np.arange(radius + 1)[None]
    with np.errstate(divide="ignore", invalid="ignore"):
        taps = np.where(steps == 0, 1.0, np.exp(-0.5 * (steps / sigma) ** 2))
    taps[steps > np.ceil(3 * sigma)] = 0.0
    total = taps[:, :1] + 2 * taps[:, 1:].sum(axis=1, keepdims=True)
    weights: Float32s = (taps / total).astype(np.float32)
    return weights


def blur(pictures: Tensor, taps: Tensor) -> Tensor:
    """Separable blur of (m, v, S, S) by each view's taps (v, 1 + r); the border repeats."""
    if taps.shape[1] == 1:
        return pictures
    return _blur_along(_blur_along(pictures, taps, 2), taps, 3)


def _blur_along(pictures: Tensor, taps: Tensor, axis: int) -> Tensor:
    size, radius = pictures.shape[axis], taps.shape[1] - 1
    first, last = pictures.narrow(axis, 0, 1), pictures.narrow(axis, size - 1, 1)
    padded = torch.cat([first] * radius + [pictures] + [last] * radius, dim=axis)
    weight = taps[:, :, None, None]
    total = pictures * weight[:, 0]
    pair = torch.empty_like(pictures)
    for step in range(1, radius + 1):
        before, after = padded.narrow(axis, radius - step, size), padded.narrow(axis, radius + step, size)
        torch.add(before, after, out=pair)
        total += pair.mul_(weight[:, step])
    return total


def sensor_noise(seeds: Tensor, sigma: Tensor, size: int) -> Tensor:
    """Noise of each view (3, v, S, S) float32, in levels of 0 to 255; ``sigma`` (v,) is in display values.

    A sample is a hash of (seed, position), so that it depends on nothing else. The four bytes of the hash are
    added up (Irwin-Hall, close to a normal distribution, at most 3.5 sigma): exact in integers, so alike on
    every device.
    """
    count = 3 * size * size
    position = torch.arange(count, dtype=torch.int64, device=seeds.device)
    mixed = _hash((position[None] + _hash(seeds)[:, None]) & _MASK)
    total = (mixed & 255) + ((mixed >> 8) & 255) + ((mixed >> 16) & 255) + (mixed >> 24)
    scale = 255.0 / math.sqrt(4 * (256**2 - 1) / 12)
    noise = (total - 510).float().mul_((sigma * scale)[:, None])
    return noise.view(-1, 3, size, size).transpose(0, 1).contiguous()


def _hash(value: Tensor) -> Tensor:
    """Wellons' lowbias32 (https://nullprogram.com/blog/2018/07/31/), on 32 bits held in int64."""
    value = value & _MASK
    value = value ^ (value >> 16)
    value = (value * 0x7FEB352D) & _MASK
    value = value ^ (value >> 15)
    value = (value * 0x846CA68B) & _MASK
    return value ^ (value >> 16)
