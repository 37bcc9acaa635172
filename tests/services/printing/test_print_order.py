"""What may be asked for, and what is said where it may not."""

from __future__ import annotations

import pytest

from services.errors import BadInput
from services.printing.catalog import MOUNTS, PROCESSES, make_order


def test_every_process_has_its_own_wall_and_bed():
    assert {name: make_order(name).wall_mm for name in PROCESSES} == {"sls": 2.0, "fdm": 2.8, "color": 3.0}
    assert make_order("fdm", bed_mm="220x220x250").bed_mm == (220.0, 220.0, 250.0)
    assert [make_order(mount=mount).mount for mount in MOUNTS] == list(MOUNTS)


def test_sizes():
    order = make_order()
    assert (order.width_mm, order.height_mm) == (180.0, 260.0)
    assert [make_order(size=s).width_mm for s in ("S", "m", "L")] == [130.0, 140.0, 150.0]
    assert make_order(width_mm=99.0).height_mm is None
    assert make_order(edition="2/5").edition == (2, 5)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"process": "slss"}, "did you mean 'sls'"),
        ({"mount": "walk"}, "did you mean 'wall'"),
        ({"width_mm": 5.0}, "expected 40 to 600"),
        ({"width_mm": float("nan")}, "expected 40 to 600"),
        ({"width_mm": 140.0, "size": "M"}, "one of them"),
        ({"size": "XXL"}, "unknown"),
        ({"wall_mm": 0.2}, "holds walls from 1 mm"),
        ({"wall_mm": 80.0}, "no wall"),
        ({"width_mm": 22.0}, "expected 40"),
        ({"bed_mm": "250"}, "WIDTHxDEPTHxHEIGHT"),
        ({"bed_mm": "0x1x1"}, "WIDTHxDEPTHxHEIGHT"),
        ({"edition": "6/5"}, "NUMBER/OF"),
    ],
)
def test_impossible_orders_are_refused_in_one_line(wish, words):
    with pytest.raises(BadInput, match=words) as refused:
        make_order(**wish)
    assert "\n" not in str(refused.value)
