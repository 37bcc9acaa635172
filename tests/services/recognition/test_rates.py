"""Rates and thresholds against what is known of simple distributions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from services.errors import BadInput
from services.recognition.statistics import rates


def test_three_over_f_pairs_are_needed_and_fewer_are_refused_with_the_number() -> None:
    assert [rates.needed_pairs(f) for f in (1e-2, 1e-3, 1e-4)] == [300, 3000, 30_000]
    scores = np.random.default_rng(0).random(299)
    with pytest.raises(BadInput, match=r"299 .* at least 300"):
        rates.threshold_at(scores, 1e-2)
    rates.threshold_at(np.append(scores, 0.5), 1e-2)
    for far in (0.0, 1.0, -1.0):
        with pytest.raises(BadInput, match="FAR"):
            rates.needed_pairs(far)


def test_no_error_in_n_pairs_bounds_the_rate_by_three_over_n() -> None:
    for count in (300, 3000):
        # One-sided, so the 95% bound; exactly 1 - 0.05 ** (1 / n).
        assert 1 - 0.05 ** (1 / count) == pytest.approx(3 / count, rel=0.01)
        rate = rates.exact_rate(0, count)
        assert (rate.share, rate.low) == (0.0, 0.0)
        assert rate.high == pytest.approx(1 - 0.025 ** (1 / count))


def test_the_exact_interval_is_clopper_and_pearsons() -> None:
    for hits, trials in ((0, 7), (3, 10), (10, 10), (12, 400)):
        ours = rates.exact_rate(hits, trials)
        theirs = stats.binomtest(hits, trials).proportion_ci(method="exact")
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_a_difference_has_newcombes_interval() -> None:
    # Newcombe 1998, table II, cases (a), (d) and (h), method 10.
    for one, other, low, high in (
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ):
        apart, *ends = rates.more(rates.wilson_rate(*one), rates.wilson_rate(*other))
        assert apart == pytest.approx(one[0] / one[1] - other[0] / other[1])
        assert ends == pytest.approx([low, high], abs=2e-4)


def test_wilson_is_scipys() -> None:
    for hits, trials in ((0, 7), (3, 10), (10, 10), (196, 200)):
        ours = rates.wilson_rate(hits, trials)
        theirs = stats.binomtest(hits, trials).proportion_ci(method="wilson")
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-4)
        assert ours.low <= ours.share <= ours.high


def test_the_threshold_lets_through_no_more_than_the_rate_asked_for() -> None:
    scores = np.arange(1000.0)
    found = rates.threshold_at(scores, 0.01, genuine=np.array([3.0, 9.0, 10.0, 500.0]))
    assert found.threshold == 10.0
    assert (found.seen.hits, found.seen.share) == (10, 0.01)
    assert found.frr is not None
    assert found.frr.share == 0.5  # 10 is not beyond 10
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.threshold < found.high
    # At `assured` the upper end of the one-sided exact interval is at most the rate; one error more is not.
    errors = int((scores < found.assured).sum())
    assert stats.beta.ppf(0.95, errors + 1, 1000 - errors) <= 0.01
    assert stats.beta.ppf(0.95, errors + 2, 1000 - errors - 1) > 0.01


def test_a_similarity_is_a_distance_with_its_sign_turned() -> None:
    rng = np.random.default_rng(1)
    impostor, genuine = rng.normal(size=2000), rng.normal(-3, size=300)
    one = rates.threshold_at(impostor, 0.01, genuine)
    other = rates.threshold_at(-impostor, 0.01, -genuine, similarity=True)
    assert (one.threshold, one.assured) == (-other.threshold, -other.assured)
    assert one.low is not None
    assert other.low == -one.low
    assert one.frr == other.frr
    assert rates.matches(np.array([0.2, 0.4, np.nan]), 0.3, similarity=True).tolist() == [False, True, False]
    assert rates.matches(np.array([0.2, 0.4, np.nan]), 0.3).tolist() == [True, False, False]


def test_intervals_cover_the_true_quantile_as_often_as_they_say() -> None:
    rng = np.random.default_rng(2)
    truth = stats.norm.ppf(0.02)
    covered = assured = 0
    for _ in range(400):
        found = rates.threshold_at(rng.normal(size=1500), 0.02)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= truth <= found.high
        assured += found.assured <= truth
    # 95% of 400 is 380 with a standard deviation of 4.4.
    assert covered >= 362
    assert assured >= 362


def test_the_equal_error_of_two_normals() -> None:
    rng = np.random.default_rng(3)
    error, threshold = rates.equal_error(rng.normal(1, 1, 20_000), rng.normal(-1, 1, 20_000))
    assert error == pytest.approx(stats.norm.cdf(-1), abs=0.01)
    assert threshold == pytest.approx(0, abs=0.1)


@given(st.lists(st.integers(0, 6), min_size=2, max_size=40), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_nobody_is_in_two_pairs(people: list[int], seed: int) -> None:
    impostor = rates.impostor_pairs(people, seed)
    used = [people[k] for k in impostor.ravel()]
    assert len(used) == len(set(used)) == len(set(people)) // 2 * 2
    genuine = rates.genuine_pairs(people, seed)
    assert all(people[a] == people[b] and a != b for a, b in genuine)
    owners = [people[a] for a, _ in genuine]
    assert sorted(owners) == sorted(p for p in set(people) if people.count(p) > 1)


def test_scores_that_are_no_numbers_are_refused() -> None:
    for bad in (np.array([]), np.array([0.1, np.nan]), np.zeros((2, 2))):
        with pytest.raises(BadInput, match="scores"):
            rates.false_accepts(bad, 0.6)
    with pytest.raises(BadInput, match="trial"):
        rates.wilson_rate(0, 0)
