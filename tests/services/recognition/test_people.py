"""d' of raters, its interval, and whether they point at one place."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from services.errors import BadInput
from services.recognition.statistics.people import Counts, corrected, counts, places, sensitivity, share


def raters(rng, count, masks, pictures, hit):
    """Simulated raters, who say face with a probability: only tests may use such."""
    return (rng.random((count, masks * pictures)) < hit).astype(float), [
        f"m{k // pictures}" for k in range(masks * pictures)
    ]


def test_d_prime_is_what_the_textbook_says():
    """20 of 25 hits and 5 of 25 false alarms, corrected: 20.5 / 26 and 5.5 / 26."""
    signal = Counts(np.array([[20.0]]), np.array([[25.0]]))
    control = Counts(np.array([[5.0]]), np.array([[25.0]]))
    found = sensitivity(signal, control)
    assert found.d_prime.value == pytest.approx(norm.ppf(20.5 / 26) - norm.ppf(5.5 / 26))
    assert found.bias.value == pytest.approx(-(norm.ppf(20.5 / 26) + norm.ppf(5.5 / 26)) / 2, abs=1e-12)
    assert found.each == (pytest.approx(found.d_prime.value),)


def test_rates_of_0_and_1_are_corrected_by_half_an_answer():
    np.testing.assert_allclose(
        corrected(np.array([0.0, 10.0]), np.array([10.0, 10.0])), [0.5 / 11, 10.5 / 11]
    )
    assert np.isnan(corrected(np.array([0.0]), np.array([0.0]))).all()
    all_right = sensitivity(
        Counts(np.array([[10.0]]), np.array([[10.0]])), Counts(np.zeros((1, 1)), np.array([[10.0]]))
    )
    assert np.isfinite(all_right.d_prime.value)


def test_answers_are_counted_by_mask_and_missing_ones_do_not_count():
    said = np.array([[1, 0, np.nan, 1], [0, 0, 1, np.nan]])
    found = counts(said, ["a", "a", "b", "b"])
    np.testing.assert_array_equal(found.hits, [[1, 1], [0, 1]])
    np.testing.assert_array_equal(found.shown, [[2, 1], [2, 1]])
    assert share(found).value == pytest.approx((2 / 3 + 1 / 3) / 2)
    with pytest.raises(BadInput, match="3 pictures"):
        counts(said, ["a", "b", "c"])


def test_who_tells_nothing_apart_has_an_interval_around_0():
    rng = np.random.default_rng(2)
    blind, masks = raters(rng, 24, 6, 4, 0.5)
    other, others = raters(rng, 24, 6, 4, 0.5)
    found = sensitivity(counts(blind, masks), counts(other, others)).d_prime
    assert found.low < 0 < found.high
    seeing, _ = raters(rng, 24, 6, 4, 0.85)
    found = sensitivity(counts(seeing, masks), counts(other, others)).d_prime
    assert 0.5 < found.low < found.value < found.high < 1.6


def test_the_interval_knows_that_pictures_of_one_mask_are_not_many_masks():
    """All raters see the face in one of four masks and in no other: raters agree, masks do not."""
    pictures, rater_count = 6, 30
    one = np.zeros((rater_count, 4 * pictures))
    one[:, :pictures] = 1.0
    masks = [f"m{k // pictures}" for k in range(4 * pictures)]
    by_mask = share(counts(one, masks))
    by_picture = share(counts(one, [str(k) for k in range(4 * pictures)]))
    assert by_mask.value == by_picture.value == 0.25
    assert by_mask.high - by_mask.low > 1.5 * (by_picture.high - by_picture.low)


def test_eyes_that_everybody_puts_in_the_same_place_of_every_picture_say_nothing():
    rng = np.random.default_rng(4)
    usual = np.array([[0.38, 0.4], [0.62, 0.4]])
    masks = [f"m{k}" for k in range(8)]
    by_habit = usual + rng.normal(0, 0.01, (10, 8, 2, 2))
    found = places(by_habit, masks)
    assert found.pictures == 8
    assert found.other.value < 1.2 * found.same.value
    seen = by_habit + rng.normal(0, 0.06, (1, 8, 1, 2))  # where this picture's eyes are
    found = places(seen, masks)
    assert found.same.high < found.other.low
    assert found.same.value == pytest.approx(0.013, abs=0.004)


def test_pictures_that_one_rater_marked_are_left_out():
    eyes = np.full((3, 2, 2, 2), np.nan)
    eyes[0, 0] = eyes[1, 0] = [[0.4, 0.4], [0.6, 0.4]]
    eyes[2, 1] = [[0.1, 0.4], [0.6, 0.4]]
    found = places(eyes, ["a", "b"])
    assert found.pictures == 1
    assert found.same.value == 0.0
    assert np.isnan(found.other.value)
    assert places(np.full((3, 2, 2, 2), np.nan), ["a", "b"]).pictures == 0
