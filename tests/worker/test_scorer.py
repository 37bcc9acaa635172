"""The inner loop: what a score depends on, and what it must not depend on."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from coordinator.queue.executor import LocalExecutor
from services.errors import CorruptData, Unavailable
from services.recognition.dlib.audit import audit
from services.recognition.recognize import euclidean_pairs
from services.rendering.views import ViewRanges, sample_views
from services.shape.catalog import basis_info
from services.storage import open_store
from services.wire.messages import Origin
from services.wire.objects import attempts, batch_key, failure_key, last_words, scores_key, write_target
from services.wire.pin import Refused
from services.wire.plan import (
    NOT_FINITE,
    OK,
    Batch,
    Plan,
    Quantity,
    batch_id,
    decode_batch,
    decode_scores,
    failed_scores,
    joined_scores,
    make_plan,
)
from worker.evaluate import Evaluator
from worker.scorer import Scorer, self_distances

GENES = len(basis_info("makehuman-mask-1").gene_names)
QUANTITIES = (
    Quantity("detect", "dlib-hog"),
    Quantity("detect", "dlib-mmod"),
    Quantity("consistent", "dlib-resnet"),
)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan("makehuman-mask-1", QUANTITIES, ViewRanges())


@pytest.fixture(scope="module")
def scorer(plan: Plan) -> Scorer:
    return Scorer(plan)


@pytest.fixture(scope="module")
def genomes() -> np.ndarray:
    genomes = np.random.default_rng(0).normal(0, 1.2, (4, GENES)).astype(np.float32)
    genomes[0] = 0
    return genomes


def test_a_plan_of_an_earlier_version_is_read(plan: Plan) -> None:
    assert Plan.from_meta({**plan.meta(), "slice_size": 4}, "plan") == plan


def test_machines_see_the_neutral_head_and_not_noise(plan: Plan, scorer: Scorer, genomes: np.ndarray) -> None:
    scores = scorer.score(Batch(plan, genomes, view_seed=5, view_count=3))
    assert scores.raw.shape == (3, 4, 3)
    assert (scores.raw[:2, 0] > 0).all()
    assert (scores.raw[:2, 1:].mean(axis=(0, 2)) < 0).all()
    assert scores.raw[2, 0].max() < 0.6 < scores.between[0]
    assert scores.flipped[0] == 0
    assert (scores.flipped[1:] > 0).all()
    assert (scores.status == OK).all()


def test_scores_do_not_depend_on_the_neighbors(plan: Plan, scorer: Scorer, genomes: np.ndarray) -> None:
    together = scorer.score(Batch(plan, genomes, 7, 2)).raw
    for rows in ([2], [3, 1], [1, 0, 2]):
        part = scorer.score(Batch(plan, genomes[rows], 7, 2)).raw
        np.testing.assert_array_equal(part, together[:, rows])


def test_a_genome_that_is_not_finite_gets_a_status_and_the_others_their_scores(
    plan: Plan, scorer: Scorer, genomes: np.ndarray
) -> None:
    broken = genomes.copy()
    broken[1, 3] = np.nan
    fine = scorer.score(Batch(plan, genomes, 7, 2))
    scores = scorer.score(Batch(plan, broken, 7, 2))
    assert scores.status.tolist() == [OK, NOT_FINITE, OK, OK]
    np.testing.assert_array_equal(scores.raw[:2, [0, 2, 3]], fine.raw[:2, [0, 2, 3]])


def test_identity_is_the_distance_to_the_target(genomes: np.ndarray, tmp_path: Path) -> None:
    target = np.random.default_rng(1).normal(0, 0.1, (1, 128)).astype(np.float32)
    key = write_target(open_store(tmp_path, write=True), target)
    plan = make_plan("makehuman-mask-1", (Quantity("identity", "dlib-resnet", key),), ViewRanges())
    near = Scorer(plan, {key: target}).score(Batch(plan, genomes[:1], 5, 2)).raw
    far = Scorer(plan, {key: target + 1}).score(Batch(plan, genomes[:1], 5, 2)).raw
    assert 0 < near.max() < far.min()
    with pytest.raises(CorruptData, match="reference embeddings are missing"):
        Scorer(plan, {})


def test_residuals_lead_to_the_target(genomes: np.ndarray, tmp_path: Path) -> None:
    target = np.random.default_rng(1).normal(0, 0.1, (1, 128)).astype(np.float32)
    key = write_target(open_store(tmp_path, write=True), target)
    quantities = (Quantity("detect", "dlib-hog"), Quantity("identity", "dlib-resnet", key))
    plain = make_plan("makehuman-mask-1", quantities, ViewRanges())
    plan = replace(plain, residuals=True)
    assert plan.digest() != plain.digest()
    batch = Batch(plan, genomes, 5, 1)
    assert decode_batch(batch.encoded(), "batch").plan == plan
    scores = Scorer(plan, {key: target}).score(batch)
    assert list(scores.residuals) == [1]
    assert scores.residuals[1].shape == (4, 128)
    # Under one view the residual is as long as the distance.
    np.testing.assert_allclose(np.linalg.norm(scores.residuals[1], axis=1), scores.raw[1, :, 0], rtol=1e-5)
    again = decode_scores(scores.encoded({}), "scores")
    np.testing.assert_array_equal(again.residuals[1], scores.residuals[1])
    without = Scorer(plain, {key: target}).score(replace(batch, plan=plain))
    assert not without.residuals
    np.testing.assert_array_equal(without.raw, scores.raw)
    joined = joined_scores([scores, failed_scores(plan, 2, 1)])
    np.testing.assert_array_equal(joined.residuals[1][:4], scores.residuals[1])
    assert np.isnan(joined.residuals[1][4:]).all()


def test_self_distances_against_plain_loops() -> None:
    embeddings = torch.from_numpy(np.random.default_rng(2).normal(size=(4, 3, 8)).astype(np.float32))
    usable = torch.tensor([True, True, False, True])
    flat = embeddings.flatten(0, 1)
    within, between = self_distances(euclidean_pairs(flat), 3, usable)
    e = embeddings.numpy()
    distance = np.linalg.norm
    for i in range(4):
        for a in range(3):
            assert within[i, a].item() == pytest.approx(max(distance(e[i, a] - x) for x in e[i]), rel=1e-5)
        others = [j for j in range(4) if j != i and bool(usable[j])]
        across = [max(distance(x - y) for x in e[i] for y in e[j]) for j in others]
        expected = sorted(across)[(len(across) - 1) // 2]
        assert between[i].item() == pytest.approx(expected, rel=1e-5)


def test_a_worker_with_other_hashes_is_refused(plan: Plan) -> None:
    with pytest.raises(Refused, match="makehuman-mask-1"):
        Scorer(replace(plan, basis_sha256="0" * 64))
    with pytest.raises(Refused, match="dlib-hog"):
        Scorer(replace(plan, models={**plan.models, "dlib-hog": "0" * 64}))


def test_a_batch_is_scored_once(plan: Plan, genomes: np.ndarray, tmp_path: Path) -> None:
    run = open_store(tmp_path, write=True)
    data = Batch(plan, genomes, 3, 1).encoded()
    batch = batch_id(data)
    assert batch != batch_id(Batch(plan, genomes, 4, 1).encoded())
    again = decode_batch(data, "again")
    assert again.plan == plan
    np.testing.assert_array_equal(again.genomes, genomes)
    evaluator = Evaluator("cpu")
    assert evaluator.evaluate(run, batch).outcome == "gone"
    run.create(batch_key(batch), data)
    first = evaluator.evaluate(run, batch)
    assert (first.outcome, first.views) == ("scored", 4)
    assert evaluator.evaluate(run, batch).outcome == "known"
    assert decode_scores(run.get(scores_key(batch)), "scores").raw.shape == (3, 4, 1)


@pytest.mark.parametrize("place", ["folder", "bucket"])
def test_damaged_objects_are_named(
    plan: Plan, genomes: np.ndarray, tmp_path: Path, place: str, request: pytest.FixtureRequest
) -> None:
    run = open_store(tmp_path if place == "folder" else request.getfixturevalue("s3_server").url)
    whole = Batch(plan, genomes, 3, 1).encoded()
    flipped = bytearray(whole)
    flipped[-5] ^= 1
    evaluator = Evaluator("cpu")
    for batch, data in {"ab": bytes(flipped), "cd": whole[:-20], "ef": b"", "0123": whole}.items():
        run.create(batch_key(batch), data)
        with pytest.raises(CorruptData, match=rf"{run.url}/batches/{batch}: .*remove it, then run again"):
            evaluator.evaluate(run, batch)
        assert attempts(run, batch) == 0
        assert not run.exists(scores_key(batch))
    run.put(scores_key("ab"), whole[:-20])
    with pytest.raises(CorruptData, match=r"scores/ab: its content does not match .*remove it"):
        decode_scores(run.get(scores_key("ab")), f"{run.url}/{scores_key('ab')}")


def test_a_failing_batch_leaves_its_traceback(plan: Plan, tmp_path: Path) -> None:
    run = open_store(tmp_path, write=True)
    data = Batch(plan, np.zeros((2, GENES + 1), np.float32), 3, 1).encoded()  # one gene too many
    batch = batch_id(data)
    run.create(batch_key(batch), data)
    evaluator = Evaluator("cpu")
    assert [evaluator.evaluate(run, batch).outcome for _ in range(2)] == ["failed", "failed"]
    assert attempts(run, batch) == 2
    assert b"Traceback" in run.get(failure_key(batch, 2))
    assert not run.exists(scores_key(batch))


FAULTS = [
    MemoryError(),
    OSError(errno.ENOSPC, "No space left on device"),
    ImportError("libGL.so.1: cannot open shared object file"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    EOFError("Ran out of input"),  # of no kind that is known, but it meets plain masks as well
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_fault_of_the_machine_counts_against_no_batch(
    plan: Plan, genomes: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    run = open_store(tmp_path, write=True)
    data = Batch(plan, genomes, 3, 1).encoded()
    batch = batch_id(data)
    run.create(batch_key(batch), data)
    evaluator = Evaluator("cpu")

    def broken(*_: object) -> None:
        raise fault

    with monkeypatch.context() as machine:
        machine.setattr(Scorer, "_pass", broken)
        with pytest.raises(type(fault)):
            evaluator.evaluate(run, batch)
        local = LocalExecutor(run, evaluator)
        local.submit(batch, Origin("a batch"))
        with pytest.raises(Unavailable, match=f"this machine cannot do the work .*{type(fault).__name__}"):
            local.wait()
        local.close()
    assert attempts(run, batch) == 0
    assert evaluator.evaluate(run, batch).outcome == "scored"


def test_what_fails_on_one_genome_alone_is_its_batchs_fault(
    plan: Plan, genomes: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = open_store(tmp_path, write=True)
    data = Batch(plan, genomes, 3, 1).encoded()
    batch = batch_id(data)
    run.create(batch_key(batch), data)
    score = Scorer.score

    def fastidious(self: Scorer, batch: Batch) -> object:
        if batch.genomes.any():
            raise ZeroDivisionError("of these genes")
        return score(self, batch)

    monkeypatch.setattr(Scorer, "score", fastidious)
    assert Evaluator("cpu").evaluate(run, batch).outcome == "failed"
    assert last_words(run, batch) == "ZeroDivisionError: of these genes"


def test_a_detected_face_gets_the_audits_distance() -> None:
    """Where HOG sees a face, the search and dlib's whole own pipeline look at the same pixels of it."""
    genomes = np.random.default_rng(2).normal(0, 0.3, (4, GENES)).astype(np.float32)
    target = np.random.default_rng(3).normal(0, 0.12, (1, 128)).astype(np.float32)
    quantities = (Quantity("identity", "dlib-resnet", "t"), Quantity("detect", "dlib-hog"))
    plan = make_plan("makehuman-mask-1", quantities, ViewRanges())
    scorer = Scorer(plan, {"t": target})
    scores = scorer.score(Batch(plan, genomes, 11, 3))
    views = sample_views(plan.ranges, 3, 11)
    vertices = scorer.eye.decoder.decode(torch.from_numpy(genomes))
    rendered = scorer.eye.renderer.render(vertices, views, scorer.eye.decoder.landmark_indices(["nose_tip"]))
    seen = audit(rendered.images.flatten(0, 1).numpy(), target, rendered.box_px.flatten(0, 1).numpy())
    detected = [k for k, view in enumerate(seen) if view.detected]
    assert len(detected) >= 6
    for k in detected:
        assert scores.raw[1].reshape(-1)[k] == pytest.approx(seen[k].hog_score, abs=1e-3)
        assert scores.raw[0].reshape(-1)[k] == pytest.approx(seen[k].distance, abs=2e-3)
