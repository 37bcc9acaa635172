"""Runs insightface's ONNX networks in batches of a fixed size; the package itself runs one image at a time.

The package loads the model (``model_zoo.get_model`` knows which outputs are what and how the input is
normalized) and we run its session: images as one tensor, outputs written where torch reads them (IO binding),
one thread a call, so that lanes run side by side and bits do not depend on the cores. Batches are filled up
to a fixed size, so that an image's numbers do not depend on how many come along.

Many files say that they take one image at a time; they are declared anew to take many. Whether that is sound
depends on the network; so at loading its answers to a batch are compared with those that the package's own
session gives to single images, and where they differ images are run one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from services.errors import BadInput, Unavailable
from services.recognition.files import sha256_of
from services.recognition.model import ModelInfo
from services.recognition.networks.onnx_files import HOW_TO_GET_ONNX, inspect, read_graph

MICRO = 8
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Package:
    """What insightface knows of a model: its object, and the numbers that normalize a picture."""

    model: Any
    mean: float
    std: float


class OnnxNetwork:
    """One network on one device. micro: images a call, 1 where the file cannot take more.

    :raises BadInput: where the file is not what its entry says, or does not load.
    :raises Unavailable: where a package is missing, or torch has a GPU and onnxruntime has not.
    """

    def __init__(self, info: ModelInfo, device: str | torch.device = "cpu", micro: int = MICRO) -> None:
        if info.file is None:
            raise Unavailable(f"model {info.name!r}: no such file; {info.how_to_get}")
        path = Path(info.file)
        if sha256_of(path) != info.sha256:
            raise BadInput(
                f"{path}: the file has changed since this run began; restore it or start a new run"
            )
        self.name = info.name
        self.device = torch.device(device)
        self.shape = inspect(path)
        runtime, zoo = _packages(path)
        options = _options(runtime)
        providers = _providers(runtime, self.device, info.name)
        try:
            model = zoo.get_model(str(path), download=False, sess_options=options, providers=providers)
        except Exception as error:  # onnxruntime raises its own kinds, the package asserts
            raise BadInput(f"{path}: onnxruntime cannot load it ({_line(error)})") from None
        wanted = "detection" if self.shape.kind == "detect" else "recognition"
        task = getattr(model, "taskname", "nothing it knows")
        if task != wanted:
            raise BadInput(f"{path}: insightface takes it for {task}, not for {wanted}")
        given = model.session.get_inputs()[0].type
        if given != "tensor(float)":
            raise BadInput(f"{path}: its input is a {given}, expected float32; export it in full precision")
        self.package = Package(model, float(model.input_mean), float(model.input_std))
        self._input = model.input_name
        self._outputs = list(model.output_names)
        self._shapes: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
        self._session = runtime.InferenceSession(_for_many(path), sess_options=options, providers=providers)
        self.micro = micro if micro > 1 and self._answers_alike(model.session, micro) else 1
        model.session = None  # its memory; ours has the same weights

    @torch.inference_mode()
    def run(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        """Outputs of the network for float32 (n, 3, H, W), already normalized; each starts with n rows.

        An output whose rows are all images' cells, one image after the other, comes as (n, cells, ...).
        """
        count = len(pictures)
        pieces = []
        for start in range(0, count, self.micro):
            piece = pictures[start : start + self.micro]
            missing = self.micro - len(piece)
            if missing:
                piece = torch.cat([piece, piece.new_zeros((missing, *piece.shape[1:]))])
            outputs = self._call(piece.contiguous())
            pieces.append([output[: self.micro - missing] for output in outputs])
        if not pieces:
            raise ValueError("pictures: expected at least one")
        return [torch.cat(parts) for parts in zip(*pieces, strict=True)]

    def normalized(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (n, H, W, 3), RGB, as the network takes pictures: float32 (n, 3, H, W)."""
        planes = images.to(self.device).permute(0, 3, 1, 2).float()
        return ((planes - self.package.mean) * (1.0 / self.package.std)).contiguous()

    def _call(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        session = self._session
        key = tuple(pictures.shape)
        if key not in self._shapes:
            # Output sizes are not in every file, and those that are may be wrong: ask once.
            asked = session.run(self._outputs, {self._input: pictures.cpu().numpy()})
            self._shapes[key] = [tuple(array.shape) for array in asked]
        kind, index = self.device.type, self.device.index or 0
        outputs = [torch.empty(shape, device=self.device) for shape in self._shapes[key]]
        binding = session.io_binding()
        binding.bind_input(self._input, kind, index, np.float32, list(key), pictures.data_ptr())
        for name, output in zip(self._outputs, outputs, strict=True):
            binding.bind_output(name, kind, index, np.float32, list(output.shape), output.data_ptr())
        if kind == "cuda":
            torch.cuda.current_stream(self.device).synchronize()  # onnxruntime works on a stream of its own
        session.run_with_iobinding(binding)
        if kind == "cuda":
            binding.synchronize_outputs()
        return [_by_image(output, key[0]) for output in outputs]

    def _answers_alike(self, single: Any, micro: int) -> bool:
        """Whether a batch gets the answers that the package's own session gives to its images one by one."""
        side = self.shape.size_px or 64
        pictures = np.random.default_rng(0).uniform(-1.0, 1.0, (micro, 3, side, side)).astype(np.float32)
        try:
            together = self._call(torch.from_numpy(pictures).to(self.device))
        except Exception:  # whatever onnxruntime says, single images work
            return False
        for k in range(min(3, micro)):
            alone = single.run(self._outputs, {self._input: pictures[k : k + 1]})
            answers = [_by_image(torch.from_numpy(array), 1)[0] for array in alone]
            if not all(_near(t[k].cpu(), a) for t, a in zip(together, answers, strict=True)):
                return False
        return True


def _by_image(output: torch.Tensor, images: int) -> torch.Tensor:
    """Older SCRFD exports give the cells of all images in one column: (images * cells, k)."""
    if output.ndim == 3 and output.shape[0] == images:
        return output
    if output.ndim == 2 and output.shape[0] == images:
        return output
    return output.reshape(images, -1, output.shape[-1])


def _near(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.shape != b.shape:
        return False
    return bool((a - b).abs().max() <= _TOLERANCE * b.abs().max().clamp_min(1e-6))


def _for_many(path: Path) -> bytes:
    """The model with a free number of images, and with no word about the shapes that follow.

    Exports declare the output sizes of one picture size, and bound outputs are held to them.
    """
    model = read_graph(path)
    weights = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        if value.name not in weights:
            value.type.tensor_type.shape.dim[0].dim_param = "images"
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    data: bytes = model.SerializeToString()
    return data


def _packages(path: Path) -> tuple[Any, Any]:
    try:
        import onnxruntime
        from insightface import model_zoo
    except ImportError as error:
        raise Unavailable(
            f"{path}: an ONNX model needs insightface and onnxruntime ({_line(error)}); {HOW_TO_GET_ONNX}"
        ) from None
    return onnxruntime, model_zoo


def _options(runtime: Any) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4  # what goes wrong is raised as well
    return options


def _providers(runtime: Any, device: torch.device, name: str) -> list[Any]:
    if device.type == "cpu":
        return ["CPUExecutionProvider"]
    if device.type != "cuda" or "CUDAExecutionProvider" not in runtime.get_available_providers():
        raise Unavailable(
            f"model {name!r}: onnxruntime has no {device.type} here; pip uninstall onnxruntime && "
            "pip install onnxruntime-gpu, or score on the CPU"
        )
    # Full float32 and no timing trials, as everywhere (see precision.py).
    cuda = {"device_id": device.index or 0, "cudnn_conv_algo_search": "DEFAULT", "use_tf32": "0"}
    return [("CUDAExecutionProvider", cuda)]


def _line(error: BaseException) -> str:
    return " ".join(f"{error}".split())[:160] or type(error).__name__
