"""What makes two scorers give the same bits: versions, device, our own arithmetic."""

from __future__ import annotations

import numpy as np
import torch

from services.shape.decode import block_rows
from services.wire.pin import OF_CUDA
from worker.passes import SHAPES

# Raised with every change of the bytes that decoding, rendering or alignment give: runs begun before it stop.
ARITHMETIC = "2"


def fingerprint(device: str) -> dict[str, str]:
    """The parts of a scorer's environment that its results may depend on, as text by name."""
    cuda = device.startswith("cuda")
    found = {
        "torch": torch.__version__.split("+")[0],
        "numpy": np.__version__,
        "device": "cuda" if cuda else device,
        "hardware": torch.cuda.get_device_name(device) if cuda else torch.backends.cpu.get_cpu_capability(),
        "arithmetic": ARITHMETIC,
        "passes": passes(cuda, block_rows(device)),
    }
    if cuda:
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        values = torch.version.cuda, cudnn, torch.get_float32_matmul_precision()
        found |= dict(zip(OF_CUDA, map(str, values), strict=True))
    return found


def passes(cuda: bool, rows: int) -> str:
    """In which shapes masks are decoded and seen; every device checks that they give the same bits."""
    return f"{rows} rows" + (f", {SHAPES[0]} to {SHAPES[-1]} pictures" if cuda else "")


def pick_device() -> str:
    """``cuda`` where a GPU is there, else ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"
