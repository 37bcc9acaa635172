"""How many pictures a machine looks at together on a GPU, so that memory does not grow with their size."""

from __future__ import annotations

SIZE_PX = 160
"""The side of the pictures that numbers are given for."""


def together(most: int, height_px: int, width_px: int) -> int:
    """``most`` of SIZE_PX x SIZE_PX or smaller, of larger ones as many fewer; at least one."""
    return max(1, min(most, most * SIZE_PX**2 // (height_px * width_px)))
