"""ONNX files with random weights and the signatures of insightface's packs, for benchmarks and tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


class Graph:
    """An ONNX graph in the making."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def constant(self, array: NDArray[Any]) -> str:
        """Add an array; its name."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Add a node with one output, which is called as the node is; its name."""
        output = name or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=name, **attributes))
        return output

    def model(self, inputs: list[Any], outputs: list[Any]) -> onnx.ModelProto:
        """The whole. :raises onnx.checker.ValidationError: if it is not sound."""
        graph = helper.make_graph(self.nodes, "net", inputs, outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.checker.check_model(model)
        return model

    def save(self, path: Path, inputs: list[Any], outputs: list[Any]) -> Path:
        """Write the whole to a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(self.model(inputs, outputs), str(path))
        return path


class _Random(Graph):
    """With random weights, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = np.random.default_rng(seed)

    def convolution(self, x: str, channels: tuple[int, int], stride: int, bias: float = 0.0) -> str:
        channels_in, channels_out = channels
        scale = np.sqrt(2.0 / (9 * channels_in))
        filters = self.random.normal(0, scale, (channels_out, channels_in, 3, 3)).astype(np.float32)
        biases = self.random.normal(bias, 0.1, channels_out).astype(np.float32)
        attributes: dict[str, Any] = {
            "kernel_shape": [3, 3],
            "pads": [1, 1, 1, 1],
            "strides": [stride, stride],
        }
        return self.node("Conv", x, self.constant(filters), self.constant(biases), **attributes)


def picture(batch: int | str, side: int | str) -> onnx.ValueInfoProto:
    """The input of a network that takes pictures, three colors a pixel."""
    return helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, side, side])


def arcface(
    path: Path,
    *,
    batch: int | str = "N",
    size: int = 512,
    side: int = 112,
    stuck: bool = False,
    width: int = 8,
    depth: int = 0,
) -> Path:
    """A recognizer: side x side to ``size`` numbers. stuck: it reshapes to one row, and cannot take more.

    width, depth: filters of the first convolution, and further convolutions after each halving.
    """
    g = _Random(0)
    x, last = "input", 3
    for wide in (width, 2 * width, 2 * width, 4 * width):
        x = g.node("Relu", g.convolution(x, (last, wide), 2))
        for _ in range(depth):
            x = g.node("Relu", g.convolution(x, (wide, wide), 1))
        last = wide
    x = g.node("Flatten", x, axis=1)
    cells = last * (side // 16) ** 2
    weights = g.random.normal(0, cells**-0.5, (cells, size)).astype(np.float32)
    if stuck:
        x = g.node("MatMul", x, g.constant(weights))
        x = g.node("Reshape", x, g.constant(np.array([1, size], np.int64)), name="embedding")
    else:
        x = g.node("MatMul", x, g.constant(weights), name="embedding")
    out = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, size])
    return g.save(path, [picture(batch, side)], [out])


def scrfd(
    path: Path,
    *,
    batch: int | str = 1,
    points: bool = True,
    old: bool = True,
    side: int | str = "?",
    width: int = 8,
) -> Path:
    """A detector with strides 8, 16 and 32, two anchors a cell. old: cells of all images in one column, as
    the packs have it, with sizes declared for 640 pixels.
    """
    g = _Random(0)
    x = g.node("Relu", g.convolution("input", (3, width), 2))
    x = g.node("Relu", g.convolution(x, (width, width), 2))
    found: dict[str, list[str]] = {"score": [], "box": [], "mark": []}
    outputs = []
    for stride in (8, 16, 32):
        x = g.node("Relu", g.convolution(x, (width, width), 2))
        for kind, numbers in (("score", 1), ("box", 4), ("mark", 10)):
            if kind == "mark" and not points:
                continue
            y = g.convolution(x, (width, 2 * numbers), 1, bias=-2.0 if kind == "score" else 0.0)
            y = g.node("Sigmoid" if kind == "score" else "Relu", y) if kind != "mark" else y
            y = g.node("Transpose", y, perm=[0, 2, 3, 1])
            shape = [-1, numbers] if old else [0, -1, numbers]
            y = g.node("Reshape", y, g.constant(np.array(shape, np.int64)), name=f"{kind}_{stride}")
            found[kind].append(y)
    for kind, numbers in (("score", 1), ("box", 4), ("mark", 10)):
        for level, name in enumerate(found[kind]):
            cells = 2 * (640 // (8 << level)) ** 2
            dims: list[int | str] = [cells, numbers] if old else [batch, "cells", numbers]
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))
    return g.save(path, [picture(batch, side)], outputs)
