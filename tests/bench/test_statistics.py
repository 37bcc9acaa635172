"""The statistics of the proof, against values known otherwise."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats

from bench.statistics import auc, bootstrap, crossing, holm, sign_flip, threshold_passing


def test_auc_counts_wins_and_half_of_the_ties() -> None:
    assert auc(np.array([3.0, 2.0]), np.array([1.0, 2.0])) == pytest.approx((1 + 1 + 1 + 0.5) / 4)
    assert auc(np.array([1.0]), np.array([2.0, 3.0])) == 0.0
    rng = np.random.default_rng(1)
    ours, others = rng.normal(0.5, 1, 60).round(1), rng.normal(0, 1, 80).round(1)
    u = scipy.stats.mannwhitneyu(ours, others).statistic
    assert auc(ours, others) == pytest.approx(u / 60 / 80)


def test_auc_needs_both_sides() -> None:
    with pytest.raises(ValueError, match="expected some on either side"):
        auc(np.array([]), np.array([1.0]))


def test_holm_is_the_paper_s_example() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1, and never below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.4, 0.6]) == pytest.approx([0.8, 0.8])
    assert holm([0.9]) == [0.9]
    assert holm([]) == []


def test_a_sign_flip_looks_at_every_pattern() -> None:
    assert sign_flip([1.0] * 20) == pytest.approx(2.0**-20)
    assert sign_flip([0.0, 0.0]) == 1.0
    assert sign_flip([-1.0, -2.0]) == 1.0
    differences = [0.3, -0.1, 0.25, 0.05, 0.1]
    sums = [np.dot(signs, np.abs(differences)) for signs in itertools.product((-1, 1), repeat=5)]
    assert sign_flip(differences) == np.mean(np.array(sums) >= sum(differences) - 1e-12)
    with pytest.raises(ValueError, match="expected 1 to 20"):
        sign_flip([1.0] * 21)


def test_the_threshold_lets_so_many_pass_and_no_more() -> None:
    scores = np.random.default_rng(0).permutation(1000).astype(np.float64)
    threshold = threshold_passing(scores, 0.01)
    assert threshold == 989.0
    assert (scores > threshold).sum() == 10
    ties = np.array([0.0] * 97 + [1.0] * 3)
    assert (ties > threshold_passing(ties, 0.01)).sum() <= 1
    with pytest.raises(ValueError, match="too few"):
        threshold_passing(np.zeros(99), 0.01)


def test_intervals_of_one_level_are_those_of_the_mean() -> None:
    """With one view a unit the spread is that of units: s / sqrt(n)."""
    units = np.random.default_rng(3).normal(5.0, 2.0, (100, 1))
    found = bootstrap([units], lambda drawn: float(drawn.mean()), 4000, seed=0)
    error = units.std() / 10
    assert found.value == pytest.approx(units.mean())
    assert found.low == pytest.approx(found.value - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(found.value + 1.96 * error, abs=0.15 * error)


def test_views_of_one_seed_are_no_seeds() -> None:
    """Twenty seeds, half of which are always seen: 4,000 views do not make the interval that of 4,000."""
    seen = np.repeat(np.arange(20) % 2 == 0, 200).reshape(20, 200)
    found = bootstrap([seen], lambda drawn: float(drawn.mean()), 4000, seed=0)
    exact = scipy.stats.binom.ppf([0.025, 0.975], 20, 0.5) / 20
    assert [found.low, found.high] == pytest.approx(exact.tolist(), abs=0.026)


def test_views_of_a_seed_are_drawn_too() -> None:
    seen = np.tile(np.arange(40) % 2 == 0, (3, 1))  # seeds alike: what is left is chance among views
    found = bootstrap([seen], lambda drawn: float(drawn.mean()), 4000, seed=0)
    half = 1.96 * 0.5 / np.sqrt(120)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)


def test_a_statistic_of_two_samples_draws_both() -> None:
    rng = np.random.default_rng(5)
    ours, others = rng.normal(1, 1, (10, 30)), rng.normal(0, 1, (50, 4))
    found = bootstrap([ours, others], lambda a, b: auc(a.ravel(), b.ravel()), 300, seed=0)
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(scipy.stats.norm.cdf(1 / np.sqrt(2)), abs=0.05)
    assert found == bootstrap([ours, others], lambda a, b: auc(a.ravel(), b.ravel()), 300, seed=0)
    with pytest.raises(ValueError, match="at least one each"):
        bootstrap([np.zeros((0, 5))], lambda drawn: 0.0, 10, seed=0)


def test_where_shares_fall_is_read_between_two_points() -> None:
    assert crossing([0, 10, 20], [1.0, 0.8, 0.3], 0.5) == pytest.approx(16.0)
    assert crossing([0, 10], [1.0, 0.5], 0.5) is None
    assert crossing([0, 10], [0.2, 0.1], 0.5) == 0.0
