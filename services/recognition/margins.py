"""Scores of different models on one scale: 0 at a model's threshold, positive beyond it. Numpy only."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from services.recognition.model import AnswerKind

Float = NDArray[np.float32]
Aggregate = Literal["mean-min", "worst-k", "quantile"]


class Margins(Protocol):
    """Margins float32 (n, v) of n masks under v views.

    raw: float32 (n, v), what a model answered. between: float32 (n,), see :func:`consistency_margin`.
    measure, scale: see ModelInfo.
    """

    def __call__(
        self, raw: Float, between: Float | None, threshold: float, measure: AnswerKind, scale: float, /
    ) -> Float: ...


# The scale's end: what a view is worth, for whoever compares faces, in which no detector sees one.
FLOOR = -3.0

# So that a step in distance weighs about what a step in a detector's score does.
DISTANCE_UNIT = 0.1

# Probabilities nearer than this to 0 or 1 are all the same: float32 sigmoids end there.
SURE = 1e-6


def margin(raw: Float, threshold: float, measure: AnswerKind, scale: float) -> Float:
    """How far beyond its threshold a model's answer is, in steps of ``scale``; float32 of raw's shape.

    score, similarity: (raw - threshold) / scale. distance: (threshold - raw) / scale. probability: the
    difference of the log odds / scale, since near 0 and 1 equal steps of probability are not equal steps.
    """
    raw = np.asarray(raw, dtype=np.float32)
    if measure == "distance":
        gap = np.float32(threshold) - raw
    elif measure == "probability":
        gap = _log_odds(raw) - _log_odds(np.float32(threshold))
    else:
        gap = raw - np.float32(threshold)
    return np.asarray(gap / np.float32(scale), dtype=np.float32)


def floor_answer(threshold: float, measure: AnswerKind, scale: float) -> float:
    """The answer of a score, a distance or a similarity whose margin is FLOOR."""
    return threshold - FLOOR * scale if measure == "distance" else threshold + FLOOR * scale


def view_margin(
    raw: Float, between: Float | None, threshold: float, measure: AnswerKind, scale: float
) -> Float:
    """:func:`margin` of each view, float32 (n, v), whatever other views and masks look like."""
    return margin(raw, threshold, measure, scale)


def refusal_margin(
    raw: Float, between: Float | None, threshold: float, measure: AnswerKind, scale: float
) -> Float:
    """How far each view is from showing the machine a face, float32 (n, v): :func:`margin` turned round."""
    return np.asarray(-margin(raw, threshold, measure, scale), dtype=np.float32)


def consistency_margin(
    within: Float,
    between: Float | None,
    threshold: float,
    measure: AnswerKind = "distance",
    scale: float = DISTANCE_UNIT,
) -> Float:
    """Margin of "all views show one person", for each view, in the scale of the model's distance.

    A blob is the same from every side and the same as every other blob. So what counts is the distance to the
    threshold *less* what the mask's own views are further apart than they are from other masks.

    :param within: float32 (n, v), the largest distance from a view to another view of the same mask.
    :param between: float32 (n,), the same statistic against other masks of the batch (median over them);
        nan where there is no other mask.
    :param measure: of the model; where it is a similarity s, distances are 1 - s, and so is the threshold.
    """
    if between is None:
        raise ValueError("between: margins across views need the distances to other masks")
    other = np.where(np.isnan(between), np.inf, between)[:, None]
    excess = np.maximum(within - other, 0.0)
    limit = 1.0 - threshold if measure == "similarity" else threshold
    return margin(within + excess, limit, "distance", scale)


def value_over_views(margins: Float, aggregate: Aggregate = "mean-min", k: int = 1, q: float = 0.25) -> Float:
    """One number a genome, float32 (n,), from its margins (n, v) over its views.

    ``mean-min``: half their mean and half their minimum. The mean rewards every view that gets better; the
    minimum keeps one good side from paying for all others. ``worst-k``: the mean of the k lowest (all of
    them where there are fewer). ``quantile``: the q-quantile, linear between views; 0 is the lowest, 0.5 the
    median.
    """
    margins = np.asarray(margins, dtype=np.float32)
    if margins.ndim != 2 or margins.shape[1] == 0:
        raise ValueError(f"margins: expected shape (n, v) with at least one view, got {margins.shape}")
    if aggregate == "worst-k":
        lowest = np.sort(margins, axis=1)[:, : max(1, k)]
        return np.asarray(lowest.mean(axis=1, dtype=np.float64), dtype=np.float32)
    if aggregate == "quantile":
        return np.asarray(np.quantile(margins.astype(np.float64), q, axis=1), dtype=np.float32)
    mean = margins.mean(axis=1, dtype=np.float64)
    return np.asarray(0.5 * mean + 0.5 * margins.min(axis=1), dtype=np.float32)


def _log_odds(probability: Float | np.float32) -> Float:
    bounded = np.clip(np.asarray(probability, np.float64), SURE, 1.0 - SURE)
    return np.asarray(np.log(bounded / (1.0 - bounded)), dtype=np.float32)
