"""From raw scores to fitness: scale, gating, what a blob gets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.recognition.fitness import (
    CONSISTENT_FLOOR,
    Objective,
    fitness,
    gate,
    margins,
    weighted_residuals,
)
from services.recognition.margins import consistency_margin

HOG = Objective("detect", "dlib-hog", 1.0, 0.0)
SAME = Objective("consistent", "dlib-resnet", 1.0, 0.6)
FACE = Objective("identity", "dlib-resnet", 2.0, 0.6, target="t")


def array(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_margins_are_zero_at_the_threshold_and_grow_with_acceptance() -> None:
    assert margins(HOG, array([0.0, 1.5])).tolist() == [[0.0, 1.5]]
    np.testing.assert_allclose(margins(FACE, array([0.6, 0.5, 0.8])), [[0.0, 1.0, -2.0]], atol=1e-5)


def test_fitness_is_the_weighted_mean_of_half_mean_half_minimum() -> None:
    result = fitness(
        [HOG, FACE], [array([1.0, 2.0]), array([0.5, 0.4])], array([np.nan])[0], np.array([True])
    )
    hog = 0.5 * 1.5 + 0.5 * 1.0
    face = 0.5 * 1.5 + 0.5 * 1.0
    assert result.fitness[0] == pytest.approx((hog + 2 * face) / 3, abs=1e-5)
    assert result.values[0].tolist() == pytest.approx([hog, face], abs=1e-5)


def test_what_saturates_counts_for_a_part_above_its_threshold_and_wholly_below() -> None:
    mmod = Objective("detect", "dlib-mmod", 1.0, 0.0, saturate=0.25)
    content = fitness([HOG, mmod], [array([-0.8]), array([1.0])], np.zeros(1, np.float32), np.array([True]))
    refusing = fitness([HOG, mmod], [array([-0.8]), array([-1.0])], np.zeros(1, np.float32), np.array([True]))
    assert content.fitness[0] == pytest.approx((-0.8 + 0.25) / 2)
    assert refusing.fitness[0] == pytest.approx((-0.8 - 1.0) / 2)
    assert content.values[0].tolist() == pytest.approx([-0.8, 1.0])  # what tables show
    for objective, slope in ((replace(mmod, saturate=None), 1.0), (replace(mmod, kind="together"), 0.25)):
        assert objective.slope == slope
    assert replace(mmod, kind="together", saturate=None).slope == 0.25


def test_what_is_to_see_no_face_is_content_where_it_sees_none_in_any_view() -> None:
    refusing = Objective("refuse", "yunet", 1.0, 0.9, measure="probability", scale=2.0)
    seeing = replace(refusing, kind="detect")
    raw = array([0.2, 0.95], [0.2, 0.3])
    np.testing.assert_allclose(margins(refusing, raw), -margins(seeing, raw))
    some, none = fitness([refusing], [raw], np.zeros(2, np.float32), np.ones(2, bool)).values[:, 0]
    assert some < margins(refusing, raw)[0].mean()  # one view with a face weighs as much as all of them
    assert none > 0
    # A quarter of it counts, and it opens no gate for machines that compare faces.
    both = [replace(HOG, saturate=None), refusing]
    result = fitness(both, [array([-0.5, -0.5]), raw[1:]], np.zeros(1, np.float32), np.array([True]))
    assert result.fitness[0] == pytest.approx((-0.5 + 0.25 * none) / 2)
    alone = fitness([SAME, refusing], [array([0.1, 0.1]), raw[1:]], array([0.9])[0], np.array([True]))
    opened = fitness([SAME], [array([0.1, 0.1])], array([0.9])[0], np.array([True]))
    assert alone.values[0, 0] == opened.values[0, 0]


def test_a_genome_that_cannot_be_scored_is_worst_and_harms_no_other() -> None:
    scores = [array([1.0, 1.0], [9.0, 9.0])]
    result = fitness([HOG], scores, np.full(2, np.nan, np.float32), np.array([True, False]))
    assert result.fitness[1] == -np.inf
    assert result.fitness[0] == pytest.approx(1.0)


def test_gate_opens_smoothly_with_the_weakest_detector() -> None:
    strong, weak = np.full(3, 2.0, np.float32), np.array([-2.0, -0.25, 1.0], np.float32)
    opening = gate([strong, weak])
    assert opening[0] < 0.001
    assert opening[1] == pytest.approx(0.5)
    assert opening[2] > 0.999
    assert gate([]).tolist() == [1.0]


def test_consistency_counts_nothing_where_nobody_sees_a_face() -> None:
    unseen, seen = array([-3.0, -3.0]), array([1.0, 1.0])
    alike, between = array([0.1, 0.1]), np.array([0.9], np.float32)
    hidden = fitness([HOG, SAME], [unseen, alike], between, np.array([True]))
    shown = fitness([HOG, SAME], [seen, alike], between, np.array([True]))
    assert hidden.values[0, 1] == pytest.approx(CONSISTENT_FLOOR, abs=0.01)
    assert shown.values[0, 1] == pytest.approx(5.0, abs=0.02)


def test_a_blob_that_equals_every_other_blob_gains_nothing_by_being_constant() -> None:
    within = array([0.4, 0.4])
    apart = consistency_margin(within, np.array([0.8], np.float32), 0.6)
    blob = consistency_margin(within, np.array([0.1], np.float32), 0.6)
    np.testing.assert_allclose(apart, [[2.0, 2.0]], atol=1e-5)
    np.testing.assert_allclose(blob, [[-1.0, -1.0]], atol=1e-5)
    alone = consistency_margin(within, np.array([np.nan], np.float32), 0.6)
    np.testing.assert_allclose(alone, apart)


def test_detection_gates_what_asks_for_it() -> None:
    unseen, seen, near = array([-3.0, -3.0]), array([1.0, 1.0]), array([0.3, 0.3])
    gated = replace(FACE, gate=True)
    for objective, hidden in ((FACE, 3.0), (gated, CONSISTENT_FLOOR)):
        below = fitness([HOG, objective], [unseen, near], np.zeros(1, np.float32), np.array([True]))
        above = fitness([HOG, objective], [seen, near], np.zeros(1, np.float32), np.array([True]))
        assert below.values[0, 1] == pytest.approx(hidden, abs=0.01)
        assert above.values[0, 1] == pytest.approx(3.0, abs=0.02)


def test_consistency_of_a_similarity_is_one_less_it() -> None:
    alike = replace(SAME, measure="similarity", threshold=0.4, scale=0.1)
    found = margins(alike, array([0.5, 0.6]), np.array([np.nan], np.float32))
    np.testing.assert_allclose(found, [[1.0, 0.0]], atol=1e-5)


def test_an_objective_counts_views_as_it_says() -> None:
    raw = [array([1.0, 3.0, -2.0])]
    for objective, value in (
        (HOG, 0.5 * 2 / 3 - 0.5 * 2),
        (replace(HOG, aggregate="worst-k", k=2), -0.5),
        (replace(HOG, aggregate="quantile", q=0.5), 1.0),
    ):
        result = fitness([objective], raw, np.zeros(1, np.float32), np.array([True]))
        assert result.fitness[0] == pytest.approx(value, abs=1e-5)


def test_the_second_objective_of_a_kind_has_a_label_of_its_own() -> None:
    assert replace(FACE, number=2).label == "identity:dlib-resnet#2"


def test_half_the_squared_residuals_are_what_fitness_loses() -> None:
    close = replace(FACE, weight=3.0, number=2, measure="similarity", threshold=0.4, scale=0.2)
    rng = np.random.default_rng(0)
    embedding, reference = rng.normal(size=(2, 8))
    embedding, reference = embedding / np.linalg.norm(embedding), reference / np.linalg.norm(reference)
    miss = (embedding - reference)[None].astype(np.float32)

    def told(objective: Objective, raw: float, vector: np.ndarray) -> tuple[float, float]:
        """What fitness is, and half of the squared residuals."""
        pair, nobody = [objective, HOG], np.full(1, np.nan, np.float32)
        result = fitness(pair, [array([raw]), array([0.7])], nobody, np.ones(1, bool))
        found = weighted_residuals(pair, result, {0: vector})
        assert found is not None
        assert found.rest[0] == pytest.approx(0.7 / (objective.weight + 1), rel=1e-5)  # the detector's share
        return float(result.fitness[0]), float(np.square(found.vectors).sum()) / 2

    # A similarity: exactly, but for what a perfect match is worth.
    best, _ = told(close, 1.0, 0 * miss)
    value, half = told(close, float(embedding @ reference), miss)
    assert half == pytest.approx(best - value, rel=1e-5)
    # A distance: as steep at 0.48, a little inside of the threshold.
    vectors = [0.48 * miss / np.linalg.norm(miss) * s for s in (0.99, 1.01)]
    (near, half_near), (far, half_far) = (told(FACE, float(np.linalg.norm(m)), m) for m in vectors)
    assert half_far - half_near == pytest.approx(near - far, rel=1e-3)


def test_residuals_of_several_objectives_stand_side_by_side() -> None:
    three, nobody = [FACE, HOG, FACE], np.full(3, np.nan, np.float32)
    result = fitness(three, [array([0.5], [0.6], [0.7])] * 3, nobody, np.ones(3, bool))
    missed = {0: np.ones((3, 4), np.float32), 2: np.ones((3, 2), np.float32)}
    found = weighted_residuals(three, result, missed)
    assert found is not None
    assert found.vectors.shape == (3, 6)
    assert weighted_residuals(three, result, {}) is None
