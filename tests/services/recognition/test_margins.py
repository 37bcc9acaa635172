from __future__ import annotations

import numpy as np
import pytest

from services.recognition.margins import detection_margin, distance_margin, value_over_views


def test_margins_are_zero_at_the_threshold_and_positive_beyond() -> None:
    np.testing.assert_allclose(detection_margin(np.float32([-1.0, 0.5, 2.0]), 0.5), [-1.5, 0.0, 1.5])
    np.testing.assert_allclose(distance_margin(np.float32([0.5, 0.6, 0.8]), 0.6), [1.0, 0.0, -2.0], atol=1e-6)


def test_value_is_half_mean_half_minimum() -> None:
    margins = np.float32([[1.0, 3.0, 2.0], [-4.0, 0.0, 1.0]])
    np.testing.assert_allclose(value_over_views(margins), [0.5 * 2.0 + 0.5 * 1.0, 0.5 * -1.0 + 0.5 * -4.0])


def test_results_are_float32_and_arguments_stay_as_they_are() -> None:
    margins = np.float32([[1.0, 2.0]])
    before = margins.copy()
    assert value_over_views(margins).dtype == np.float32
    assert distance_margin(margins, 0.6).dtype == np.float32
    assert detection_margin(margins, 0.6).dtype == np.float32
    np.testing.assert_array_equal(margins, before)


@pytest.mark.parametrize("shape", [(3,), (2, 0), (2, 2, 2)])
def test_value_needs_views(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least one view"):
        value_over_views(np.zeros(shape, dtype=np.float32))
