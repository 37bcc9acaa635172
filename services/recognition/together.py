"""How many pictures a machine looks at together, and how it is shown as many as that."""

from __future__ import annotations

from collections.abc import Callable

import torch

SIZE_PX = 160
"""The side of the pictures that numbers are given for."""


def together(device: torch.device, on_cpu: int, on_gpu: int, height_px: int, width_px: int) -> int:
    """``on_cpu`` of any size; on a GPU ``on_gpu`` of SIZE_PX x SIZE_PX or smaller, of larger ones as many
    fewer, so that memory does not grow with their size, but at least one.
    """
    if device.type == "cpu":
        return on_cpu
    return max(1, min(on_gpu, on_gpu * SIZE_PX**2 // (height_px * width_px)))


def filled(values: torch.Tensor, count: int) -> torch.Tensor:
    """Values (n, ...) with zeros behind them up to ``count`` rows."""
    missing = count - len(values)
    return torch.cat([values, values.new_zeros((missing, *values.shape[1:]))]) if missing else values


def in_slices(
    values: torch.Tensor, size: int, network: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """The network's answers (n, d) to values (n, ...), n at least 1, asked in slices of a fixed size.

    The last one is filled with zeros: an answer does not depend on how many others come along.
    """
    return torch.cat([network(filled(piece, size))[: len(piece)] for piece in torch.split(values, size)])
