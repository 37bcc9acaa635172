"""What makes two scorers give the same bits: versions, device, threads, micro-batch size."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from worker.scorer import MICRO_IMAGES


def fingerprint(device: str) -> dict[str, str]:
    """The parts of a scorer's environment that its results may depend on, as text by name."""
    cuda = device.startswith("cuda")
    return {
        "torch": torch.__version__.split("+")[0],
        "numpy": np.__version__,
        "device": "cuda" if cuda else device,
        "hardware": torch.cuda.get_device_name(device) if cuda else torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
        "micro_images": str(MICRO_IMAGES),
    }


def fingerprint_differences(wanted: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Lines ``part: run has x, this scorer has y``; empty where both agree."""
    return [
        f"{key}: the run has {wanted.get(key)}, this scorer has {found.get(key)}"
        for key in sorted({*wanted, *found})
        if wanted.get(key) != found.get(key)
    ]


def pick_device() -> str:
    """``cuda`` where a GPU is there, else ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"
