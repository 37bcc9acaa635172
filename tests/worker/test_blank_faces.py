"""Machines that align faces, on masks without sites: a detector says where, or there is no face."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from services.recognition import catalog, template
from services.recognition.dlib import alignment
from services.recognition.fitness import CONSISTENT_FLOOR, Objective, fitness
from services.recognition.margins import consistency_margin, floor_answer, margin
from services.rendering.views import ViewRanges, frontal_view, sample_views
from services.shape.basis import load_basis
from services.shape.catalog import basis_info
from services.storage import open_store
from services.wire.plan import OK, Batch, Quantity, make_plan
from worker.examination.panel import Panel
from worker.examination.rescore import Rescorer
from worker.examination.verify import Claim, verify
from worker.eye import Eye
from worker.scorer import Scorer, floored, self_distances

BLANK = "blank-oval-1"
HEAD = "makehuman-mask-1"
GENES = len(basis_info(BLANK).gene_names)
SMALL = ViewRanges(size_px=96)
TARGET = np.random.default_rng(1).normal(0, 0.1, (1, 128)).astype(np.float32)


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1.0, (count, GENES)).astype(np.float32)


def test_what_the_catalog_says_of_landmarks_is_what_machines_do() -> None:
    names = {"eye corners": alignment.POINT_NAMES, "five points": template.POINT_NAMES}
    for info in catalog.models():
        if info.aligns_by is not None and catalog.installed(info):
            build = catalog.recognizer if info.kind == "recognize" else catalog.correlator
            assert build(info.name).points == names[info.aligns_by], info.name
        if info.kind == "detect" and catalog.installed(info):
            seen = catalog.detector(info.name).score(torch.zeros((1, 96, 96, 3), dtype=torch.uint8))
            assert (seen.points_px is not None) == (info.finds == "five points"), info.name


def test_a_view_without_a_face_counts_at_the_floor_and_seeing_one_costs_nothing() -> None:
    quantities = (
        Quantity("detect", "dlib-hog"),
        Quantity("identity", "dlib-resnet", "t", threshold=0.5, scale=0.2),
        Quantity("consistent", "dlib-resnet"),
        Quantity("identity", "lbp", "l"),
    )
    plan = make_plan(BLANK, quantities, SMALL)
    targets = {"t": TARGET, "l": np.ones((1, 2891), np.float32)}
    scores = Scorer(plan, targets).score(Batch(plan, noise(3), 5, 2))
    assert (scores.status == OK).all()
    assert np.isfinite(scores.raw).all()
    assert scores.raw[1] == pytest.approx(0.5 + 3 * 0.2)  # nobody sees noise
    assert scores.raw[2] == pytest.approx(0.6 + 3 * 0.1)
    assert np.isnan(scores.between).all()
    info = catalog.model_info("dlib-resnet")
    said = floored(quantities[1], info, torch.tensor([[torch.nan, 0.4, 2.0]]))
    assert said[0].tolist() == pytest.approx([1.1, 0.4, 1.1])


@pytest.mark.parametrize("measure", ["distance", "similarity", "score"])
def test_the_floor_is_the_scales_end_in_every_measure(measure) -> None:
    answer = np.float32(floor_answer(0.4, measure, 0.2))
    assert margin(answer, 0.4, measure, 0.2) == pytest.approx(CONSISTENT_FLOOR, abs=1e-5)
    objective = Objective("identity", "m", 1.0, 0.4, "t", measure, 0.2, gate=True)
    value = fitness([objective], [np.full((1, 2), answer)], np.zeros(1, np.float32), np.ones(1, bool)).values
    assert value[0, 0] == pytest.approx(CONSISTENT_FLOOR, abs=1e-5)


def test_views_without_a_face_are_compared_with_nothing() -> None:
    two = np.full((6, 6), 0.3, np.float32)  # three masks in two views
    two[2] = two[:, 2] = np.nan  # the second mask is seen in one view, the third in none
    two[4:] = two[:, 4:] = np.nan
    np.fill_diagonal(two[:4, :4], [0.0, 0.0, np.nan, 0.0])
    within, between = self_distances(torch.from_numpy(two), 2, torch.ones(3, dtype=torch.bool))
    np.testing.assert_allclose(within, [[0.3, 0.3], [np.nan] * 2, [np.nan] * 2])
    np.testing.assert_allclose(between, [0.3, 0.3, np.nan])
    unseen = floored(Quantity("consistent", "dlib-resnet"), catalog.model_info("dlib-resnet"), within)
    assert consistency_margin(unseen.numpy(), between.numpy(), 0.6)[2].tolist() == pytest.approx([-3.0, -3.0])


class _Sees:
    """A detector in whose eyes every face lies in the middle of the picture."""

    name = "yunet"

    def score(self, images, regions=None):
        from services.recognition.detect import Detections

        size = images.shape[1]
        points = torch.tensor(template.TEMPLATE).float() * (0.5 * size / 112) + size / 4
        count = len(images)
        score = torch.linspace(1.0, 0.0, count) if count > 1 else torch.ones(1)
        return Detections(score, torch.zeros(count, 4), points.expand(count, 5, 2))


def test_five_points_are_those_of_the_detector_that_sees_a_face() -> None:
    quantities = (Quantity("detect", "yunet"), Quantity("identity", "lbp", "l"))
    plan = make_plan(BLANK, quantities, SMALL)
    scorer = Scorer(plan, {"l": np.ones((1, 2891), np.float32)})
    scorer.machines.detectors["yunet"] = _Sees()
    genomes = noise(2)
    scores = scorer.score(Batch(plan, genomes, 5, 2))
    floor = floor_answer(catalog.model_info("lbp").threshold, "distance", catalog.model_info("lbp").scale)
    assert scores.raw[1].reshape(-1)[1:] == pytest.approx(floor)
    _, seen = scorer.eye.every(genomes, sample_views(SMALL, 2, 5))
    images = seen.images.flatten(0, 1)[:1]
    lbp = catalog.recognizer("lbp")
    own = lbp.compare(lbp.embed(images, _Sees().score(images).points_px), torch.ones(2891))
    assert scores.raw[1].reshape(-1)[0] == pytest.approx(min(float(own), floor))


def test_a_solid_of_a_blank_is_scored_as_the_search_scores_the_mask() -> None:
    basis, genome = load_basis(BLANK), np.zeros((1, GENES), np.float32)
    quantities = (
        Quantity("together", "dlib-hog"),
        Quantity("together", "yunet"),
        Quantity("identity", "dlib-resnet", "t"),
        Quantity("correlate", "otsdf", "f"),
    )
    targets = {"t": TARGET, "f": np.zeros((1, 56, 56), np.float32)}
    plan = make_plan(BLANK, quantities, SMALL)
    raw = Scorer(plan, targets).score(Batch(plan, genome, 5, 2)).raw
    infos = [catalog.model_info(q.model) for q in quantities]
    objectives = tuple(
        Objective(q.kind, q.model, 1.0, i.threshold, q.target, i.measure, i.scale)
        for q, i in zip(quantities, infos, strict=True)
    )
    made = fitness(objectives, list(raw), np.full(1, np.nan, np.float32), np.ones(1, bool))
    rescorer = Rescorer(basis, objectives, targets, sample_views(SMALL, 2, 5), {})
    vertices = np.asarray(basis.neutral, np.float32)
    said = rescorer.score(vertices, np.asarray(basis.triangles, np.int64), vertices)
    assert list(said.values.values()) == pytest.approx(made.values[0].tolist(), abs=2e-3)
    assert made.values[0, 2:].tolist() == pytest.approx([CONSISTENT_FLOOR] * 2, abs=1e-4)


def test_a_panel_aligns_a_blank_by_a_detector_and_its_people_are_heads() -> None:
    panel = Panel(BLANK, ["dlib-resnet", "lbp", "otsdf"], {}, "cpu")
    pictures = panel.look(noise(2), sample_views(SMALL, 2, 1))
    answers = panel.ask(pictures)
    assert not answers.faces["otsdf"].any()
    assert np.isnan(answers.embeddings["lbp"]).all()
    assert np.isnan(panel.embed(panel.recognizers["dlib-resnet"], pictures, np.ones(2, bool))).all()
    heads = panel.of_heads
    assert heads is not panel
    genes = len(basis_info(HEAD).gene_names)
    face = heads.look(np.zeros((1, genes), np.float32), frontal_view(160))
    assert np.isfinite(heads.embed(heads.recognizers["lbp"], face, np.ones(1, bool))).all()
    # A blank's machines see that head, too, where a detector says that it is one.
    nowhere = replace(face, points_px=face.points_px[:, :0])
    assert np.isfinite(panel.embed(panel.recognizers["lbp"], nowhere, np.ones(1, bool))).all()
    assert np.isfinite(panel.embed(panel.recognizers["dlib-resnet"], nowhere, np.ones(1, bool))).all()
    assert Panel(HEAD, ["lbp"], {}, "cpu").of_heads.eye.basis.id == HEAD


def test_a_blank_is_verified_among_heads_and_without_a_face_nothing_is_compared(tmp_path) -> None:
    elites = [("i00-g0001-001", noise(1)[0])]
    claim = Claim(BLANK, elites, SMALL, 1.0, 3, ("dlib-hog", "dlib-resnet"), ("lbp", "otsdf"))
    found = verify(open_store(tmp_path), claim, 2, 10)
    assert found["impostors"] == f"random heads of {HEAD}"
    assert found["identification"]["enrolled"] == 10
    compared = {row["compared"] for row in found["rows"] if row["what"] != "detect"}
    assert compared == {0}
    assert not any("another alignment" in warning for warning in found["warnings"])


def test_eyes_of_a_blank_have_no_points_of_their_own() -> None:
    eye = Eye(BLANK, [catalog.recognizer("lbp")])
    seen = eye.each(noise(1), frontal_view(96))
    assert seen.points_px.shape == (1, 0, 2)
    assert torch.isnan(eye.points_by_names(seen.points_px)[template.POINT_NAMES]).all()
