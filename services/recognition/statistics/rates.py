"""What pairs of faces can say of a threshold: error rates, intervals, and when there are too few pairs.

An *impostor* pair shows two people, a *genuine* pair one. The false accept rate (FAR) is the share of
impostor pairs that pass for one person, the false reject rate (FRR) the share of genuine pairs that do not.
All of it holds for *independent* pairs only: each person in one pair. Numpy and scipy only.

Scores are distances, where less is more alike; for similarities (cosine) give ``similarity=True``.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # its parts load when they are first used: the command line starts without them
from numpy.typing import NDArray

from services.errors import BadInput

Float = NDArray[np.floating[Any]]

CONFIDENCE = 0.95
# Hanley and Lippman-Hand, "If nothing goes wrong, is everything all right?", JAMA 249 (1983): with no error
# in n trials the rate is below 3/n at 95% confidence. ISO/IEC 19795-1 asks for as many comparisons.
RULE_OF_THREE = 3.0


@dataclass(frozen=True)
class Rate:
    """A share of ``trials`` with its interval at 95% confidence."""

    hits: int
    trials: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Threshold:
    """The threshold at which a FAR is reached.

    threshold: so that the share of impostor pairs beyond it is at most ``far``. low, high: the interval of
    the population's quantile; None where it reaches past the nearest pair. assured: where the FAR is below
    ``far`` at 95% confidence, not only in this sample. seen: the FAR of this sample at ``threshold``.
    frr: the share of genuine pairs that ``threshold`` turns away, None without genuine pairs.
    """

    far: float
    threshold: float
    low: float | None
    high: float | None
    assured: float
    seen: Rate
    frr: Rate | None


def wilson(share: float, count: int, z: float = 1.96) -> tuple[float, float]:
    """Score interval of a share of ``count`` trials (Wilson 1927)."""
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def wilson_rate(hits: int, trials: int) -> Rate:
    """A share with Wilson's interval: for shares of views, which are neither rare nor exact.

    :raises BadInput: without trials.
    """
    _check_trials(hits, trials)
    share = hits / trials
    low, high = wilson(share, trials)
    # In floating point the interval may miss its own end by a rounding.
    return Rate(hits, trials, share, min(low, share), max(high, share))


def more(one: Rate, other: Rate) -> tuple[float, float, float]:
    """By how much one share is larger than another, and its interval at 95% confidence.

    Newcombe's hybrid of two score intervals ("Interval estimation for the difference between independent
    proportions", 1998, method 10). Of two masks under the same views, which like or dislike both, it is
    rather too wide.
    """
    apart = one.share - other.share
    below = math.hypot(one.share - one.low, other.high - other.share)
    above = math.hypot(one.high - one.share, other.share - other.low)
    return apart, max(-1.0, apart - below), min(1.0, apart + above)


def exact_rate(hits: int, trials: int, independent: int | None = None) -> Rate:
    """A share with the exact interval (Clopper and Pearson 1934): for error rates, which are small.

    :param independent: how many of the trials know nothing of each other, where not all do: the interval is
        that of the same share of so many. It is then too wide rather than too narrow.
    :raises BadInput: without trials.
    """
    _check_trials(hits, trials)
    tail, share = (1.0 - CONFIDENCE) / 2, hits / trials
    n = trials if independent is None else independent
    k = hits if independent is None else share * independent
    low = 0.0 if hits == 0 else float(scipy.stats.beta.ppf(tail, k, n - k + 1))
    high = 1.0 if hits == trials else float(scipy.stats.beta.ppf(1.0 - tail, k + 1, n - k))
    return Rate(hits, trials, share, low, high)


def needed_pairs(far: float) -> int:
    """How many independent impostor pairs can carry a FAR, by the rule of three."""
    if not 0.0 < far < 1.0:
        raise BadInput(f"FAR {far:g}: expected a share between 0 and 1, such as 0.001")
    return math.ceil(RULE_OF_THREE / far - 1e-9)


def threshold_at(
    impostor: Float, far: float, genuine: Float | None = None, similarity: bool = False
) -> Threshold:
    """The threshold at a FAR, from independent pairs.

    impostor: (n,) scores. genuine: (m,) scores, or None. The interval is that of a quantile by order
    statistics, which asks nothing of the distribution (David and Nagaraja, *Order Statistics*, 3rd ed. 2003,
    section 7.1): the ranks are those that a binomial count with probability ``far`` stays between.

    :raises BadInput: where there are fewer than ``needed_pairs(far)`` pairs, saying how many are needed, or a
        score is not finite.
    """
    ordered = np.sort(_checked(impostor, similarity))
    count = len(ordered)
    if count < needed_pairs(far):
        raise BadInput(
            f"{count} independent impostor pairs cannot carry a FAR of {far:g}: at least "
            f"{needed_pairs(far)} are needed; give more --pairs (or more photos)"
        )
    tail = (1.0 - CONFIDENCE) / 2
    passing = math.floor(far * count + 1e-9)
    first, last = (int(scipy.stats.binom.ppf(p, count, far)) for p in (tail, 1.0 - tail))
    # Counted from 1, the quantile lies between the order statistics of ranks `first` and `last + 1`.
    edge = _sign(similarity)
    cut = float(ordered[min(passing, count - 1)])
    return Threshold(
        far=far,
        threshold=edge * cut,
        low=edge * float(ordered[first - 1]) if first >= 1 else None,
        high=edge * float(ordered[last]) if last < count else None,
        assured=edge * float(ordered[_assured_errors(count, far)]),
        seen=exact_rate(int((ordered < cut).sum()), count),
        frr=None if genuine is None or not len(genuine) else false_rejects(genuine, edge * cut, similarity),
    )


def false_accepts(impostor: Float, threshold: float, similarity: bool = False) -> Rate:
    """The share of impostor pairs (n,) beyond a threshold, with its exact interval."""
    scores = _checked(impostor, similarity)
    return exact_rate(int((scores < _sign(similarity) * threshold).sum()), len(scores))


def false_rejects(genuine: Float, threshold: float, similarity: bool = False) -> Rate:
    """The share of genuine pairs (m,) not beyond a threshold, with its exact interval."""
    scores = _checked(genuine, similarity)
    return exact_rate(int((scores >= _sign(similarity) * threshold).sum()), len(scores))


def equal_error(impostor: Float, genuine: Float, similarity: bool = False) -> tuple[float, float]:
    """(rate, threshold) at which FAR and FRR are nearest to each other."""
    impostors, own = (np.sort(_checked(scores, similarity)) for scores in (impostor, genuine))
    cuts = np.unique(np.concatenate([impostors, own]))
    far = np.searchsorted(impostors, cuts, "left") / len(impostors)
    frr = 1.0 - np.searchsorted(own, cuts, "left") / len(own)
    best = int(np.argmin(np.abs(far - frr)))
    return float((far[best] + frr[best]) / 2), _sign(similarity) * float(cuts[best])


def matches(scores: Float, threshold: float, similarity: bool = False) -> NDArray[np.bool_]:
    """Which scores pass for one person: strictly beyond the threshold. Scores that are nan never do."""
    with np.errstate(invalid="ignore"):
        return np.asarray(scores > threshold if similarity else scores < threshold)


def impostor_pairs(people: Sequence[Hashable], seed: int) -> NDArray[np.int64]:
    """Pairs (k, 2) of indices into ``people``: two people each, each person in one pair only.

    Which photograph stands for a person, and who meets whom, is drawn from the seed.
    """
    rng = np.random.default_rng(seed)
    by_person: dict[Hashable, list[int]] = {}
    for index, person in enumerate(people):
        by_person.setdefault(person, []).append(index)
    chosen = np.array([photos[int(rng.integers(len(photos)))] for photos in by_person.values()], np.int64)
    chosen = rng.permutation(chosen)
    return chosen[: len(chosen) // 2 * 2].reshape(-1, 2)


def genuine_pairs(people: Sequence[Hashable], seed: int) -> NDArray[np.int64]:
    """Pairs (k, 2) of indices into ``people``: two pictures of a person, one pair a person."""
    rng = np.random.default_rng(seed)
    by_person: dict[Hashable, list[int]] = {}
    for index, person in enumerate(people):
        by_person.setdefault(person, []).append(index)
    pairs = [rng.permutation(photos)[:2] for photos in by_person.values() if len(photos) > 1]
    return np.array(pairs, np.int64).reshape(-1, 2)


def _assured_errors(count: int, far: float) -> int:
    """The most errors in ``count`` pairs at which the FAR is below ``far`` at 95% confidence, one-sided."""
    errors = np.arange(int(far * count) + 1)
    upper = scipy.stats.beta.ppf(CONFIDENCE, errors + 1, count - errors)
    # 3/f is the exact 2.996/f rounded up, so zero errors always do.
    return max(0, int(np.count_nonzero(np.asarray(upper) <= far)) - 1)


def _sign(similarity: bool) -> float:
    return -1.0 if similarity else 1.0


def _checked(scores: Float, similarity: bool) -> NDArray[np.float64]:
    values = np.asarray(scores, np.float64)
    if values.ndim != 1 or not len(values):
        raise BadInput(f"scores of pairs: expected shape (n,) with n at least 1, got {values.shape}")
    if not np.isfinite(values).all():
        raise BadInput("scores of pairs: expected finite numbers")
    return values * _sign(similarity)


def _check_trials(hits: int, trials: int) -> None:
    if trials < 1 or not 0 <= hits <= trials:
        raise BadInput(f"a share needs at least one trial; got {hits} of {trials}")
