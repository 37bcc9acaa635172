"""Machines of every kind in one scorer: filters, files that people bring, several references."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from services.errors import BadInput
from services.recognition import files
from services.rendering.views import ViewRanges
from services.shape.catalog import basis_info
from services.wire.plan import OK, Batch, Plan, Quantity, make_plan
from worker.examination.targets import build_filter
from worker.scorer import Scorer

BASIS = "makehuman-mask-1"
GENES = len(basis_info(BASIS).gene_names)
VIEWS = 2


@pytest.fixture(scope="module")
def genomes() -> NDArray[np.float32]:
    genomes = np.random.default_rng(0).normal(0, 1.0, (3, GENES)).astype(np.float32)
    genomes[0] = 0
    return genomes


@pytest.fixture(scope="module")
def template() -> NDArray[np.float32]:
    """The filter of the neutral head."""
    return build_filter([], "otsdf", BASIS)


def scored(plan: Plan, targets: dict[str, NDArray[np.float32]], genomes: NDArray[np.float32]) -> NDArray:
    scores = Scorer(plan, targets).score(Batch(plan, genomes, 5, VIEWS))
    assert (scores.status == OK).all()
    return scores.raw


def test_a_filter_of_the_neutral_head_prefers_it(
    genomes: NDArray[np.float32], template: NDArray[np.float32]
) -> None:
    plan = make_plan(BASIS, (Quantity("correlate", "otsdf", "t"),), ViewRanges(yaw_deg=(-10, 10)))
    (raw,) = scored(plan, {"t": template}, genomes)
    assert raw[0].min() > raw[1:].max()
    again = Scorer(plan, {"t": template}).score(Batch(plan, genomes[[2, 0]], 5, VIEWS)).raw[0]
    np.testing.assert_array_equal(again, raw[[2, 0]])


def test_several_references_are_combined_as_asked(genomes: NDArray[np.float32]) -> None:
    people = np.random.default_rng(1).normal(0, 1, (2, 32)).astype(np.float32)
    kinds = [("identity", "centroid"), ("identity", "best"), ("composite", "worst"), ("identity", "centroid")]
    keys = ["all", "all", "all", "one"]
    quantities = tuple(Quantity(k, "eigenfaces", t, c) for (k, c), t in zip(kinds, keys, strict=True))
    plan = make_plan(BASIS, quantities, ViewRanges())
    middle, best, worst, first = scored(plan, {"all": people, "one": people[:1]}, genomes)
    single = make_plan(BASIS, (Quantity("identity", "eigenfaces", "one"),), ViewRanges())
    (second,) = scored(single, {"one": people[1:]}, genomes)
    np.testing.assert_array_equal(best, np.minimum(first, second))
    np.testing.assert_array_equal(worst, np.maximum(first, second))
    (center,) = scored(single, {"one": people.mean(0, keepdims=True)}, genomes)
    np.testing.assert_allclose(middle, center, rtol=1e-5)


def test_files_that_people_bring_score_like_any_other(
    genomes: NDArray[np.float32], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = pytest.importorskip("bench.onnx_models", reason='pip install "datamask[insightface]"')
    monkeypatch.setenv(files.VARIABLE, str(tmp_path))
    make.arcface(tmp_path / "face.onnx", size=64)
    make.scrfd(tmp_path / "det.onnx")
    quantities = (
        Quantity("detect", "onnx:det.onnx"),
        Quantity("consistent", "onnx:face.onnx"),
        Quantity("identity", "onnx:face.onnx", "t"),
    )
    plan = make_plan(BASIS, quantities, ViewRanges())
    target = np.random.default_rng(2).normal(0, 1, (1, 64)).astype(np.float32)
    detected, within, alike = scored(plan, {"t": target}, genomes)
    assert ((detected >= 0) & (detected <= 1)).all()
    assert ((within >= 0) & (within <= 2)).all()
    assert (np.abs(alike) <= 1).all()
    part = Scorer(plan, {"t": target}).score(Batch(plan, genomes[1:2], 5, VIEWS)).raw
    np.testing.assert_array_equal(part[[0, 2]], np.stack([detected, alike])[:, 1:2])
    # Residuals of a similarity are those of unit vectors: 1 - s is half of their square, in each view.
    told = Scorer(replace(plan, residuals=True), {"t": target}).score(Batch(plan, genomes, 5, 1))
    assert list(told.residuals) == [2]
    half = np.square(told.residuals[2]).sum(axis=1) / 2
    np.testing.assert_allclose(half, 1 - told.raw[2, :, 0], atol=1e-5)
    make.arcface(tmp_path / "face.onnx", size=64, side=128)
    with pytest.raises(BadInput, match=r"onnx:face\.onnx: this worker has sha256"):
        Scorer(plan, {"t": target})


def test_another_version_of_a_runtime_is_refused() -> None:
    plan = make_plan(BASIS, (Quantity("detect", "viola-jones"),), ViewRanges())
    assert Plan.from_meta(plan.meta(), "again") == plan
    other = replace(plan, runtimes={"opencv-python-headless": "opencv-python-headless 0.1"})
    with pytest.raises(BadInput, match="exact = false"):
        Scorer(other)
