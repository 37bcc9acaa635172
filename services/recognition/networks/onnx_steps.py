"""Reads the networks of this folder from ONNX files: as much of the format as they use, and no more.

A message of protocol buffers with the field numbers of onnx.proto3. The package ``onnx`` is not needed by
anybody who brings no files of their own.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from services.errors import CorruptData
from services.recognition.networks.network import Array, Step
from services.recognition.networks.protobuf import fields, signed, varint

_INT64 = 7  # TensorProto.DataType
_TYPES: dict[int, np.dtype[Any]] = {1: np.dtype("<f4"), _INT64: np.dtype("<i8")}
# Between the last convolution and an output's name: shapes and a sigmoid, which the detectors do themselves.
_PASSED_ON = ("Transpose", "Reshape", "Sigmoid")


@dataclass(frozen=True)
class _Node:
    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]


def read_steps(data: bytes, where: str) -> list[Step]:
    """The network in the bytes of an ONNX file. where: named in messages.

    An output's name stands for the map of its last convolution (n, channels, rows, columns).

    :raises CorruptData: where the file is none, or holds what these networks do not have.
    """
    try:
        graph = _fields(_only(_fields(data)[7]))
        arrays = dict(_tensor(part) for part in graph[5])
        return _steps([_node(part) for part in graph[1]], arrays)
    except (IndexError, KeyError, ValueError, struct.error, UnicodeDecodeError) as error:
        raise CorruptData(f"{where}: not a network that can be read here ({error})") from None


def _steps(nodes: list[_Node], arrays: dict[str, Array]) -> list[Step]:
    steps: list[Step] = []
    same: dict[str, str] = {}  # a map's name: the name of the map that it is
    for node in nodes:
        inputs = tuple(same.get(name, name) for name in node.inputs if name not in arrays and name)
        numbers = [arrays[name] for name in node.inputs if name in arrays]
        if node.op in _PASSED_ON:
            same[node.outputs[0]] = inputs[0]
        elif node.op == "BatchNormalization" and steps[-1].output == inputs[0] and steps[-1].op == "spread":
            steps[-1] = replace(_normalized(steps[-1], numbers, node.attributes), output=node.outputs[0])
        else:
            steps.append(_step(node, inputs, numbers))
    # Outputs are asked for by their names.
    named = {source: name for name, source in same.items()}
    return [replace(step, output=named.get(step.output, step.output)) for step in steps]


def _step(node: _Node, inputs: tuple[str, ...], numbers: list[Array]) -> Step:
    a, output = node.attributes, node.outputs[0]
    top, left, bottom, right = a.get("pads", [0, 0, 0, 0])
    common: dict[str, Any] = {"inputs": inputs, "output": output}
    if set(a.get("dilations", [1])) != {1}:
        raise ValueError(f"{node.op} with dilations {a['dilations']}")
    if node.op in ("Conv", "MaxPool", "ConvTranspose"):
        common["stride"] = _equal(a["strides"])
    if node.op == "Conv":
        bias = numbers[1] if len(numbers) > 1 else None
        common |= {"weight": numbers[0], "bias": bias, "groups": a.get("group", 1)}
        return Step("convolve", pad=(left, right, top, bottom), **common)
    if any((left, right, top, bottom)):
        raise ValueError(f"{node.op} with pads {a['pads']}")
    if node.op == "ConvTranspose" and a.get("group", 1) == 1 and "output_padding" not in a:
        return Step("spread", weight=numbers[0], **common)
    if node.op == "MaxPool":
        return Step("pool", size=_equal(a["kernel_shape"]), ceil=bool(a.get("ceil_mode", 0)), **common)
    if node.op == "Resize" and a["mode"] == b"nearest" and numbers[-1].tolist() == [1.0, 1.0, 2.0, 2.0]:
        return Step("enlarge", **common)
    if node.op in ("Add", "Relu"):
        return Step("add" if node.op == "Add" else "relu", **common)
    raise ValueError(f"a step {node.op}")


def _normalized(step: Step, numbers: list[Array], attributes: dict[str, Any]) -> Step:
    """A ``spread`` with the batch normalization after it made part of its weights."""
    scale, shift, mean, variance = (part.astype(np.float64) for part in numbers)
    scale = scale / np.sqrt(variance + attributes["epsilon"])
    if step.weight is None:
        raise ValueError("a convolution without weights")
    weight = step.weight.astype(np.float64) * scale[None, :, None, None]
    return replace(step, weight=weight.astype(np.float32), bias=(shift - mean * scale).astype(np.float32))


def _equal(numbers: list[int]) -> int:
    if len(set(numbers)) != 1:
        raise ValueError(f"unequal sides {numbers}")
    return numbers[0]


def _node(data: bytes) -> _Node:
    parts = _fields(data)
    attributes = dict(_attribute(part) for part in parts[5])
    return _Node(_only(parts[4]).decode(), _texts(parts[1]), _texts(parts[2]), attributes)


def _attribute(data: bytes) -> tuple[str, Any]:
    """Name and value: a float, a whole number, bytes, or a list of whole numbers."""
    parts = _fields(data)
    name, kind = _only(parts[1]).decode(), _only(parts[20])
    if kind == 1:
        return name, struct.unpack("<f", _only(parts[2]))[0]
    if kind == 7:
        return name, _whole(parts[8])
    return name, _only(parts[{2: 3, 3: 4}[kind]])


def _tensor(data: bytes) -> tuple[str, Array]:
    parts = _fields(data)
    kind = _only(parts[2])
    dtype = _TYPES[kind]
    if parts[9]:
        flat = np.frombuffer(_only(parts[9]), dtype)
    elif kind == _INT64:
        flat = np.array(_whole(parts[7]), dtype)
    else:
        flat = np.frombuffer(b"".join(parts[4]), dtype)
    return _only(parts[8]).decode(), flat.reshape(_whole(parts[1]))


def _texts(values: list[Any]) -> list[str]:
    return [value.decode() for value in values]


def _only(values: list[Any]) -> Any:
    if len(values) != 1:
        raise ValueError(f"{len(values)} values instead of one")
    return values[0]


def _whole(values: list[Any]) -> list[int]:
    """Repeated whole numbers, which stand one by one or packed."""
    found: list[int] = []
    for value in values:
        found += [value] if isinstance(value, int) else _packed(value)
    return found


def _packed(data: bytes) -> list[int]:
    at, found = 0, []
    while at < len(data):
        value, at = varint(data, at)
        found.append(signed(value))
    return found


def _fields(data: bytes) -> defaultdict[int, list[Any]]:
    """By field number: whole numbers as such, everything else as bytes."""
    found: defaultdict[int, list[Any]] = defaultdict(list)
    for number, value in fields(data):
        found[number].append(signed(value) if isinstance(value, int) else value)
    return found
