"""Scores of different models on one scale: 0 at a model's threshold, positive beyond it. Numpy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

# So that a step in distance weighs about what a step in a detector's score does.
DISTANCE_UNIT = 0.1


def detection_margin(score: Float, threshold: float) -> Float:
    """A detector's score over its threshold, float32 of any shape."""
    return np.asarray(np.asarray(score, dtype=np.float32) - np.float32(threshold), dtype=np.float32)


def distance_margin(distance: Float, threshold: float) -> Float:
    """(threshold - distance) / 0.1, float32 of any shape: positive where two faces pass for one person."""
    gap = np.float32(threshold) - np.asarray(distance, dtype=np.float32)
    return np.asarray(gap / np.float32(DISTANCE_UNIT), dtype=np.float32)


def value_over_views(margins: Float) -> Float:
    """float32 (n,) from margins (n, v): half their mean and half their minimum over a genome's views.

    The mean rewards every view that gets better; the minimum keeps one good side from paying for all others.
    """
    margins = np.asarray(margins, dtype=np.float32)
    if margins.ndim != 2 or margins.shape[1] == 0:
        raise ValueError(f"margins: expected shape (n, v) with at least one view, got {margins.shape}")
    mean = margins.mean(axis=1, dtype=np.float64)
    return np.asarray(0.5 * mean + 0.5 * margins.min(axis=1), dtype=np.float32)
