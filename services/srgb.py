"""The curve between linear light and display values: IEC 61966-2-1. Numpy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def srgb_to_linear(value: NDArray[np.floating]) -> NDArray[np.float64]:
    """Decode display values in 0 to 1."""
    value = np.asarray(value, dtype=np.float64)
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(value: NDArray[np.floating]) -> NDArray[np.float64]:
    """Encode linear values in 0 to 1."""
    value = np.asarray(value, dtype=np.float64)
    return np.where(value <= 0.0031308, value * 12.92, 1.055 * np.maximum(value, 0) ** (1 / 2.4) - 0.055)
