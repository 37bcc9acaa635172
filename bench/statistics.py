"""What many runs can say: the unit is the run, so intervals draw seeds anew, then the views of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Values = NDArray[Any]

_MOST_SIGNS = 20  # a million sign patterns are all looked at


@dataclass(frozen=True)
class Interval:
    """A figure and its interval at 95%."""

    value: float
    low: float
    high: float


def auc(ours: Floats, others: Floats) -> float:
    """How often one of ``ours`` (n,) scores above one of the ``others`` (m,); a tie is half a win.

    Mann and Whitney 1947. :raises ValueError: where a side is empty.
    """
    if not len(ours) or not len(others):
        raise ValueError(f"scores: expected some on either side, got {len(ours)} and {len(others)}")
    ordered = np.sort(others)
    below = np.searchsorted(ordered, ours, "left").sum(dtype=np.float64)
    not_above = np.searchsorted(ordered, ours, "right").sum(dtype=np.float64)
    return float((below + not_above) / 2 / len(ours) / len(others))


def bootstrap(samples: Sequence[Values], statistic: Callable[..., float], draws: int, seed: int) -> Interval:
    """A statistic of one or several samples, and the middle 95% of it on samples drawn anew.

    :param samples: arrays (s, v, ...): what was seen of s units (seeds, noise masks) in v views each. A draw
        takes s units with replacement, and of each unit v of its views.
    :raises ValueError: for a sample without units or views.
    """
    for sample in samples:
        if sample.ndim < 2 or 0 in sample.shape[:2]:
            raise ValueError(f"sample: expected (units, views, ...), at least one each, got {sample.shape}")
    rng = np.random.default_rng(seed)
    found = np.empty(draws)
    for k in range(draws):
        found[k] = statistic(*(_drawn(sample, rng) for sample in samples))
    low, high = np.quantile(found, [0.025, 0.975])
    return Interval(float(statistic(*samples)), float(low), float(high))


def _drawn(sample: Values, rng: np.random.Generator) -> Values:
    units, views = sample.shape[:2]
    chosen = rng.integers(units, size=(units, 1))
    found: Values = sample[chosen, rng.integers(views, size=(units, views))]
    return found


def holm(p: Sequence[float]) -> list[float]:
    """p-values of several tests, adjusted so that one false yes among all of them is as rare as each says.

    Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure".
    """
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, k in enumerate(sorted(range(len(p)), key=lambda k: p[k])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[k]))
        adjusted[k] = highest
    return adjusted


def sign_flip(differences: Sequence[float]) -> float:
    """One-sided p-value of paired differences (n,): how often a sum is as high if each sign were a coin's.

    Fisher's test by all 2^n sign patterns, so that nothing is assumed of the differences' distribution.
    :raises ValueError: for none, or for more than 20.
    """
    values = np.asarray(differences, np.float64)
    if not 1 <= len(values) <= _MOST_SIGNS:
        raise ValueError(f"differences: expected 1 to {_MOST_SIGNS}, got {len(values)}")
    sums = np.zeros(1)
    for value in np.abs(values):
        sums = np.concatenate([sums - value, sums + value])
    slack = 1e-9 * max(1.0, float(np.abs(values).sum()))  # sums of floats that should be equal
    return float((sums >= values.sum() - slack).mean())


def threshold_passing(scores: Floats, share: float) -> float:
    """The lowest of the scores (n,) above which at most ``share`` of them lie.

    :raises ValueError: where so few scores cannot carry the share: one of them would already be more.
    """
    passing = math.floor(share * len(scores) + 1e-9)
    if passing < 1:
        raise ValueError(f"scores: {len(scores)} are too few for a share of {share:g}")
    return float(np.sort(scores)[len(scores) - 1 - passing])


def crossing(at: Sequence[float], shares: Sequence[float], level: float) -> float | None:
    """Where shares, given at rising places, first fall below a level, linear in between; None: nowhere."""
    if shares[0] < level:
        return float(at[0])
    for k in range(1, len(at)):
        if shares[k] < level:
            part = (shares[k - 1] - level) / (shares[k - 1] - shares[k])
            return float(at[k - 1] + part * (at[k] - at[k - 1]))
    return None
