"""Calibrations: what is stated, what is refused, and that they come back as they were written."""

from __future__ import annotations

import json

import numpy as np
import pytest

from services.errors import CorruptData
from services.recognition.catalog import model_info
from services.recognition.statistics.calibration import (
    RENDERS,
    Calibration,
    calibration_of,
    decode_calibration,
    file_name,
    measure_set,
    shipped,
)
from services.recognition.statistics.plots import calibration_plot
from services.storage import open_store


def pairs(count=3000, spread=0.4, seed=0):
    rng = np.random.default_rng(seed)
    return measure_set(RENDERS, spread, rng.normal(0.6, 0.07, count), rng.normal(0.4, 0.07, 200), 0.6)


def calibration(*sets):
    return Calibration("dlib-resnet", "0" * 64, False, "in words", (0.1, 0.2), sets, {"seed": 1})


def test_a_rate_that_the_pairs_cannot_carry_is_refused_with_what_is_needed():
    found = pairs(3000)
    assert [t.far for t in found.thresholds] == [1e-2, 1e-3]
    assert [(r.far, r.needed) for r in found.refused] == [(1e-4, 30_000)]
    assert [t.far for t in pairs(299).thresholds] == []
    assert found.thresholds[0].threshold > found.thresholds[1].threshold
    assert found.published.far.share == pytest.approx(0.5, abs=0.05)
    assert sum(found.histogram.impostor) == 3000
    assert sum(found.histogram.genuine) == 200


def test_a_calibration_comes_back_as_it_was_written():
    made = calibration(pairs(), pairs(400, 0.8))
    again = decode_calibration(made.encoded(), "here")
    assert again == made
    assert again.nearest(RENDERS, 0.5).spread == 0.4
    assert again.nearest(RENDERS, 5.0).spread == 0.8
    assert again.nearest("photo-photo", 0.4) is None
    assert calibration_plot(again).startswith(b"\x89PNG")


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"format": 2}', b'{"format": 1, "sets": [{}]}'])
def test_another_file_is_no_calibration(damage):
    with pytest.raises(CorruptData, match="here"):
        decode_calibration(damage, "here")


def test_a_runs_own_calibration_comes_before_the_shipped_one(tmp_path):
    run = open_store(tmp_path)
    assert calibration_of(run, "dlib-resnet") == shipped("dlib-resnet")
    own = calibration(pairs())
    run.put("calibration/dlib-resnet.json", own.encoded())
    assert calibration_of(run, "dlib-resnet") == own
    assert calibration_of(run, "onnx:faces/a.onnx") is None
    assert file_name("onnx:faces/a.onnx") == "onnx-faces-a.onnx"


def test_the_shipped_calibration_is_of_the_model_in_the_catalog_and_says_how_it_was_made():
    found = shipped("dlib-resnet")
    assert found is not None
    assert found.model_sha256 == model_info("dlib-resnet").sha256
    assert len(found.probe) == 128
    renders = [s for s in found.sets if s.kind == RENDERS]
    assert len({s.spread for s in renders}) >= 2
    for pair_set in renders:
        stated = {t.far for t in pair_set.thresholds}
        assert all(pair_set.impostor_pairs >= 3 / far for far in stated)
        assert {r.far for r in pair_set.refused}.isdisjoint(stated)
        assert 1e-2 in stated
        # dlib's own threshold was read off photographs: on renders it lets many strangers pass for one.
        assert pair_set.published.far.share > 0.1
    assert found.provenance["command"].startswith("datamask calibrate dlib-resnet")
    assert json.loads(found.encoded())["provenance"]["versions"]["torch"]
