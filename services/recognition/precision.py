"""The same numbers from every run of a network on a GPU."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def exact(device: torch.device) -> AbstractContextManager[None]:
    """Convolutions inside are full float32, deterministic and chosen without timing trials.

    cudnn rounds convolutions' inputs to TF32 (10 bits) unless told otherwise, which moves dlib's scores and
    distances by more than our tolerances. On the CPU nothing needs to be done.
    """
    if device.type != "cuda":
        return nullcontext()
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    return flags
