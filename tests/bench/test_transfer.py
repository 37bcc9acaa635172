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


def test_the_page_shows_every_arm_and_how_it_differs_from_the_first() -> None:
    arms = transfer.ARMS["portrait"]
    starts = {"portrait a": {"shape": 0.8, "color": 0.9}, "portrait b": {"shape": 0.7, "color": 0.82}}
    row = transfer.row_of("viola-jones: sees a face", starts, arms)
    text = transfer.page({"tasks": {"portrait": [row]}, "settings": {"views": 60}})
    assert "| critic | shape alone | shape and color |" in text
    assert "| viola-jones: sees a face | 0.75 | 0.86 (+0.11, -0.02 to +0.24) |" in text
    assert "2 starts, 60 held-out views" in text


def test_what_a_large_run_costs_follows_from_the_figures() -> None:
    result = {
        "machine": {"cores": 2},
        "scoring": {"masks": [{"masks": 16, "ms": 10.0}]},
        "coordinator": [{"cpu_ms_a_batch": 1.6, "record_kb_an_island": 80.0}],
    }
    text = "\n".join(scale._large(result))
    assert "| this machine, 2 cores (measured) | 100 | 3.5 days | 16.7 min | 62 s |" in text
    assert "10.0 GB" in text
