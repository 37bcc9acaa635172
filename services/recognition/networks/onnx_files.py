"""What an ONNX file holds, from its header: a face detector, a face recognizer, or neither."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from services.errors import BadInput, Unavailable
from services.recognition.files import sha256_of

if TYPE_CHECKING:
    import onnx

HOW_TO_GET_ONNX = 'pip install "datamask[insightface]"'

# Outputs of insightface's SCRFD exports: scores, boxes and, where there are 9 or 15, landmarks of each level.
DETECTOR_OUTPUTS = (6, 9, 10, 15)
_COUNTS = ", ".join(map(str, DETECTOR_OUTPUTS))


@dataclass(frozen=True)
class OnnxShape:
    """kind: what the network is. size_px: side of its input, None where it takes any. fixed_batch: whether
    the file says that it takes one image at a time. outputs: how many. embedding: numbers a face, None where
    the file does not say.
    """

    kind: Literal["detect", "recognize"]
    size_px: int | None
    fixed_batch: bool
    outputs: int
    embedding: int | None


def inspect(path: Path) -> OnnxShape:
    """What the file holds. BadInput for any other kind of file, Unavailable without the onnx package."""
    return _inspect(str(path), sha256_of(path))


@lru_cache(maxsize=64)
def _inspect(path: str, sha256: str) -> OnnxShape:
    graph = read_graph(Path(path)).graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    shape = _dims(inputs[0]) if inputs else []
    outputs = len(graph.output)
    if len(inputs) != 1 or len(shape) != 4 or shape[1] != 3:
        raise _refused(path, f"its inputs are {[_dims(value) for value in inputs]}")
    fixed = isinstance(shape[0], int)
    if fixed and shape[0] != 1:
        raise _refused(path, f"it takes {shape[0]} images at a time")
    side = shape[2] if isinstance(shape[2], int) and shape[2] == shape[3] else None
    if outputs in DETECTOR_OUTPUTS:
        if side is None and (isinstance(shape[2], int) or isinstance(shape[3], int)):
            raise _refused(path, f"its pictures are {shape[3]} x {shape[2]}")
        return OnnxShape("detect", side, fixed, outputs, None)
    given = _dims(graph.output[0]) if outputs == 1 else []
    if outputs != 1 or side is None or side < 112 or side % 16:
        raise _refused(path, f"it takes {shape} and gives {outputs} outputs")
    if len(given) not in (0, 2):
        raise _refused(path, f"it gives {given} numbers a face")
    last = given[1] if len(given) == 2 else None
    return OnnxShape("recognize", side, fixed, 1, last if isinstance(last, int) else None)


def read_graph(path: Path) -> onnx.ModelProto:
    """The parsed file. BadInput where it is none, or where its weights lie elsewhere: no hash covers them."""
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise Unavailable(f"{path}: reading an ONNX model needs onnx; {HOW_TO_GET_ONNX}") from None
    try:
        model: onnx.ModelProto = onnx.load_model(str(path), format="protobuf", load_external_data=False)
    except (DecodeError, ValueError, OSError) as error:
        raise BadInput(f"{path}: not an ONNX file ({_line(error)})") from None
    if not model.graph.node:
        raise BadInput(f"{path}: not an ONNX file (it holds no network)")
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise BadInput(f"{path}: its weights lie in another file; save the model as one file")
    return model


def _dims(value: Any) -> list[int | str]:
    dims = value.type.tensor_type.shape.dim
    return [int(dim.dim_value) if dim.HasField("dim_value") and dim.dim_value > 0 else "?" for dim in dims]


def _refused(path: str, found: str) -> BadInput:
    return BadInput(
        f"{path}: expected an ArcFace-shaped recognizer (one input n x 3 x S x S, S >= 112 and a multiple of "
        f"16, one output n x d) or an SCRFD detector ({_COUNTS} outputs); {found}"
    )


def _line(error: BaseException) -> str:
    return " ".join(f"{error}".split())[:120] or type(error).__name__
