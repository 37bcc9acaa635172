from __future__ import annotations

import numpy as np
import pytest

from services.recognition.margins import DISTANCE_UNIT, margin, value_over_views


def test_margins_are_zero_at_the_threshold_and_positive_beyond() -> None:
    np.testing.assert_allclose(margin(np.float32([-1.0, 0.5, 2.0]), 0.5, "score", 1.0), [-1.5, 0.0, 1.5])
    distances = margin(np.float32([0.5, 0.6, 0.8]), 0.6, "distance", DISTANCE_UNIT)
    np.testing.assert_allclose(distances, [1.0, 0.0, -2.0], atol=1e-6)


def test_value_is_half_mean_half_minimum() -> None:
    margins = np.float32([[1.0, 3.0, 2.0], [-4.0, 0.0, 1.0]])
    np.testing.assert_allclose(value_over_views(margins), [0.5 * 2.0 + 0.5 * 1.0, 0.5 * -1.0 + 0.5 * -4.0])


def test_results_are_float32_and_arguments_stay_as_they_are() -> None:
    margins = np.float32([[1.0, 2.0]])
    before = margins.copy()
    assert value_over_views(margins).dtype == np.float32
    assert margin(margins, 0.6, "distance", DISTANCE_UNIT).dtype == np.float32
    assert margin(margins, 0.6, "score", 1.0).dtype == np.float32
    np.testing.assert_array_equal(margins, before)


@pytest.mark.parametrize("shape", [(3,), (2, 0), (2, 2, 2)])
def test_value_needs_views(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least one view"):
        value_over_views(np.zeros(shape, dtype=np.float32))


def test_each_measure_has_its_own_scale() -> None:
    assert margin(np.float32([0.3, 0.5]), 0.3, "similarity", 0.1).tolist() == pytest.approx(
        [0.0, 2.0], abs=1e-5
    )
    assert margin(np.float32([0.4, 0.6]), 0.5, "distance", 0.05).tolist() == pytest.approx(
        [2.0, -2.0], abs=1e-5
    )
    odds = margin(np.float32([0.5, 0.9, 0.0, 1.0]), 0.5, "probability", 2.0)
    assert odds[:2].tolist() == pytest.approx([0.0, np.log(9) / 2], abs=1e-5)
    assert np.isfinite(odds).all()
    assert odds[3] == -odds[2]


def test_worst_views_and_quantiles() -> None:
    margins = np.float32([[1.0, 3.0, 2.0, -5.0]])
    assert value_over_views(margins, "worst-k", k=1).tolist() == [-5.0]
    assert value_over_views(margins, "worst-k", k=2).tolist() == [-2.0]
    assert value_over_views(margins, "worst-k", k=9).tolist() == [0.25]
    assert value_over_views(margins, "quantile", q=0.0).tolist() == [-5.0]
    assert value_over_views(margins, "quantile", q=0.5).tolist() == [1.5]
