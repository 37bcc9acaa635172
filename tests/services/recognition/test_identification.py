"""Searching galleries, against plain loops and known formulas."""

from __future__ import annotations

import numpy as np
import pytest

from services.recognition.statistics.identification import (
    candidates,
    extrapolated,
    false_positives,
    gallery_sizes,
    rank_of,
    spread_of,
)


def test_candidates_are_the_nearest_first():
    scores = np.array([0.5, 0.2, 0.9, 0.2])
    found = candidates(scores, ["a", "b", "c", "d"], 3)
    assert [(c.entry, c.rank) for c in found] == [("b", 1), ("d", 2), ("a", 3)]
    assert [c.entry for c in candidates(scores, ["a", "b", "c", "d"], 2, similarity=True)] == ["c", "a"]
    assert rank_of(scores, 0) == 3
    assert rank_of(scores, 1) == 2  # a tie counts against it
    assert rank_of(scores, 2, similarity=True) == 1


def test_false_positives_against_plain_loops():
    scores = np.random.default_rng(0).random((7, 25))
    for found in false_positives(scores, 0.1, [5, 10, 25, 50]):
        galleries = 25 // found.size
        hits = 0
        for probe in scores:
            for g in range(galleries):
                hits += any(x < 0.1 for x in probe[g * found.size : (g + 1) * found.size])
        assert (found.rate.hits, found.rate.trials) == (hits, 7 * galleries)
    assert [f.size for f in false_positives(scores, 0.1, [5, 50])] == [5]


def test_independent_comparisons_follow_the_extrapolation():
    scores = np.random.default_rng(1).random((400, 500))
    for found in false_positives(scores, 0.01, [10, 100]):
        assert found.rate.low <= extrapolated(0.01, found.size) <= found.rate.high
    assert extrapolated(1e-9, 1000) == pytest.approx(1e-6, rel=1e-3)
    assert extrapolated(0.0, 52_000_000) == 0.0
    assert extrapolated(1e-4, 52_000_000) == 1.0


def test_an_interval_is_over_those_who_are_searched_not_over_the_galleries():
    """Strangers who differ in how easily they are taken for others: 95% intervals hold the rate as often."""
    rng, held = np.random.default_rng(2), 0
    for _ in range(200):
        easily = rng.random((40, 1)) ** 8  # a few of forty meet somebody in most galleries
        scores = (rng.random((40, 50)) > easily * 0.5).astype(float)
        (found,) = false_positives(scores, 0.5, [10])
        truth = float(np.mean(1 - (1 - 0.5 * rng.random(100_000) ** 8) ** 10))
        held += found.rate.low <= truth <= found.rate.high
    assert held >= 0.95 * 200


def test_views_of_one_mask_are_one_piece_of_evidence():
    scores = np.tile(np.random.default_rng(3).random((2, 50)), (20, 1))
    (of_masks,) = false_positives(scores, 0.05, [10], independent=2)
    (of_two,) = false_positives(scores[:2], 0.05, [10])
    assert (of_masks.rate.low, of_masks.rate.high) == (of_two.rate.low, of_two.rate.high)
    assert of_masks.rate.trials == 20 * of_two.rate.trials


def test_sizes_run_to_the_whole_gallery():
    assert gallery_sizes(1000) == [10, 20, 50, 100, 200, 500, 1000]
    assert gallery_sizes(37) == [10, 20, 37]
    assert gallery_sizes(10) == [10]
    assert spread_of(np.full((2, 9), -0.5, np.float32)) == 0.5
