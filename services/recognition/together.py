"""How many pictures a machine looks at together."""

from __future__ import annotations

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
