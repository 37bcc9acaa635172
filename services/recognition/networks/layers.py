"""What convolutional networks from TensorFlow are made of, in torch.

Pictures are (n, channels, rows, columns) in the memory layout that torch calls channels last, its fastest for
convolutions on the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

Padding = Literal["SAME", "VALID"]


@dataclass(frozen=True)
class Convolution:
    """filters (out, in / groups, rows, columns) and bias (out,) of one dtype.

    :param margin_px: zeros left, right, above and below. slopes: (out,), of a parametric ReLU that follows;
        rectified: whether a plain one does.
    """

    filters: torch.Tensor
    bias: torch.Tensor
    stride: int
    margin_px: tuple[int, int, int, int]
    groups: int
    slopes: torch.Tensor | None = None
    rectified: bool = False

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        left, right, above, below = self.margin_px
        if (left, above) == (right, below):
            margin = above, left
        else:
            x, margin = F.pad(x, self.margin_px), (0, 0)
        y = F.conv2d(x, self.filters, self.bias, self.stride, margin, groups=self.groups)
        if self.slopes is not None:
            return F.prelu(y, self.slopes)
        return y.relu_() if self.rectified else y

    def half(self) -> Self:
        """The same in half precision."""
        slopes = None if self.slopes is None else self.slopes.half()
        return replace(self, filters=self.filters.half(), bias=self.bias.half(), slopes=slopes)


def convolution(
    filters: NDArray[Any],
    bias: NDArray[Any],
    device: torch.device,
    *,
    stride: int = 1,
    padding: Padding = "SAME",
    depthwise: bool = False,
    slopes: NDArray[Any] | None = None,
    rectified: bool = False,
) -> Convolution:
    """A convolution from TensorFlow's numbers.

    :param filters: (rows, columns, in, out) or, depthwise, (rows, columns, channels, 1). bias: (out,).
    :param padding: as in TensorFlow, for an even number of rows and columns where stride is 2.
    """
    rows, columns, inside, _ = filters.shape
    turned = np.ascontiguousarray(filters.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1)))
    # TensorFlow's SAME puts what is odd of the padding last (tf.nn, "Notes on padding").
    wide, high = (max(side - stride, 0) if padding == "SAME" else 0 for side in (columns, rows))

    def upload(values: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(np.array(values, np.float32)).to(device)

    return Convolution(
        upload(turned).contiguous(memory_format=torch.channels_last),
        upload(bias),
        stride,
        (wide // 2, wide - wide // 2, high // 2, high - high // 2),
        inside if depthwise else 1,
        None if slopes is None else upload(slopes),
        rectified,
    )
