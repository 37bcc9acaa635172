"""The same numbers from every run of a network on a GPU, in full or in half precision.

Half precision is IEEE's binary16 for pictures' features and weights; sums are made in 32 bits by the
hardware, and what a network answers is float32 again. It is as good as its answers: whoever halves a network
compares them with those of full precision (worker/scorer.py does, before it scores).
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, runtime_checkable

import torch


@runtime_checkable
class Halves(Protocol):
    """A machine whose network can compute in half precision."""

    def halve(self) -> None:
        """Compute in half precision from here on."""
        ...


class _Exactly:
    """cudnn's settings are the whole process's: of several threads the first one in makes them, and the last
    one out sets them back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._within = 0
        self._flags: AbstractContextManager[None] = nullcontext()

    def __enter__(self) -> None:
        with self._lock:
            if not self._within:
                self._flags = torch.backends.cudnn.flags(
                    enabled=True, benchmark=False, deterministic=True, allow_tf32=False
                )
                self._flags.__enter__()
            self._within += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._within -= 1
            if not self._within:
                self._flags.__exit__(None, None, None)


_exactly = _Exactly()


def exact(device: torch.device) -> AbstractContextManager[None]:
    """Convolutions inside are full float32, deterministic and chosen without timing trials.

    cudnn rounds convolutions' inputs to TF32 (10 bits) unless told otherwise, which moves dlib's scores and
    distances by more than our tolerances. On the CPU nothing needs to be done.
    """
    return _exactly if device.type == "cuda" else nullcontext()
