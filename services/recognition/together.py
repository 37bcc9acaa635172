"""How many pictures a machine looks at together, and how it is shown as many as that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

SIZE_PX = 160
"""The side of the pictures that numbers are given for."""


_ONE_BY_ONE: ContextVar[bool] = ContextVar("one by one", default=False)


@contextmanager
def one_by_one() -> Iterator[None]:
    """Within it pictures are looked at one at a time, for who has only one: slices that are filled up cost 8
    to 24 times as much. An answer may differ from a slice's in its last bits, so that no search does this.
    """
    before = _ONE_BY_ONE.set(True)
    try:
        yield
    finally:
        _ONE_BY_ONE.reset(before)


def together(device: torch.device, on_cpu: int, on_gpu: int, height_px: int, width_px: int) -> int:
    """``on_cpu`` of any size; on a GPU ``on_gpu`` of SIZE_PX x SIZE_PX or smaller, of larger ones as many
    fewer, so that memory does not grow with their size, but at least one. One within :func:`one_by_one`.
    """
    if _ONE_BY_ONE.get():
        return 1
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
