"""Search in a gallery: who comes first, and how often somebody does who should not. Numpy only.

ISO/IEC 19795-1: the false positive identification rate (FPIR) is the share of searches, of people who are not
in the gallery, that return anybody beyond the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.recognition.statistics.rates import Float, Rate, exact_rate, matches

LARGE = 52_000_000
"""Faces that the FBI's Next Generation Identification was planned to hold in 2015 (EFF, 14 April 2014)."""


@dataclass(frozen=True)
class Candidate:
    """One answer to a search: the gallery's entry, its score, and its place, 1 the nearest."""

    entry: str
    score: float
    rank: int


@dataclass(frozen=True)
class FalsePositives:
    """FPIR of galleries of one size. searches: probes times galleries of that size that fit."""

    size: int
    rate: Rate


def candidates(
    scores: Float, entries: Sequence[str], count: int = 5, similarity: bool = False
) -> list[Candidate]:
    """The nearest entries of a gallery to one probe. scores: (n,); ties go to the earlier entry."""
    order = np.argsort(-np.asarray(scores) if similarity else np.asarray(scores), kind="stable")
    return [Candidate(entries[i], float(scores[i]), k + 1) for k, i in enumerate(order[:count].tolist())]


def rank_of(scores: Float, entry: int, similarity: bool = False) -> int:
    """The place of one entry among a gallery's scores (n,), 1 the nearest; ties count against it."""
    own = scores[entry]
    before = scores >= own if similarity else scores <= own
    return int(np.sum(before))


def false_positives(
    scores: Float,
    threshold: float,
    sizes: Sequence[int],
    similarity: bool = False,
    independent: int | None = None,
) -> list[FalsePositives]:
    """FPIR at several gallery sizes, measured.

    scores: (probes, n), nobody of whom is in the gallery. A gallery of size s is cut into n // s galleries
    that share nobody, and each probe is searched in each of them. independent: of how many people or masks
    the probes are, where several are of one: intervals are over these, for what one of them meets in many
    galleries is one piece of evidence, not many.
    """
    beyond = matches(np.asarray(scores), threshold, similarity)
    probes, total = beyond.shape
    found = []
    for size in sizes:
        galleries = total // size
        if galleries:
            hits = beyond[:, : galleries * size].reshape(probes, galleries, size).any(axis=2)
            rate = exact_rate(int(hits.sum()), hits.size, probes if independent is None else independent)
            found.append(FalsePositives(size, rate))
    return found


def gallery_sizes(total: int) -> list[int]:
    """Sizes to measure at: 1, 2, 5 and their decades up to ``total``, and ``total`` itself."""
    sizes = [m * 10**d for d in range(9) for m in (1, 2, 5) if 10 <= m * 10**d < total]
    return [*sizes, total]


def extrapolated(false_match_rate: float, size: int) -> float:
    """What a gallery of ``size`` would give if comparisons were independent: 1 - (1 - FMR)^size.

    An extrapolation, not a measurement: real galleries hold people who look alike.
    """
    return float(-np.expm1(size * np.log1p(-min(false_match_rate, 1.0 - 1e-12))))


def spread_of(genomes: NDArray[np.float32]) -> float:
    """Root mean square of genes (n, d): the spread of random heads as far from the neutral one."""
    return float(np.sqrt(np.mean(np.square(genomes, dtype=np.float64))))
