"""The comparison of masks before critics: paired differences, and what the page says of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bench import scale, transfer


def test_a_difference_is_of_pairs_with_students_interval() -> None:
    before, after = [0.2, 0.5, 0.9, 0.4], [0.3, 0.6, 0.95, 0.55]
    found = transfer.difference(before, after)
    theirs = stats.ttest_rel(after, before).confidence_interval(0.95)
    assert found["mean"] == pytest.approx(np.mean(np.subtract(after, before)))
    assert (found["low"], found["high"]) == pytest.approx((theirs.low, theirs.high))
    assert found["low"] > 0  # every pair gained about as much
    assert transfer.difference([0.2], [0.3])["low"] == -np.inf  # one pair shows nothing


def test_the_page_shows_both_arms_and_the_interval() -> None:
    row = {"figure": "viola-jones: sees a face", "shape": 0.81, "color": 0.9, "pairs": {}}
    row["difference"] = {"mean": 0.09, "low": 0.02, "high": 0.16, "pairs": 5}
    text = transfer.page({"tasks": {"archetype": [row]}, "settings": {"views": 60}})
    assert "| viola-jones: sees a face | 0.81 | 0.90 | +0.09 (+0.02 to +0.16) |" in text
    assert "5 pairs of runs" in text


def test_what_a_large_run_costs_follows_from_the_figures() -> None:
    result = {
        "machine": {"cores": 2},
        "scoring": {"masks": [{"masks": 16, "ms": 10.0}]},
        "coordinator": [{"cpu_ms_a_batch": 1.6, "record_kb_an_island": 80.0}],
    }
    text = "\n".join(scale._large(result))
    assert "| this machine, 2 cores (measured) | 100 | 3.5 days | 16.7 min | 62 s |" in text
    assert "10.0 GB" in text
