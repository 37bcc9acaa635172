"""The recognizer from npm: its graph is the same function after it was written down as ONNX."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bench import faceres

RANDOM = np.random.default_rng(5)
SIDE_PX = 224


def node(name: str, operation: str, *inputs: str, **attributes: Any) -> dict[str, Any]:
    """One node of a TensorFlow.js graph."""
    return {"name": name, "op": operation, "input": list(inputs), "attr": attributes}


def convolution(name: str, operation: str, picture: str, kernel: str, stride: int) -> dict[str, Any]:
    """A convolution as TensorFlow pads it."""
    return node(
        *(name, operation, picture, kernel),
        padding={"s": base64.b64encode(b"SAME").decode()},
        strides={"list": {"i": ["1", str(stride), str(stride), "1"]}},
    )


@pytest.fixture
def network(tmp_path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """A small graph of the same operations as the real one's, with random weights."""
    weights = {
        "first": RANDOM.normal(0, 0.2, (3, 3, 3, 8)).astype(np.float32),
        "shift": RANDOM.normal(0, 1, 8).astype(np.float32),
        "six": np.array(6, np.float32),
        "zero": np.array(0, np.float32),
        "each": RANDOM.normal(0, 0.5, (3, 3, 8, 1)).astype(np.float32),
        "gain": RANDOM.normal(0, 1, 8).astype(np.float32),
        "last": RANDOM.normal(0, 0.5, (1, 1, 8, 5)).astype(np.float32),
        "axes": np.array([1, 2], np.int32),
    }
    size = {"dim": [{"size": str(n)} for n in (-1, SIDE_PX, SIDE_PX, 3)]}
    nodes = [
        *(node(name, "Const") for name in weights),
        node("picture", "Placeholder", shape={"shape": size}),
        convolution("a", "Conv2D", "picture", "first", 2),
        node("b", "Add", "a", "shift"),
        node("c", "Relu", "b"),
        node("d", "Minimum", "c", "six"),
        node("e", "Maximum", "d", "zero"),
        convolution("f", "DepthwiseConv2dNative", "e", "each", 1),
        node("g", "Mul", "f", "gain"),
        convolution("h", "Conv2D", "g", "last", 1),
        node("features", "Mean", "h", "axes"),
        node("age", "Softmax", "features"),
    ]
    entries = [{"name": n, "dtype": a.dtype.name, "shape": list(a.shape)} for n, a in weights.items()]
    (tmp_path / "net.bin").write_bytes(b"".join(a.tobytes() for a in weights.values()))
    path = tmp_path / "net.json"
    manifest = [{"paths": ["net.bin"], "weights": entries}]
    path.write_text(json.dumps({"modelTopology": {"node": nodes}, "weightsManifest": manifest}))
    return path, weights


def test_the_onnx_file_is_the_same_function(network: tuple[Path, dict[str, np.ndarray]]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="pip install onnxruntime")
    path, weights = network
    chips = RANDOM.integers(0, 256, (3, 3, faceres.CHIP_PX, faceres.CHIP_PX)).astype(np.float32)
    session = onnxruntime.InferenceSession(faceres.converted(path, "features").SerializeToString())
    (answer,) = session.run(None, {"input": chips})

    w = {name: torch.from_numpy(array) for name, array in weights.items()}
    x = torch.from_numpy(chips)[:, [2, 1, 0]] - torch.tensor(faceres.MEANS_BGR)[:, None, None]
    x = F.interpolate(x, (SIDE_PX, SIDE_PX), mode="bilinear", align_corners=False)
    # TensorFlow's SAME puts the odd row and column of padding last.
    x = F.conv2d(F.pad(x, (0, 1, 0, 1)), w["first"].permute(3, 2, 0, 1), stride=2)
    x = torch.clip(F.relu(x + w["shift"][:, None, None]), 0, 6)
    x = F.conv2d(x, w["each"].permute(2, 3, 0, 1), padding=1, groups=8) * w["gain"][:, None, None]
    x = F.conv2d(x, w["last"].permute(3, 2, 0, 1)).mean(dim=(2, 3))
    assert answer.shape == (3, 5)
    np.testing.assert_allclose(answer, x.numpy(), rtol=1e-4, atol=1e-4)


def test_an_operation_that_is_not_known_is_named(network: tuple[Path, dict[str, np.ndarray]]) -> None:
    with pytest.raises(SystemExit, match="age: the operation Softmax is not known"):
        faceres.converted(network[0], "age")


def test_other_files_than_expected_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # where there is no npm
    with pytest.raises(SystemExit, match=r"npm could not fetch it.*install Node\.js"):
        faceres.fetch(tmp_path)
