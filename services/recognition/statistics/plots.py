"""Figures of calibration and verification, drawn without a screen, as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from services.recognition.statistics.calibration import Calibration, PairSet

# Subject, machine, side and rate.
_Bar = tuple[str, str, str, Mapping[str, float] | None]

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


def verification_plot(found: Mapping[str, Any]) -> bytes:
    """Detection rates of every subject, and match rates at each threshold, with intervals; "no face" where
    no view had one to compare.
    """
    rows = found["rows"]
    charts: list[tuple[str, list[_Bar]]] = []
    detected = [(r["subject"], r["machine"], r["side"], r["rate"]) for r in rows if r["what"] == "detect"]
    charts.append(("share of views with a face", detected))
    matched = [r for r in rows if r["what"] == "match"]
    for name in dict.fromkeys(m["name"] for r in matched for m in r["matches"]):
        bars = [
            (r["subject"], r["machine"], r["side"], m["rate"] if r.get("compared", 1) else None)
            for r in matched
            for m in r["matches"]
            if m["name"] == name
        ]
        charts.append((f"simulated match rate, {name}", bars))
    subjects = list(dict.fromkeys(r["subject"] for r in rows))
    figure, axes = _page(len(charts), 0.6 + 0.32 * len(subjects))
    for axis, (title, bars) in zip(axes, charts, strict=True):
        _bars(axis, title, subjects, bars)
    return _png(figure)


def _bars(axis: Any, title: str, subjects: Sequence[str], bars: Sequence[_Bar]) -> None:
    machines = list(dict.fromkeys((machine, side) for _, machine, side, _ in bars))
    height = 0.8 / max(len(machines), 1)
    shades = {"fitted": "#c98a1b", "audit": "#8a8c90", "critic": "#1b5fc9"}
    for m, (machine, side) in enumerate(machines):
        aside = (m - (len(machines) - 1) / 2) * height
        for s, name, _, rate in bars:
            if name == machine and rate is None:
                axis.text(0.01, subjects.index(s) + aside, "no face", fontsize=5, va="center")
        own = [(subjects.index(s), rate) for s, name, _, rate in bars if name == machine and rate is not None]
        at = [k + aside for k, _ in own]
        shares = [rate["share"] for _, rate in own]
        errors = [[r["share"] - r["low"] for _, r in own], [r["high"] - r["share"] for _, r in own]]
        label = machine if machine == side else f"{machine} ({side})"
        alpha = 1.0 - 0.5 * m / max(len(machines), 1)
        axis.barh(at, shares, height * 0.9, color=shades[side], alpha=alpha, label=label)
        axis.errorbar(shares, at, xerr=errors, fmt="none", ecolor="black", elinewidth=0.7, capsize=1.5)
    axis.set_yticks(range(len(subjects)), subjects, fontsize=7)
    axis.set_xlim(0, 1)
    axis.invert_yaxis()
    axis.set_title(title, loc="left", fontsize=9)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def identification_plot(found: Mapping[str, Any]) -> bytes:
    """False positive identification rate against the gallery's size, measured."""
    figure, (axis,) = _page(1, 3.2)
    for rate in found["rates"]:
        for who, style in (("strangers", "-"), ("masks", "--")):
            points = [(p["size"], p["rate"]) for p in rate[who]]
            if points:
                sizes, shares = [s for s, _ in points], [r["share"] for _, r in points]
                label = f"{who}, threshold of FAR {rate['far']:g}"
                axis.plot(sizes, shares, style, marker="o", markersize=3, label=label)
    axis.set_xscale("log")
    axis.set_ylim(-0.02, 1.02)
    axis.set_xlabel("people in the gallery")
    axis.set_ylabel("searches that return somebody")
    axis.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    axis.set_title(
        f"False positive identification, {found['enrolled']} people enrolled", loc="left", fontsize=9
    )
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
