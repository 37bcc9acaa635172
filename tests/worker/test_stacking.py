"""A batch's scores are the same bytes whatever it was stacked with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.pretend_cuda import pretend_cuda
from services.rendering.views import ViewRanges, sample_views
from services.shape.catalog import basis_info
from services.wire.plan import Batch, Plan, Quantity, make_plan
from worker import passes
from worker.scorer import Scorer

GENES = len(basis_info("makehuman-mask-1").gene_names)
TARGET = "t" * 64
QUANTITIES = (
    Quantity("detect", "dlib-hog"),
    Quantity("detect", "dlib-mmod"),
    Quantity("consistent", "dlib-resnet"),
    Quantity("identity", "dlib-resnet", TARGET),
)
ROWS, SEEDS = (1, 3, 4, 6, 9, 16), (7, 8)


@pytest.fixture(scope="module")
def plan() -> Plan:
    ranges = ViewRanges(size_px=96, jpeg_quality=(0.0, 90.0), blur_px=(0.0, 1.0))
    return replace(make_plan("makehuman-mask-1", QUANTITIES, ranges), residuals=True)


@pytest.fixture(scope="module")
def scorer(plan: Plan) -> Scorer:
    target = np.random.default_rng(4).normal(0, 0.1, (1, 128)).astype(np.float32)
    return Scorer(plan, {TARGET: target})


@pytest.fixture(scope="module")
def alone(plan: Plan, scorer: Scorer) -> list[tuple[Batch, bytes]]:
    """Batches, and what each one scores by itself."""
    rng = np.random.default_rng(3)
    found = []
    for k, rows in enumerate(ROWS):
        genomes = rng.normal(0, 0.5, (rows, GENES)).astype(np.float32)
        if rows == 4:
            genomes[1, 5] = np.nan
        batch = Batch(plan, genomes, SEEDS[k % 2], 2)
        found.append((batch, scorer.score(batch).encoded({})))
    return found


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(len(ROWS))), count=st.integers(2, len(ROWS)))
def test_stacked_or_alone_the_bytes_are_the_same(
    scorer: Scorer, alone: list[tuple[Batch, bytes]], order: list[int], count: int
) -> None:
    chosen = [alone[k] for k in order[:count]]
    for scores, (_, bytes_alone) in zip(
        scorer.score_together([batch for batch, _ in chosen]), chosen, strict=True
    ):
        assert scores.encoded({}) == bytes_alone


def test_a_device_whose_rows_differ_stacks_nothing(
    plan: Plan, scorer: Scorer, alone: list[tuple[Batch, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scorer.stacks
    doubtful = Scorer(plan, {TARGET: np.zeros((1, 128), np.float32)}, loaded=scorer.machines.held)
    honest = doubtful._pass
    calls = []

    def by_row(genomes: np.ndarray, *others: object, **more: object) -> object:
        calls.append(len(genomes))
        seen = honest(genomes, *others, **more)  # type: ignore[arg-type]
        return replace(seen, coverage=seen.coverage + torch.arange(len(genomes))[:, None] * 1e-7)

    monkeypatch.setattr(doubtful, "_pass", by_row)
    assert not doubtful.stacks
    calls.clear()
    together = doubtful.score_together([batch for batch, _ in alone[:2]])
    assert len(calls) == 2  # a pass of its own for each
    assert [len(scores.status) for scores in together] == list(ROWS[:2])


def test_machines_that_see_no_face_in_noise_are_tried_all_the_same() -> None:
    quantities = Quantity("detect", "dlib-hog"), Quantity("consistent", "dlib-resnet")
    blank = make_plan("blank-oval-1", quantities, ViewRanges())
    scorer = Scorer(blank)
    assert scorer.stacks
    Scorer(replace(blank, half=True), loaded=scorer.machines.held)  # is not refused
    noise = np.random.default_rng(0).normal(0, 0.4, (4, len(scorer.eye.basis.gene_names))).astype(np.float32)
    views = sample_views(blank.ranges, 1, 0)
    assert scorer._pass(noise, views).embeddings["dlib-resnet"].isnan().all()
    tried = scorer._pass(noise, views, probe=True).embeddings["dlib-resnet"]
    assert torch.pdist(tried[:, 0]).min() > 0.1  # no black chips


def test_a_gpu_tries_every_shape_before_it_relies_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "SHAPES", (8, 16))
    small = make_plan("makehuman-mask-1", QUANTITIES[2:3], ViewRanges(size_px=96))
    batch = Batch(small, np.zeros((3, GENES), np.float32), 1, 2)
    with pretend_cuda():
        one = Scorer(small, device="cuda", images=8)
        two = Scorer(small, device="cuda", images=16, loaded=one.machines.held)
        assert not one.score(batch).status.any()
        assert "stacks" not in vars(one)  # alone in the one shape that fits: nothing to rely on
        assert two.score(batch).encoded({}) == one.score(batch).encoded({})
        assert vars(two)["stacks"]
