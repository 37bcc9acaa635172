"""Square roots that round alike everywhere."""

from __future__ import annotations

from torch import Tensor


def root(values: Tensor) -> Tensor:
    """The correctly rounded square root of float32 values >= 0.

    torch's own on CPU is that of a vector library, one bit off in a fifth of all values; on CUDA it is exact.
    """
    return values.sqrt() if values.is_cuda else values.double().sqrt_().float()
