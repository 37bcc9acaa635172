"""How many pictures a pass takes, and that a run's first scorer decides for all in which shapes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from services.rendering.views import ViewRanges
from services.shape.catalog import basis_info
from services.storage import open_store
from services.storage.codec import decode
from services.wire import pin
from services.wire.objects import batch_key, scores_key
from services.wire.plan import Batch, Plan, Quantity, batch_id, decode_batch, make_plan
from worker import scorer
from worker.evaluate import Evaluator
from worker.fingerprint import fingerprint, passes
from worker.passes import (
    CPU_IMAGES,
    FIXED_BYTES,
    IMAGE_BYTES,
    MOST,
    fitting,
    masks_a_pass,
    parts,
    pass_images,
    shapes_within,
)
from worker.scorer import Scorer

GENES = len(basis_info("makehuman-mask-1").gene_names)
NETWORKS = (Quantity("detect", "dlib-mmod"), Quantity("consistent", "dlib-resnet"))


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan("makehuman-mask-1", NETWORKS, ViewRanges())


def heads(count: int) -> np.ndarray:
    return np.random.default_rng(3).normal(0, 0.3, (count, GENES)).astype(np.float32)


def test_a_gpu_takes_what_its_memory_holds_in_powers_of_two() -> None:
    gib = 1 << 30
    sizes = [fitting(free) for free in (0, gib, 2 * gib, 4 * gib, 10 * gib, 80 * gib)]
    assert sizes == [64, 64, 256, 1024, MOST, MOST]
    for images in (128, 512, MOST):
        assert fitting(FIXED_BYTES + images * IMAGE_BYTES) == images
        assert fitting(FIXED_BYTES + images * IMAGE_BYTES - 1) == images // 2
    assert pass_images("cpu") == CPU_IMAGES


def test_a_pass_has_the_smallest_shape_that_holds_what_is_wanted() -> None:
    assert masks_a_pass(CPU_IMAGES, 3, 160, 100) == 8
    assert masks_a_pass(CPU_IMAGES, 3, 160, 2) == 8  # filled up: on a CPU every pass has one size
    assert masks_a_pass(CPU_IMAGES, 100, 640, 100) == 1
    assert masks_a_pass(1024, 4, 160, 1000) == 256
    assert masks_a_pass(1024, 4, 320, 1000) == 64  # pictures of four times the size
    assert masks_a_pass(1024, 4, 160, 18) == 32
    assert masks_a_pass(64, 100, 640, 18) == 1
    assert shapes_within(300) == (64, 128, 256)
    assert shapes_within(8) == (8,)


def test_parts_are_larger_on_a_gpu() -> None:
    assert parts(30, "cpu") == [slice(0, 24), slice(24, 48)]
    assert parts(300, "cuda:1") == [slice(0, 256), slice(256, 512)]
    assert parts(0, "cpu") == []


def test_a_pass_of_another_size_says_the_same(plan: Plan) -> None:
    batch = Batch(plan, heads(4), view_seed=5, view_count=2)
    usual, large = (Scorer(plan, images=images).score(batch) for images in (None, 48))
    np.testing.assert_allclose(large.raw, usual.raw, atol=1e-4)


def test_a_run_s_first_scorer_decides_for_all(tmp_path: Path) -> None:
    run = open_store(tmp_path / "run", write=True)
    here = fingerprint("cpu")
    pin.join(run, here)
    pin.join(run, here)
    assert pin.pinned(run) == here
    with pytest.raises(pin.Refused, match=f"torch: the run has {here['torch']}, this scorer has 3"):
        pin.join(run, {**here, "torch": "3"})
    with pytest.raises(pin.Refused, match="passes: the run has 16 rows, this scorer has 8 rows"):
        pin.join(run, {**here, "passes": "8 rows"})
    anybody = open_store(tmp_path / "anybody", write=True)
    pin.pin(anybody, pin.ANY)
    pin.join(anybody, here)


def test_a_run_of_before_goes_on_where_its_bits_are_known(tmp_path: Path) -> None:
    here = fingerprint("cpu")
    old = {name: value for name, value in here.items() if name != "passes"}
    on_a_cpu = open_store(tmp_path / "cpu", write=True)
    pin.pin(on_a_cpu, {**old, "micro_images": "24"})
    pin.join(on_a_cpu, here)
    on_a_gpu = open_store(tmp_path / "gpu", write=True)
    pin.pin(on_a_gpu, {**old, "device": "cuda", "micro_images": "512"})
    with pytest.raises(pin.Refused, match="passes: the run has whole batches of up to 512 pictures, this"):
        pin.join(on_a_gpu, {**here, "device": "cuda", "passes": passes(True, 64)})


def test_a_gpu_s_libraries_are_pinned_and_a_run_of_before_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91301)
    here = fingerprint("cuda")
    assert set(here) - set(fingerprint("cpu")) == {"cuda", "cudnn", "matmul"}
    new, old = (open_store(tmp_path / name, write=True) for name in ("new", "old"))
    pin.join(new, here)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    with pytest.raises(pin.Refused, match=r"first: cuda: the run has 13\.0, this scorer has 12\.8; use"):
        pin.join(new, fingerprint("cuda"))
    pin.pin(old, {name: here[name] for name in fingerprint("cpu")})
    pin.join(old, fingerprint("cuda"))


def test_scores_say_who_gave_them(plan: Plan, tmp_path: Path) -> None:
    run = open_store(tmp_path, write=True)
    data = Batch(plan, heads(2), 3, 1).encoded()
    run.create(batch_key(batch_id(data)), data)
    assert Evaluator("cpu").evaluate(run, batch_id(data)).outcome == "scored"
    meta = decode(run.get(scores_key(batch_id(data))), "scores").meta
    assert meta["fingerprint"] == fingerprint("cpu")


def test_half_precision_says_nearly_the_same_and_is_asked_first(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = replace(plan, half=True)
    assert half.digest() != plan.digest()
    batch = Batch(half, heads(2), view_seed=5, view_count=2)
    assert decode_batch(batch.encoded(), "batch").plan == half
    full = Scorer(plan).score(replace(batch, plan=plan))
    halved = Scorer(half)
    said = halved.score(batch)
    assert not np.array_equal(said.raw, full.raw)
    np.testing.assert_allclose(said.raw[0], full.raw[0], atol=0.05)  # a score of MMOD's
    np.testing.assert_allclose(said.raw[1], full.raw[1], atol=0.005)  # a distance
    monkeypatch.setattr(scorer, "HALF_TOLERANCE", 1e-5)
    with pytest.raises(pin.Refused, match=r'dlib-mmod: \[run\] precision = "half" moves its answers by 0\.0'):
        Scorer(half)
    run = open_store(tmp_path, write=True)
    run.create(batch_key(batch_id(batch.encoded())), batch.encoded())
    with pytest.raises(pin.Refused, match=r"half.* is for GPUs"):
        Evaluator("cpu").evaluate(run, batch_id(batch.encoded()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_a_full_pass_fits_and_half_precision_agrees(plan: Plan) -> None:
    images = pass_images("cuda")
    assert images & (images - 1) == 0
    many = Batch(plan, heads(images // 2), view_seed=5, view_count=2)
    full = Scorer(plan, device="cuda", images=images).score(many)
    half = replace(plan, half=True)
    said = Scorer(half, device="cuda", images=images).score(replace(many, plan=half))
    np.testing.assert_allclose(said.raw[0], full.raw[0], atol=0.05)
    np.testing.assert_allclose(said.raw[1], full.raw[1], atol=0.01)
    few = Batch(plan, many.genomes[:4], view_seed=5, view_count=2)
    on_cpu = Scorer(plan).score(few)
    # "consistent" is the distance to a mask's own views alone, so that neighbors do not matter.
    np.testing.assert_allclose(on_cpu.raw, full.raw[:, :4], atol=0.02)
