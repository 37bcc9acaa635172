"""What people's answers say: hits, false alarms and d' with intervals, and whether they point at one place.

Signal detection: an elite is the signal, every other kind of picture a control. Intervals are bootstraps that
draw raters and masks anew, for both are samples; all pictures of a mask stay together. Of fewer masks than
LEAST_MASKS that interval is too narrow (with two, one in five misses a d' of 0), so what is said of them is
said of these alone. Numpy and scipy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # its parts load when they are first used: the command line starts without them
from numpy.typing import NDArray

from services.errors import BadInput

Float = NDArray[np.float64]

LEAST_RATERS = 20  # before so many have answered, nothing is claimed
LEAST_MASKS = 10  # of a kind: a bootstrap over fewer is too sure of others like them
DRAWS = 4000
SEED = 19_950_101


@dataclass(frozen=True)
class Interval:
    """A value with its 95% interval; nan where there is none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Counts:
    """Answers to one kind of picture. hits: float64 (raters, masks), how often a face was said; shown: of how
    many of the mask's pictures.
    """

    hits: Float
    shown: Float

    def drawn(self, masks: Float) -> tuple[Float, Float]:
        """Each rater's hits and pictures (b, raters), for weights of masks (b, masks)."""
        return masks @ self.hits.T, masks @ self.shown.T


@dataclass(frozen=True)
class Sensitivity:
    """How well raters tell a signal from a control.

    d_prime: the raters' mean, 0 where they cannot tell. of_these: the same, its interval over raters alone,
    of the very masks that were shown. bias: the criterion c, positive where they rather say no. each: d' of
    every rater.
    """

    d_prime: Interval
    of_these: Interval
    bias: Interval
    each: tuple[float, ...]


@dataclass(frozen=True)
class Places:
    """How far raters put a picture's two eyes from where the others put them, in shares of its width.

    same: in the same picture. other: from where the others put them in pictures of other masks; where the two
    are alike, eyes were put where eyes usually are. pictures: in which two raters or more marked both.
    """

    same: Interval
    other: Interval
    pictures: int


def counts(said: Float, masks: Sequence[str]) -> Counts:
    """Count answers (raters, pictures), 1 for a face, 0 for none, nan where there is no answer.

    :param masks: whose each picture is. :raises BadInput: without pictures.
    """
    names = list(dict.fromkeys(masks))
    if not names or said.shape[1] != len(masks):
        raise BadInput(f"answers: expected one column for each of {len(masks)} pictures, got {said.shape}")
    of = np.array([[mask == name for name in names] for mask in masks], np.float64)
    return Counts(np.nan_to_num(said) @ of, np.isfinite(said).astype(np.float64) @ of)


def share(kind: Counts, seed: int = SEED) -> Interval:
    """The mean over raters of the share of pictures that they call a face."""
    draw = _Draw(seed, kind)

    def mean(raters: Float, masks: Sequence[Float]) -> Float:
        hits, shown = kind.drawn(masks[0])
        with np.errstate(invalid="ignore"):
            return _mean(hits / shown, raters)

    return draw.interval(mean)


def corrected(hits: Float, shown: Float) -> Float:
    """Rates that are never 0 or 1: half a hit and half a miss are added (log-linear; Hautus 1995). nan where
    nothing was shown.
    """
    return np.where(shown > 0, (hits + 0.5) / (shown + 1.0), np.nan)


def sensitivity(signal: Counts, control: Counts, seed: int = SEED) -> Sensitivity:
    """d' = z(hit rate) - z(false alarm rate) and c = -(z(hit rate) + z(false alarm rate)) / 2, from each
    rater's corrected rates (Macmillan and Creelman 2005, equations 1.5 and 2.1).
    """
    draw = _Draw(seed, signal, control)

    def z(masks: Sequence[Float]) -> tuple[Float, Float]:
        hit, alarm = (
            scipy.special.ndtri(corrected(*kind.drawn(own)))
            for kind, own in zip((signal, control), masks, strict=True)
        )
        return hit, alarm

    def d_prime(raters: Float, masks: Sequence[Float]) -> Float:
        hit, alarm = z(masks)
        return _mean(hit - alarm, raters)

    def bias(raters: Float, masks: Sequence[Float]) -> Float:
        hit, alarm = z(masks)
        return _mean(-(hit + alarm) / 2, raters)

    hit, alarm = z(draw.whole[1])
    each = tuple((hit - alarm)[0].tolist())
    return Sensitivity(draw.interval(d_prime), draw.over_raters(d_prime), draw.interval(bias), each)


