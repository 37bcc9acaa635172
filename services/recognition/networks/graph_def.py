"""Reads the weights of a frozen TensorFlow graph (GraphDef) without TensorFlow. Numpy only.

Wire format: protobuf.dev/programming-guides/encoding. The fields' numbers: tensorflow/core/framework, files
graph.proto, node_def.proto, attr_value.proto, tensor.proto and tensor_shape.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.errors import CorruptData

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5  # kinds of fields
_FLOAT = 1  # tensorflow/core/framework/types.proto


def read_weights(data: bytes, where: str) -> dict[str, NDArray[np.float32]]:
    """The float32 constants of a frozen graph by name, read-only; filters are (rows, columns, in, out).

    :param where: the file, for messages.
    :raises CorruptData: where the bytes are no such graph.
    """
    found = {}
    try:
        for number, node in fields(memoryview(data)):
            if number == 1:
                found.update(_constant(node))
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise CorruptData(f"{where}: not a frozen TensorFlow graph ({error!r}); get the file again") from None
    return found


def fields(message: memoryview) -> Iterator[tuple[int, Any]]:
    """Number and value of each field: an int, or the bytes of a string, a message or a fixed number.

    :raises ValueError: for bytes that are no message.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in (_FOUR_BYTES, _EIGHT_BYTES):
            size = 4 if kind == _FOUR_BYTES else 8
        else:
            raise ValueError(f"field {number} is of kind {kind}")
        if at + size > len(message):
            raise ValueError(f"field {number} is cut off")
        yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at == len(message):
            raise ValueError("a number is cut off")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number has more than ten bytes")


def _constant(node: memoryview) -> dict[str, NDArray[np.float32]]:
    """Name and numbers of a node that is a constant of float32, else nothing."""
    name, operation, tensor = "", "", None
    for number, value in fields(node):
        if number == 1:
            name = bytes(value).decode()
        elif number == 2:
            operation = bytes(value).decode()
        elif number == 5:
            attribute = dict(fields(value))
            if bytes(attribute[1]) == b"value":
                tensor = dict(fields(attribute[2])).get(8)
    if operation != "Const" or tensor is None:
        return {}
    values = dict(fields(tensor))
    if values.get(1) != _FLOAT:
        return {}
    shape = tuple(dict(fields(size)).get(1, 0) for number, size in fields(values.get(2, memoryview(b""))))
    # Field 4 holds all numbers as bytes. A constant of one number, whatever its shape, has it in field 5.
    array = np.frombuffer(values[4] if 4 in values else values[5], "<f4")
    if 4 not in values and len(array) == 1:
        array = np.broadcast_to(array[0], shape)
    return {name: array.reshape(shape)}
