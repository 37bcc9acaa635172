from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from services.errors import BadInput
from services.rendering.presets import PRESETS
from services.rendering.views import ViewRanges, Views, frontal_view, sample_views

PAIRS = [f.name for f in dataclasses.fields(ViewRanges) if f.name not in ("size_px", "material")]


def test_the_same_seed_draws_the_same_views_and_another_seed_others() -> None:
    first, again, other = (sample_views(ViewRanges(), 7, seed) for seed in (3, 3, 4))
    for field in dataclasses.fields(Views):
        assert np.array_equal(getattr(first, field.name), getattr(again, field.name))
    assert not np.array_equal(first.yaw_deg, other.yaw_deg)
    assert not np.array_equal(first.noise_seed, other.noise_seed)


def test_every_quantity_stays_in_its_range_and_fills_it() -> None:
    ranges = ViewRanges(jpeg_quality=(20, 95), print_white=(0, 1), print_level=(0.3, 1.2))
    views = sample_views(ranges, 400, 1)
    for name in PAIRS:
        low, high = getattr(ranges, name)
        drawn = getattr(views, name)
        assert drawn.dtype == np.float32
        assert drawn.min() >= np.float32(low)
        assert drawn.max() <= np.float32(high)
        assert drawn.max() - drawn.min() > 0.9 * (high - low)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_yaw_is_stratified(count: int) -> None:
    for seed in range(20):
        yaw = sample_views(ViewRanges(yaw_deg=(-30, 30)), count, seed).yaw_deg
        stratum = np.floor((yaw + 30) / (60 / count)).clip(0, count - 1)
        assert np.array_equal(stratum, np.arange(count))


def test_a_range_of_one_value_gives_that_value() -> None:
    views = sample_views(ViewRanges(yaw_deg=(12.5, 12.5), blur_px=(0, 0)), 3, 0)
    assert np.array_equal(views.yaw_deg, np.full(3, 12.5, dtype=np.float32))
    assert np.array_equal(views.blur_px, np.zeros(3, dtype=np.float32))


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize(
    "bad", [(1.0, 0.0), (0.0,), (float("nan"), 0.0), (0.0, float("inf")), "ab", 3.0, None]
)
def test_a_bad_range_is_refused_by_name(name: str, bad: object) -> None:
    with pytest.raises(BadInput, match=f"views.{name}: expected"):
        dataclasses.replace(ViewRanges(), **{name: bad})


@pytest.mark.parametrize(
    ("name", "bad"), [("yaw_deg", (-120, 0)), ("distance_m", (0.0, 1.0)), ("noise", (-1, 0))]
)
def test_a_range_out_of_bounds_is_refused_by_name(name: str, bad: tuple[float, float]) -> None:
    with pytest.raises(BadInput, match=f"views.{name}: expected"):
        dataclasses.replace(ViewRanges(), **{name: bad})


@pytest.mark.parametrize("size", [0, 15, 5000, 160.0, True, "160"])
def test_a_bad_size_is_refused(size: object) -> None:
    with pytest.raises(BadInput, match=r"views.size_px"):
        ViewRanges(size_px=size)  # type: ignore[arg-type]


def test_a_bad_count_or_seed_is_refused() -> None:
    with pytest.raises(BadInput, match="count"):
        sample_views(ViewRanges(), 0, 1)
    with pytest.raises(BadInput, match="seed"):
        sample_views(ViewRanges(), 1, -1)


def test_views_refuse_arrays_that_do_not_fit_and_do_not_change() -> None:
    views = frontal_view()
    with pytest.raises(BadInput, match=r"views.light"):
        dataclasses.replace(views, light=np.zeros(2, dtype=np.float32))
    with pytest.raises(BadInput, match=r"views.light"):
        dataclasses.replace(views, light=np.array([np.nan], dtype=np.float32))
    with pytest.raises(ValueError, match="read-only"):
        views.light[0] = 2


def test_lists_from_a_toml_spec_are_taken() -> None:
    assert ViewRanges(yaw_deg=[-5, 5]).yaw_deg == (-5.0, 5.0)  # type: ignore[arg-type]


def test_views_load_without_torch() -> None:
    code = "import sys, services.rendering.camera, services.rendering.views; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_quantities_that_came_later_leave_the_draws_of_the_others_alone() -> None:
    plain = sample_views(ViewRanges(), 6, 9)
    changed = sample_views(ViewRanges(jpeg_quality=(10, 90), print_white=(0, 1)), 6, 9)
    for field in dataclasses.fields(Views):
        same = np.array_equal(getattr(plain, field.name), getattr(changed, field.name))
        assert same == (field.name not in ("jpeg_quality", "print_white")), field.name
    assert not plain.jpeg_quality.any()
    assert (plain.print_level == 1).all()


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_is_a_set_of_valid_ranges(name: str) -> None:
    ranges = ViewRanges(**PRESETS[name])
    views = sample_views(ranges, 50, 2)
    for quantity, (low, high) in PRESETS[name].items():
        assert getattr(views, quantity).min() >= np.float32(low)
        assert getattr(views, quantity).max() <= np.float32(high)
