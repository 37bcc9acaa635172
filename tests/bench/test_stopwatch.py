from __future__ import annotations

import pytest

from bench.stopwatch import Spread, Stopwatch


def test_stages_add_up_over_calls() -> None:
    watch = Stopwatch()
    for _ in range(3):
        with watch.stage("a"):
            pass
    with watch.stage("b"):
        pass
    assert watch.calls == {"a": 3, "b": 1}
    assert set(watch.seconds) == {"a", "b"}


def test_spread_keeps_every_round_in_order() -> None:
    spread = Spread.of([3.0, 1.0, 8.0])
    assert (spread.median, spread.min, spread.max) == (3.0, 1.0, 8.0)
    assert spread.as_json()["rounds"] == [3.0, 1.0, 8.0]


def test_spread_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one round"):
        Spread.of([])
