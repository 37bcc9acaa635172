"""The comparison of masks before critics: paired differences, and what the page says of them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

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
    starts = {
        "portrait a": {"before": 0.8, "shape": 0.8, "color": 0.9},
        "portrait b": {"before": 0.7, "shape": 0.8, "color": 0.82},
    }
    row = transfer.row_of("viola-jones: sees a face", starts, arms)
    text = transfer.page({"tasks": {"portrait": {"settings": {"views": 60}, "rows": [row]}}})
    assert "| critic | before: sep-CMA, all genes of shape | shape | shape and color |" in text
    low, high = stats.t.interval(0.95, 1, loc=0.75, scale=stats.sem([0.8, 0.7]))
    cut = f"[{max(low, 0):.2f} to {min(high, 1):.2f}]"  # a share is none below 0 or above 1
    assert f"| viola-jones: sees a face | 0.75 {cut} | 0.80 [0.80 to 0.80] (+0.05" in text
    assert "(+0.05, -0.59 to +0.69) | 0.86 [" in text
    assert "] (+0.11, -0.02 to" in text
    assert "2 starts, 60 held-out views" in text
    assert "| critic | shape and color, beside *shape* |" in text
    added = transfer.difference([0.8, 0.8], [0.9, 0.82])
    assert f"| +0.06 ({added['low']:+.2f} to {added['high']:+.2f}) |" in text


def test_a_recognizer_has_no_say_of_masks_that_were_evolved_for_it() -> None:
    both = dict.fromkeys(("before", "shape", "color", "two"), 0.2)
    alone = {name: value for name, value in both.items() if name != "two"}
    arms = transfer.ARMS["portrait"]
    rows = [
        transfer.row_of("partner: median similarity", {"a": alone, "b": alone}, arms),
        transfer.row_of("other: median similarity", {"a": both, "b": both}, arms),
    ]
    text = transfer.page({"tasks": {"portrait": {"settings": {"views": 60}, "rows": rows}}})
    first, second, *added = (line for line in text.splitlines() if "median similarity" in line)
    assert first.endswith("| took part |")
    assert second.endswith("| 0.20 [0.20 to 0.20] (+0.00, +0.00 to +0.00) |")
    nothing = "+0.00 (+0.00 to +0.00)"
    assert added == [
        f"| partner: median similarity | {nothing} | took part |",
        f"| other: median similarity | {nothing} | {nothing} |",
    ]
    assert [arm.name for arm in transfer.Settings().arms("portrait")] == [
        *("before", "shape", "color", "three")
    ]
    assert [a.name for a in transfer.Settings(chosen=("color", "two")).arms("portrait")] == ["color"]
    with pytest.raises(SystemExit, match="--arms: portrait has before, shape, color, three"):
        transfer.Settings(chosen=("two",)).arms("portrait")


def test_masks_for_another_partner_are_other_runs() -> None:
    two = transfer.ARMS["portrait"][-1]
    names = [transfer.Settings(partner=p).suffix(two) for p in ("onnx:one.onnx", "onnx:other.onnx")]
    assert len(set(names)) == 2
    assert all(name.startswith("-two-") and ":" not in name for name in names)


def test_the_spec_for_several_asks_all_at_the_same_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibration = tmp_path / "partner.json"
    monkeypatch.setattr(transfer, "STORE", tmp_path / "runs")
    monkeypatch.setattr(transfer, "calibrated", lambda _: calibration)
    arms = {arm.name: arm for arm in transfer.ARMS["portrait"]}
    settings = transfer.Settings(partner="onnx:partner.onnx", licence="MIT")
    table = tomllib.loads(Path(transfer.for_more("portrait", arms["two"], settings)).read_text())
    dlib, partner = (o for o in table["objective"] if o["kind"] == "identity")
    assert (dlib["model"], partner["model"]) == ("dlib-resnet", "onnx:partner.onnx")
    assert dlib["far"] == partner["far"] == transfer.FAR
    assert dlib["weight"] == partner["weight"]
    assert partner["calibration"] == str(calibration)
    assert table["models"]["onnx:partner.onnx"]["licence"] == "MIT"
    table = tomllib.loads(Path(transfer.for_more("portrait", arms["three"], settings)).read_text())
    found = {o["model"]: o["weight"] for o in table["objective"] if o["kind"] == "identity"}
    assert found == {"dlib-resnet": 2.0, "eigenfaces": 0.7, "lbp": 0.7}
    assert all(o["far"] == transfer.FAR for o in table["objective"] if o["kind"] == "identity")


def test_recognizers_are_left_out_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "STORE", tmp_path / "runs")
    bred_for = {}
    for arm in transfer.Settings().arms("recognizers"):
        table = tomllib.loads(Path(transfer.for_more("recognizers", arm, transfer.Settings())).read_text())
        identities = [o for o in table["objective"] if o["kind"] == "identity"]
        assert all(o["far"] == transfer.FAR for o in identities)
        bred_for[arm.name] = {o["model"] for o in identities}
    assert bred_for == {
        "dlib": {"dlib-resnet"},
        "facenet": {"dlib-resnet", "facenet"},
        "mobilefacenet": {"dlib-resnet", "mobilefacenet"},
    }


def test_what_a_large_run_costs_follows_from_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scale, "INNER_LOOP", tmp_path / "latest.json")
    scale.INNER_LOOP.write_text(json.dumps({"views_per_second": {"datamask": {"median": 100.0}}}))
    result = {
        "machine": {"cores": 2},
        "coordinator": [{"cpu_ms_a_batch": 1.6, "record_kb_an_island": 80.0}],
    }
    text = "\n".join(scale._large(result))
    assert "| this machine, 2 cores (measured) | 100 | 3.5 days | 16.7 min |" in text
    assert "10.0 GB" in text


def test_a_task_that_is_not_named_keeps_its_table_and_its_settings(tmp_path: Path) -> None:
    out = tmp_path / "transfer.json"
    assert transfer.earlier(out) == {}
    there = {"archetype": {"settings": {"set": ["search.islands=3"]}, "rows": [{"figure": "x"}]}}
    out.write_text(json.dumps({"format": transfer.FORMAT, "tasks": there}))
    assert transfer.earlier(out) == there
    out.write_text(json.dumps({"format": transfer.FORMAT - 1, "tasks": {"archetype": []}}))
    assert transfer.earlier(out) == {}
