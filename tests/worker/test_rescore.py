"""A mesh is scored as the search scores a mask."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.recognition.fitness import Objective
from services.rendering.views import ViewRanges, sample_views
from services.shape.basis import load_basis
from services.wire.plan import Batch, Quantity, make_plan
from worker.examination.rescore import Rescorer
from worker.scorer import Scorer

BASIS = load_basis("makehuman-mask-1")
MODEL = "eigenfaces"


def test_several_references_are_combined_as_in_the_search():
    people = np.random.default_rng(1).normal(0, 1, (2, 32)).astype(np.float32)
    ways = ("centroid", "best", "worst")
    genome = np.zeros((1, len(BASIS.gene_names)), np.float32)
    quantities = tuple(Quantity("identity", MODEL, "all", way) for way in ways)
    ranges = ViewRanges()
    plan = make_plan(BASIS.id, quantities, ranges)
    raw = Scorer(plan, {"all": people}).score(Batch(plan, genome, 5, 3)).raw
    objectives = tuple(
        Objective("identity", MODEL, 1.0, 0.0, "all", "distance", 1.0, "mean-min", number=k + 1)
        for k in range(len(ways))
    )
    rescorer = Rescorer(BASIS, objectives, {"all": people}, sample_views(ranges, 3, 5), {}, ways)
    vertices = np.asarray(BASIS.neutral, np.float32)
    said = rescorer.score(vertices, np.asarray(BASIS.triangles, np.int64), vertices)
    distances = raw[:, 0]
    wanted = -(distances.mean(axis=1) + distances.max(axis=1)) / 2
    assert list(said.values.values()) == pytest.approx(wanted.tolist(), rel=1e-3)
    assert wanted[1] > wanted[2]


def test_a_detector_accepts_at_the_threshold_that_its_objective_states():
    usual = Objective("detect", "dlib-hog", 1.0, 0.0)
    vertices, triangles = np.asarray(BASIS.neutral, np.float32), np.asarray(BASIS.triangles, np.int64)
    views = sample_views(ViewRanges(), 3, 5)
    for objective, accepted in ((usual, True), (replace(usual, threshold=9.0), False)):
        said = Rescorer(BASIS, (objective,), {}, views, {}).score(vertices, triangles, vertices)
        assert (said.values["dlib-hog"] > 0) == accepted
        assert said.accepted == {"dlib-hog": float(accepted)}
