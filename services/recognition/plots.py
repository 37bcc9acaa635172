"""Figures of calibration and verification, drawn without a screen, as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from services.recognition.calibration import Calibration, PairSet

_IMPOSTOR, _GENUINE, _LINE = "#8a8c90", "#c98a1b", "#1b5fc9"


def calibration_plot(calibration: Calibration) -> bytes:
    """Score distributions of every set, with the thresholds that they give and the published one."""
    sets = calibration.sets
    figure, axes = _page(len(sets))
    word = "similarity" if calibration.similarity else "distance"
    for axis, pairs in zip(axes, sets, strict=True):
        _distributions(axis, pairs)
        axis.set_xlabel(word)
    figure.suptitle(f"{calibration.model}: what its {word} says of pairs", x=0.02, ha="left")
    return _png(figure)


def _distributions(axis: Any, pairs: PairSet) -> None:
    histogram = pairs.histogram
    left = histogram.low + histogram.width * np.arange(len(histogram.impostor))
    for counts, color, name in (
        (histogram.impostor, _IMPOSTOR, f"two people: {pairs.impostor_pairs:,} pairs"),
        (histogram.genuine, _GENUINE, f"one person: {pairs.genuine_pairs:,} pairs"),
    ):
        if sum(counts):
            density = np.array(counts) / (sum(counts) * histogram.width)
            axis.bar(
                left, density, histogram.width, align="edge", color=color, alpha=0.6, linewidth=0, label=name
            )
    for threshold in pairs.thresholds:
        axis.axvline(threshold.threshold, color=_LINE, linewidth=1)
        axis.annotate(
            f"FAR {threshold.far:g}",
            (threshold.threshold, 0.98),
            xycoords=("data", "axes fraction"),
            rotation=90,
            ha="right",
            va="top",
            fontsize=7,
            color=_LINE,
        )
    if pairs.published is not None:
        axis.axvline(
            pairs.published.threshold,
            color="black",
            linestyle="--",
            linewidth=1,
            label=f"published {pairs.published.threshold:g}: FAR {pairs.published.far.share:.2%}",
        )
    axis.set_title(pairs.title, loc="left", fontsize=9)
    axis.set_yticks([])
    axis.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _page(rows: int, height: float = 2.2) -> tuple[Figure, Sequence[Any]]:
    figure = Figure(figsize=(9.0, 0.8 + height * rows), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(rows, 1, squeeze=False)[:, 0])


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # No software name and no date: one figure gives one file.
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