def places(eyes: Float, masks: Sequence[str], seed: int = SEED) -> Places:
    """Whether raters put eyes in one place: bootstrapped over masks.

    :param eyes: (raters, pictures, 2, 2), each picture's two eyes from left to right as x and y in shares of
        its width; nan where a rater marked none, or one.
    """
    there: NDArray[np.bool_] = np.asarray(np.isfinite(eyes).all(axis=(2, 3)))
    used = [p for p in range(eyes.shape[1]) if there[:, p].sum() >= 2]
    same, other, whose = [], [], []
    for p in used:
        near, far = [], []
        for r in np.flatnonzero(there[:, p]):
            near.append(_apart(eyes[r, p], _without(eyes, there, int(r), p)))
            far += [
                _apart(eyes[r, p], _without(eyes, there, int(r), q))
                for q in used
                if masks[q] != masks[p] and there[:, q].sum() > there[r, q]
            ]
        same.append(float(np.mean(near)))
        other.append(float(np.mean(far)) if far else np.nan)
        whose.append(masks[p])
    if not used:
        none = Interval(np.nan, np.nan, np.nan)
        return Places(none, none, 0)
    return Places(_over_masks(same, whose, seed), _over_masks(other, whose, seed), len(used))


def _without(eyes: Float, there: NDArray[np.bool_], rater: int, picture: int) -> Float:
    """Where all others put the eyes (2, 2) of a picture."""
    others = there[:, picture].copy()
    others[rater] = False
    mean: Float = eyes[others, picture].mean(axis=0)
    return mean


def _apart(one: Float, other: Float) -> float:
    return float(np.linalg.norm(one - other, axis=1).mean())


def _over_masks(values: Sequence[float], masks: Sequence[str], seed: int) -> Interval:
    """The mean of pictures' values, drawn by mask."""
    names = list(dict.fromkeys(masks))
    of = np.array([[mask == name for mask in masks] for name in names], np.float64)
    known = np.isfinite(values)
    total, count = of @ np.where(known, values, 0.0), of @ known.astype(np.float64)
    weights = _weights(np.random.default_rng(seed), len(names))
    with np.errstate(invalid="ignore"):
        drawn = (weights @ total) / (weights @ count)
        value = total.sum() / count.sum()
    low, high = _quantiles(drawn)
    return Interval(float(value), low, high)


class _Draw:
    """Weights of raters and of each kind's masks, as a bootstrap draws them, the whole sample first."""

    def __init__(self, seed: int, *kinds: Counts) -> None:
        rng = np.random.default_rng(seed)
        raters = kinds[0].hits.shape[0]
        self.whole = np.ones((1, raters)), [np.ones((1, kind.hits.shape[1])) for kind in kinds]
        self.weights = _weights(rng, raters), [_weights(rng, kind.hits.shape[1]) for kind in kinds]

    def interval(self, statistic: Any) -> Interval:
        """The statistic of the sample, and its percentiles."""
        return self._interval(statistic, *self.weights)

    def over_raters(self, statistic: Any) -> Interval:
        """The same with the masks as they are."""
        return self._interval(statistic, self.weights[0], self.whole[1])

    def _interval(self, statistic: Any, raters: Float, masks: Sequence[Float]) -> Interval:
        low, high = _quantiles(statistic(raters, masks))
        return Interval(float(statistic(*self.whole)[0]), low, high)


def _weights(rng: np.random.Generator, count: int) -> Float:
    return rng.multinomial(count, np.full(count, 1.0 / count), DRAWS).astype(np.float64)


def _mean(values: Float, weights: Float) -> Float:
    """Means over raters (b,) of values (b, raters), without those that answered nothing."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        found: Float = (np.where(known, values, 0.0) * weights).sum(axis=1) / (known * weights).sum(axis=1)
    return found


def _quantiles(drawn: Float) -> tuple[float, float]:
    known = drawn[np.isfinite(drawn)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)
