"""A convolutional network as a list of steps, and how torch runs it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

Array = NDArray[Any]
Op = Literal["convolve", "spread", "pool", "add", "enlarge", "relu"]


@dataclass(frozen=True)
class Step:
    """One operation on feature maps.

    op: ``convolve``; ``spread``, a convolution the other way round; ``pool``, the maximum of ``size`` x
    ``size``; ``add``, where the narrower map has zeros for the channels that it lacks; ``enlarge``, twice the
    height and width; or ``relu``. inputs, output: names of maps. weight: (out, in / groups, height, width),
    for ``spread`` (in, out, height, width). slope: of a PReLU that follows, for each channel. relu: whether
    max(x, 0) follows. pad: left, right, top, bottom. ceil: whether a pool's last window may reach over the
    edge.
    """

    op: Op
    inputs: tuple[str, ...]
    output: str
    weight: Array | None = None
    bias: Array | None = None
    slope: Array | None = None
    relu: bool = False
    stride: int = 1
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    size: int = 0
    ceil: bool = False
    mode: Literal["nearest", "bilinear"] = "nearest"


@dataclass(frozen=True)
class _Ready:
    """A step with its numbers on the device. gone: maps that nobody reads after it."""

    step: Step
    weight: torch.Tensor | None
    bias: torch.Tensor | None
    slope: torch.Tensor | None
    gone: tuple[str, ...]

    def halved(self) -> _Ready:
        """The same in half precision."""
        weight, bias, slope = (
            part if part is None else part.half() for part in (self.weight, self.bias, self.slope)
        )
        return _Ready(self.step, weight, bias, slope, self.gone)


class Network:
    """Steps, ready on a device.

    :param steps: in the order in which they run; the first one's first input is the picture.
    :param outputs: names of the maps that a call returns; what does not lead to one is left out.
    :raises ValueError: where a step reads what no step before it makes.
    """

    def __init__(
        self, steps: Sequence[Step], outputs: Sequence[str], device: str | torch.device = "cpu"
    ) -> None:
        self._picture = steps[0].inputs[0]
        self._outputs = tuple(outputs)
        self._device, self._dtype = torch.device(device), torch.float32
        self._steps = self._prepared(_fused(_needed(steps, self._outputs), self._outputs))

    def __call__(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        """The outputs float32 (n, channels, rows, columns), in their order.

        pictures: float32 (n, 3, H, W), as the network wants its numbers.
        """
        x = pictures.to(self._dtype)
        maps = {self._picture: x.contiguous(memory_format=torch.channels_last)}
        for ready in self._steps:
            made = _run(ready, [maps[name] for name in ready.step.inputs])
            for name in ready.gone:
                del maps[name]
            maps[ready.step.output] = made
        return [maps[name].float() for name in self._outputs]

    def halve(self) -> None:
        """Compute in half precision from here on; what a call returns is float32 all the same."""
        self._steps = [ready.halved() for ready in self._steps]
        self._dtype = torch.float16

    def _prepared(self, steps: Sequence[Step]) -> list[_Ready]:
        last = {name: k for k, step in enumerate(steps) for name in step.inputs}
        made, ready = {self._picture}, []
        for k, step in enumerate(steps):
            if not made.issuperset(step.inputs):
                raise ValueError(f"{step.op} -> {step.output}: {step.inputs} are not all made before it")
            made.add(step.output)
            gone = {name for name in step.inputs if last[name] == k and name not in self._outputs}
            weight, bias, slope = (self._upload(part) for part in (step.weight, step.bias, step.slope))
            ready.append(_Ready(step, weight, bias, slope, tuple(gone)))
        if not made.issuperset(self._outputs):
            raise ValueError(f"outputs: {self._outputs} are not all made")
        return ready

    def _upload(self, numbers: Array | None) -> torch.Tensor | None:
        if numbers is None:
            return None
        tensor = torch.from_numpy(np.array(numbers, np.float32)).to(self._device)
        # On a CPU half the time of the usual order of channels.
        return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def _run(ready: _Ready, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
    step, x = ready.step, inputs[0]
    if step.op in ("convolve", "spread"):
        made = _convolved(x, ready)
    elif step.op == "pool":
        made = F.max_pool2d(x, step.size, step.stride, ceil_mode=step.ceil)
    elif step.op == "enlarge":
        corners = None if step.mode == "nearest" else False
        made = F.interpolate(x, scale_factor=2.0, mode=step.mode, align_corners=corners)
    elif step.op == "add":
        made = _sum(*inputs)
    else:
        made = x.clone()
    if ready.slope is not None:
        made = F.prelu(made, ready.slope)
    return made.relu_() if step.relu or step.op == "relu" else made


def _convolved(x: torch.Tensor, ready: _Ready) -> torch.Tensor:
    step = ready.step
    if ready.weight is None:
        raise ValueError(f"{step.op} -> {step.output}: it has no weights")
    if step.op == "spread":
        return F.conv_transpose2d(x, ready.weight, ready.bias, step.stride)
    left, right, top, bottom = step.pad
    if (left, top) != (right, bottom):
        x, top, left = F.pad(x, step.pad), 0, 0
    return F.conv2d(x, ready.weight, ready.bias, step.stride, (top, left), 1, step.groups)


def _sum(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    if a.shape[1] == b.shape[1]:
        return a + b
    wide, narrow = (a, b) if a.shape[1] > b.shape[1] else (b, a)
    total = wide.clone()
    total[:, : narrow.shape[1]] += narrow
    return total


def _needed(steps: Sequence[Step], outputs: Iterable[str]) -> list[Step]:
    wanted, kept = set(outputs), []
    for step in reversed(steps):
        if step.output in wanted:
            wanted.update(step.inputs)
            kept.append(step)
    return kept[::-1]


def _fused(steps: Sequence[Step], outputs: Iterable[str]) -> list[Step]:
    """The same with every ``relu`` that alone reads a step's map made part of that step."""
    readers: dict[str, int] = dict.fromkeys(outputs, 1)
    for name in (name for step in steps for name in step.inputs):
        readers[name] = readers.get(name, 0) + 1
    fused: list[Step] = []
    for step in steps:
        before = fused[-1] if fused else None
        if step.op == "relu" and before and before.output == step.inputs[0] and readers[before.output] == 1:
            fused[-1] = replace(before, output=step.output, relu=True)
        else:
            fused.append(step)
    return fused
