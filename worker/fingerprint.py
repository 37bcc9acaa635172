"""What makes two scorers give the same bits: versions, device, our own arithmetic."""

from __future__ import annotations

import numpy as np
import torch

# Raised with every change of the bytes that decoding, rendering or alignment give: runs begun before it stop.
ARITHMETIC = "2"


def fingerprint(device: str) -> dict[str, str]:
    """The parts of a scorer's environment that its results may depend on, as text by name."""
    cuda = device.startswith("cuda")
    return {
        "torch": torch.__version__.split("+")[0],
        "numpy": np.__version__,
        "device": "cuda" if cuda else device,
        "hardware": torch.cuda.get_device_name(device) if cuda else torch.backends.cpu.get_cpu_capability(),
        "arithmetic": ARITHMETIC,
    }


def pick_device() -> str:
    """``cuda`` where a GPU is there, else ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"
