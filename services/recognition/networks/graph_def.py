"""Reads the weights of a frozen TensorFlow graph (GraphDef) without TensorFlow. Numpy only.

The fields' numbers: tensorflow/core/framework, files graph.proto, node_def.proto, attr_value.proto,
tensor.proto and tensor_shape.proto.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from services.errors import CorruptData
from services.recognition.networks.protobuf import fields

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
