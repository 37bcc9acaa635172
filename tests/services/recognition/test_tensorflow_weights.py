"""Weights out of TensorFlow's two kinds of files, without TensorFlow: what is read, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import CorruptData
from services.recognition.model import JOINT
from services.recognition.networks import graph_def, tfjs

# -- GraphDef, in protobuf's wire format


def varint(value: int) -> bytes:
    digits = []
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def message(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def constant(name: str, array: np.ndarray, *, once: bool = False, operation: bytes = b"Const") -> bytes:
    """A node with a tensor: all numbers as bytes or, ``once``, the first one in the list of floats."""
    shape = b"".join(message(2, varint(1 << 3) + varint(size)) for size in array.shape)
    kind = 1 if array.dtype == np.float32 else 3
    numbers = message(5, array.ravel()[:1].tobytes()) if once else message(4, array.tobytes())
    tensor = varint(1 << 3) + varint(kind) + message(2, shape) + numbers
    value = message(5, message(1, b"value") + message(2, message(8, tensor)))
    return message(1, message(1, name.encode()) + message(2, operation) + value)


FILTERS = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
GRAPH = b"".join(
    [
        constant("filters", FILTERS),
        constant("scale", np.array(0.17, np.float32), once=True),
        constant("ones", np.ones(7, np.float32), once=True),
        constant("axes", np.array([1, 2], np.int32)),
        constant("other", FILTERS, operation=b"Placeholder"),
        varint(4 << 3) + varint(1),  # a field that nobody asks for
        varint(5 << 3 | 1) + bytes(8),
    ]
)


def test_the_float_constants_of_a_graph_are_read() -> None:
    found = graph_def.read_weights(GRAPH, "graph.pb")
    assert set(found) == {"filters", "scale", "ones"}
    np.testing.assert_array_equal(found["filters"], FILTERS)
    assert found["scale"].shape == ()
    assert found["scale"] == np.float32(0.17)
    np.testing.assert_array_equal(found["ones"], np.ones(7, np.float32))


def refusal(read: Callable[[bytes, str], object], data: bytes) -> str | None:
    """What a reader says against the bytes, None where it takes them; anything but CorruptData is raised."""
    try:
        read(data, "file")
    except CorruptData as error:
        return f"{error}"
    return None


@given(st.integers(0, len(GRAPH) - 1), st.integers(0, 255), st.booleans())
def test_a_damaged_graph_is_read_or_refused_in_one_line(at: int, byte: int, cut: bool) -> None:
    data = GRAPH[:at] if cut else GRAPH[:at] + bytes([byte]) + GRAPH[at + 1 :]
    said = refusal(graph_def.read_weights, data)
    assert said is None or said.startswith("file: not a frozen TensorFlow graph")
    assert "\n" not in (said or "")


@given(st.binary(max_size=60))
def test_other_bytes_are_read_or_refused_in_one_line(data: bytes) -> None:
    for read in (graph_def.read_weights, tfjs.read_weights):
        assert "\n" not in (refusal(read, data) or "")


# -- TensorFlow.js


def joined(entries: list[dict[str, object]], numbers: bytes) -> bytes:
    document = {"weightsManifest": [{"paths": ["net.bin"], "weights": entries}]}
    return json.dumps(document).encode() + JOINT + numbers


def test_a_models_weights_are_read_in_the_manifests_order() -> None:
    axes = np.array([1, 2], np.int32)
    entries = [
        {"name": "filters", "dtype": "float32", "shape": list(FILTERS.shape)},
        {"name": "axes", "dtype": "int32", "shape": [2]},
        {"name": "one", "dtype": "float32", "shape": []},
    ]
    numbers = FILTERS.tobytes() + axes.tobytes() + np.float32(3).tobytes()
    found = tfjs.read_weights(joined(entries, numbers), "net.tfjs")
    np.testing.assert_array_equal(found["filters"], FILTERS)
    np.testing.assert_array_equal(found["axes"], axes)
    assert found["one"] == 3


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            joined([{"name": "a", "dtype": "float32", "shape": [2]}], bytes(12)),
            "12 bytes of weights, expected 8",
        ),
        (joined([{"name": "a", "dtype": "float32", "shape": [2]}], bytes(4)), "buffer"),
        (
            joined(
                [{"name": "a", "dtype": "float32", "shape": [1], "quantization": {"dtype": "uint8"}}],
                bytes(1),
            ),
            "a is quantized",
        ),
        (b'{"weights": 1}' + JOINT, "weightsManifest"),
        (b"[]" + JOINT, "list indices"),
        (b"nothing", "Expecting value"),
    ],
)
def test_what_is_no_such_model_is_refused_in_one_line(data: bytes, words: str) -> None:
    with pytest.raises(CorruptData, match=words) as caught:
        tfjs.read_weights(data, "net.tfjs")
    assert f"{caught.value}".startswith("net.tfjs: not a TensorFlow.js graph model")
    assert "\n" not in f"{caught.value}"
