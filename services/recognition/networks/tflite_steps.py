"""Reads the networks of this folder from TensorFlow Lite files: as much of the format as they use, no more.

A file of flat buffers (https://flatbuffers.dev/internals) with the fields of tensorflow's schema.fbs. Weights
are half floats there and single floats here, which loses nothing.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from services.errors import CorruptData
from services.recognition.networks.network import Array, Step

# schema.fbs, enum BuiltinOperator
_ADD, _CONCATENATION, _CONV, _DEPTHWISE, _DEQUANTIZE = 0, 2, 3, 4, 6
_MAX_POOL, _RELU, _RESHAPE, _RESIZE_BILINEAR, _PAD = 17, 19, 22, 23, 34
_TYPES: dict[int, np.dtype[Any]] = {0: np.dtype("<f4"), 1: np.dtype("<f2"), 2: np.dtype("<i4")}
_SAME = 0


class _Table:
    """A table of a flat buffer; a field that is not there reads as its default, 0 or nothing."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        self._fields = at - _int(data, at)

    def _place(self, number: int) -> int:
        """Where a field stands; 0 where it does not."""
        offset = 4 + 2 * number
        if offset >= _unsigned(self._data, self._fields, 2):
            return 0
        inside = _unsigned(self._data, self._fields + offset, 2)
        return self._at + inside if inside else 0

    def number(self, number: int, size: int = 4) -> int:
        at = self._place(number)
        return _int(self._data, at, size) if at else 0

    def table(self, number: int) -> _Table:
        at = self._place(number)
        if not at:
            raise ValueError(f"field {number} is missing")
        return _Table(self._data, at + _unsigned(self._data, at))

    def _vector(self, number: int) -> tuple[int, int]:
        """Where a vector starts, and how many it has."""
        at = self._place(number)
        if not at:
            return 0, 0
        start = at + _unsigned(self._data, at)
        return start + 4, _unsigned(self._data, start)

    def tables(self, number: int) -> list[_Table]:
        start, count = self._vector(number)
        places = range(start, start + 4 * count, 4)
        return [_Table(self._data, at + _unsigned(self._data, at)) for at in places]

    def numbers(self, number: int) -> list[int]:
        start, count = self._vector(number)
        return [_int(self._data, start + 4 * k) for k in range(count)]

    def bytes(self, number: int) -> bytes:
        start, count = self._vector(number)
        if start + count > len(self._data):
            raise ValueError("it ends early")
        return self._data[start : start + count]


@dataclass
class _Graph:
    """names and shapes of all tensors by number, the weights among them, and steps as they come."""

    names: list[str]
    shapes: list[list[int]]
    arrays: dict[int, Array]
    padded: dict[int, int] = field(default_factory=dict)  # a map with zero channels added: the map without
    steps: list[Step] = field(default_factory=list)


def read_steps(data: bytes, where: str) -> list[Step]:
    """The network in the bytes of a TensorFlow Lite file. where: named in messages.

    Maps have their tensors' names. What comes after the last convolutions only puts their numbers in a row,
    and is left out.

    :raises CorruptData: where the file is none, or holds what these networks do not have.
    """
    try:
        if data[4:8] != b"TFL3":
            raise ValueError("it does not begin as one")
        model = _Table(data, _unsigned(data, 0))
        codes = [max(code.number(0, 1), code.number(3)) for code in model.tables(1)]
        (subgraph,) = model.tables(2)
        graph = _graph(subgraph, model.tables(4))
        for operator in subgraph.tables(3):
            _append(graph, codes[operator.number(0)], operator)
        return graph.steps
    except (IndexError, KeyError, ValueError, struct.error, UnicodeDecodeError) as error:
        raise CorruptData(f"{where}: not a network that can be read here ({error})") from None


