"""A CUDA device for machines that have none: it computes on the CPU, and is as strict as a GPU.

Its tensors say that they are on ``cuda:0``. To mix them with a CPU's is an error, as there. What makes the
program wait for the device, what moves data to and fro, how many operations are started and how much memory
tensors hold at a time is written down, with the line that did it. It cannot show speed, or a GPU's last bits.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from worker.lanes import Done, Item, Lanes

DEVICE = torch.device("cuda:0")
_CPU = torch.device("cpu")
_MOVES = (torch.Tensor.to, torch.Tensor.cpu, torch.Tensor.cuda)
_MAKES = (torch.tensor, torch.as_tensor)
_TO_NUMPY = (torch.Tensor.numpy, torch.Tensor.__array__)
_TO_PYTHON = (
    torch.Tensor.item,
    torch.Tensor.tolist,
    torch.Tensor.__bool__,
    torch.Tensor.__int__,
    torch.Tensor.__float__,
    torch.Tensor.__index__,
)
_PICKS = (torch.Tensor.__getitem__, torch.Tensor.__setitem__)
_SAYS_WHERE = {
    torch.Tensor.device.__get__: DEVICE,
    torch.Tensor.is_cuda.__get__: True,  # type: ignore[attr-defined]
    torch.Tensor.is_cpu.__get__: False,  # type: ignore[attr-defined]
    torch.Tensor.get_device: DEVICE.index,
}
_aten = torch.ops.aten
# How large these results are only the device knows.
_COUNTED = (_aten.nonzero, _aten.masked_select, _aten.unique_consecutive, _aten._unique2, _aten.bincount)
# These only say something new about the same memory, or set some aside.
# fmt: off
_NO_KERNEL = {
    "view", "_unsafe_view", "slice", "select", "expand", "permute", "t", "transpose", "unsqueeze",
    "squeeze", "alias", "as_strided", "detach", "unbind", "split", "split_with_sizes", "narrow",
    "unfold", "diagonal", "lift_fresh", "_reshape_alias", "view_as_real", "real", "imag", "empty",
    "empty_strided", "empty_like", "new_empty", "new_empty_strided",
}
# fmt: on


@dataclass
class Traffic:
    """By line of code: bytes that went up to the device and down from it, waits to be told a count or a
    number, and operations that were started. ``peak_bytes``: of the device's memory.
    """

    up: Counter[str] = field(default_factory=Counter)
    down: Counter[str] = field(default_factory=Counter)
    waits: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    peak_bytes: int = 0

    def clear(self) -> None:
        """Forget all of it."""
        for counter in (self.up, self.down, self.waits, self.operations):
            counter.clear()
        self.peak_bytes = 0


class OnDevice(torch.Tensor):
    """A tensor of the pretended device."""

    @classmethod
    def __torch_function__(cls, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _Device.current.answer(call, args, kwargs or {})


class _Device(TorchFunctionMode):
    """Answers every call into torch that names the device or one of its tensors."""

    current: _Device

    def __init__(self) -> None:
        super().__init__()
        self.traffic = Traffic()
        self._memory: dict[int, tuple[Any, int]] = {}

    def __torch_function__(self, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.answer(call, args, kwargs or {})

    def answer(self, call: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What a call returns."""
        leaves, shape = pytree.tree_flatten((args, kwargs))
        tensors = [x for x in leaves if isinstance(x, torch.Tensor)]
        here = any(isinstance(x, OnDevice) for x in tensors)
        named = [x for x in leaves if _is_device(x)]
        with torch._C.DisableTorchFunctionSubclass():
            if call is torch.device or not (here or any(torch.device(x).type == "cuda" for x in named)):
                return call(*args, **kwargs)
            if here and call in _SAYS_WHERE:
                return _SAYS_WHERE[call]
            if call in _MOVES or call in _MAKES:
                return self._move(call, args, kwargs, named)
            if call in _TO_NUMPY:
                raise TypeError(f"{_line()}: a tensor of the device has to come to the CPU first")
            if call in _TO_PYTHON:
                self.traffic.waits[_line()] += 1
            self._check(call, tensors)
            plain = [_CPU if _is_device(x) else x for x in leaves]
            plain_args, plain_kwargs = pytree.tree_unflatten(plain, shape)
            with _Watch(self):
                result = call(*plain_args, **plain_kwargs)
        return pytree.tree_map_only(torch.Tensor, _up, result)

    def hold(self, x: torch.Tensor) -> None:
        """Note the memory of a tensor, for as long as it is there."""
        reference: Any = StorageWeakRef(x.untyped_storage())  # type: ignore[no-untyped-call]
        known = self._memory.get(reference.cdata)
        if known is None or known[0].expired():
            self._memory = {key: held for key, held in self._memory.items() if not held[0].expired()}
            self._memory[reference.cdata] = reference, x.untyped_storage().nbytes()
            now = sum(size for _, size in self._memory.values())
            self.traffic.peak_bytes = max(self.traffic.peak_bytes, now)

    def _move(self, call: Any, args: Sequence[Any], kwargs: Mapping[str, Any], named: Sequence[Any]) -> Any:
        source = args[0] if isinstance(args[0], torch.Tensor) else torch.tensor(args[0])
        was_here = isinstance(source, OnDevice)
        target = _CPU if call is torch.Tensor.cpu else torch.device(named[0]) if named else None
        goes = was_here if target is None else target.type == "cuda"
        more = [x for x in args[1:] if not _is_device(x)]
        rest = {key: value for key, value in kwargs.items() if key not in ("device", "non_blocking")}
        if call in _MAKES:
            moved = call(args[0], **rest)
        else:
            with _Watch(self) if was_here else nullcontext():  # to another type is work like any other
                moved = source.to(*more, **rest) if more or rest else source
        if was_here != goes:
            way = self.traffic.up if goes else self.traffic.down
            way[_line()] += source.numel() * source.element_size()
            moved = moved.clone()
            if goes:
                self.hold(moved)
        return _up(moved) if goes else moved.as_subclass(torch.Tensor)

    def _check(self, call: Any, tensors: Sequence[torch.Tensor]) -> None:
        """:raises RuntimeError: where tensors of the device and of the CPU meet that must not."""
        for x in tensors:
            if isinstance(x, OnDevice) or not x.dim():
                continue
            if call not in _PICKS or x.is_floating_point() or not isinstance(tensors[0], OnDevice):
                raise RuntimeError(f"{_line()}: {call.__name__} of tensors of the device and of the CPU")
            self.traffic.up[_line()] += x.numel() * x.element_size()  # indices are sent up


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what one call into torch does."""

    def __init__(self, device: _Device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._device, self._where = device, _line()

    def __torch_dispatch__(self, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, traffic = call.overloadpacket.__name__, self._device.traffic
        if name not in _NO_KERNEL:
            traffic.operations[self._where] += 1
        untold = name == "repeat_interleave" and not (kwargs or {}).get("output_size")
        if call.overloadpacket in _COUNTED or untold or (name.startswith("index") and _masked(args)):
            traffic.waits[self._where] += 1
        result = call(*args, **(kwargs or {}))
        for x in pytree.tree_leaves(result):
            if isinstance(x, torch.Tensor):
                self._device.hold(x)
        return result


def _masked(args: Sequence[Any]) -> bool:
    """Whether an index is a mask, whose True the device has to count first."""
    picks = args[1] if len(args) > 1 and isinstance(args[1], (list, tuple)) else ()
    return any(isinstance(x, torch.Tensor) and x.dtype in (torch.bool, torch.uint8) for x in picks)


def _is_device(x: object) -> bool:
    return isinstance(x, torch.device) or (isinstance(x, str) and x.partition(":")[0] in ("cpu", "cuda"))


def _up(x: torch.Tensor) -> torch.Tensor:
    return x if isinstance(x, OnDevice) else x.as_subclass(OnDevice)


def _line() -> str:
    """Which line of ours called torch."""
    for frame in reversed(traceback.extract_stack(limit=40)):
        if "/torch/" not in frame.filename and frame.filename != __file__:
            return f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
    return "?"


def _here(lanes: Lanes, task: Callable[[Item], Done], items: Iterable[Item]) -> list[Done]:
    """In place of a lane, which is another thread."""
    return [task(item) for item in items]


@contextmanager
def pretend_cuda() -> Iterator[Traffic]:
    """Within, a ``device="cuda"`` is there, for this thread and for lanes."""
    _Device.current = device = _Device()
    with patch.object(Lanes, "map", _here), device:
        yield device.traffic