def _graph(subgraph: _Table, buffers: list[_Table]) -> _Graph:
    tensors = subgraph.tables(0)
    graph = _Graph([t.bytes(3).decode() for t in tensors], [t.numbers(0) for t in tensors], {})
    for k, tensor in enumerate(tensors):
        content = buffers[tensor.number(2)].bytes(0)
        if content:
            graph.arrays[k] = np.frombuffer(content, _TYPES[tensor.number(1, 1)]).reshape(graph.shapes[k])
    return graph


def _append(graph: _Graph, code: int, operator: _Table) -> None:
    inputs, (output,) = operator.numbers(1), operator.numbers(2)
    if code == _DEQUANTIZE:
        graph.arrays[output] = graph.arrays[inputs[0]]
        return
    if code in (_RESHAPE, _CONCATENATION):
        return
    if code == _PAD:
        if graph.arrays[inputs[1]][:3].any() or graph.arrays[inputs[1]][3, 0]:
            raise ValueError("zeros elsewhere than in further channels")
        graph.padded[output] = inputs[0]
        return
    maps = [graph.padded.get(k, k) for k in inputs if k not in graph.arrays]
    common: dict[str, Any] = {
        "inputs": tuple(graph.names[k] for k in maps),
        "output": graph.names[output],
    }
    if code in (_CONV, _DEPTHWISE):
        graph.steps.append(_convolution(graph, code, operator, common))
    elif code == _MAX_POOL:
        options = operator.table(4)
        size = options.number(3)
        if {options.number(k) for k in (1, 2, 4)} != {size} or _missing(graph.shapes[maps[0]][1], size, size):
            raise ValueError("a pool of another shape")
        graph.steps.append(Step("pool", size=size, stride=size, **common))
    elif code == _RESIZE_BILINEAR:
        options = operator.table(4)
        if graph.shapes[output][1] != 2 * graph.shapes[maps[0]][1] or not options.number(3, 1):
            raise ValueError("a resize other than to twice the size")
        graph.steps.append(Step("enlarge", mode="bilinear", **common))
    elif code in (_ADD, _RELU):
        graph.steps.append(Step("add" if code == _ADD else "relu", **common))
    else:
        raise ValueError(f"an operator {code}")


def _convolution(graph: _Graph, code: int, operator: _Table, common: dict[str, Any]) -> Step:
    source, kernel, bias = operator.numbers(1)
    options = operator.table(4)
    stride = options.number(1)
    dilations = (4, 5) if code == _CONV else (5, 6)
    if stride != options.number(2) or options.number(3 if code == _CONV else 4, 1):
        raise ValueError("a convolution with unequal strides or an activation")
    if any(options.number(k) not in (0, 1) for k in dilations):
        raise ValueError("a convolution with dilation")
    weight = graph.arrays[kernel].astype(np.float32)
    if code == _CONV:  # out, height, width, in
        weight, groups = weight.transpose(0, 3, 1, 2), 1
    else:  # 1, height, width, channels
        weight, groups = weight.transpose(3, 0, 1, 2), weight.shape[3]
    pad = (0, 0, 0, 0)
    if options.number(0, 1) == _SAME:
        down, across = (
            _missing(side, size, stride)
            for side, size in zip(graph.shapes[source][1:3], weight.shape[2:], strict=True)
        )
        pad = (across // 2, across - across // 2, down // 2, down - down // 2)
    return Step(
        "convolve",
        weight=np.ascontiguousarray(weight),
        bias=graph.arrays[bias].astype(np.float32),
        stride=stride,
        pad=pad,
        groups=groups,
        **common,
    )


def _missing(side: int, size: int, stride: int) -> int:
    """How many rows TensorFlow's "same" padding adds to a side."""
    return max((-(-side // stride) - 1) * stride + size - side, 0)


def _int(data: bytes, at: int, size: int = 4) -> int:
    return int.from_bytes(_part(data, at, size), "little", signed=True)


def _unsigned(data: bytes, at: int, size: int = 4) -> int:
    return int.from_bytes(_part(data, at, size), "little")


def _part(data: bytes, at: int, size: int) -> bytes:
    part = data[at : at + size] if at >= 0 else b""
    if len(part) != size:
        raise ValueError("it ends early")
    return part
