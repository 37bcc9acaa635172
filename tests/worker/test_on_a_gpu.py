"""What a GPU is asked for, on a pretended one: see bench/pretend_cuda.py. A real one takes test_passes.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import datamask
from bench.pretend_cuda import DEVICE, Traffic, pretend_cuda
from services.recognition import own
from services.recognition.catalog import detector, recognizer
from services.rendering.views import ViewRanges
from services.shape.catalog import basis_info
from services.wire.plan import Batch, Plan, Quantity, make_plan
from tests.support.runs import grow
from worker.passes import FIXED_BYTES, IMAGE_BYTES
from worker.scorer import Scorer

BASIS = "makehuman-mask-1"
GENES = len(basis_info(BASIS).gene_names)
QUANTITIES = (
    Quantity("detect", "dlib-hog"),
    Quantity("detect", "dlib-mmod"),
    Quantity("consistent", "dlib-resnet"),
)
VIEWS = 2


@pytest.fixture
def gpu() -> Iterator[Traffic]:
    with pretend_cuda() as traffic:
        yield traffic


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(BASIS, QUANTITIES, ViewRanges(jpeg_quality=(60.0, 90.0)))


def batch_of(plan: Plan, masks: int) -> Batch:
    genomes = np.random.default_rng(3).normal(0, 0.3, (masks, GENES)).astype(np.float32)
    return Batch(plan, genomes, view_seed=5, view_count=VIEWS)


def test_the_pretended_device_is_as_strict_as_a_gpu(gpu: Traffic) -> None:
    here = torch.arange(4.0, device="cuda")
    assert here.device == DEVICE
    assert (here + 1).is_cuda
    with pytest.raises(RuntimeError, match="add of tensors of the device and of the CPU"):
        here + torch.ones(4)
    with pytest.raises(TypeError, match="has to come to the CPU first"):
        here.numpy()
    assert not gpu.waits
    assert not gpu.down
    found = (here > 1).nonzero()[:, 0]
    assert gpu.waits.total() == 1
    assert found.tolist() == [2, 3]
    assert gpu.waits.total() == 2
    here[here > 2] = 0.0
    assert gpu.waits.total() == 3
    back = here.cpu()
    assert back.tolist() == [0.0, 1.0, 2.0, 0.0]
    assert not back.is_cuda
    assert gpu.down.total() == back.nbytes
    torch.ones(3).to("cuda")
    assert gpu.up.total() == 12


def test_memory_is_counted_while_it_is_held(gpu: Traffic) -> None:
    first = torch.zeros(1000, device="cuda")
    view = first[10:]
    del first
    torch.zeros(500, device="cuda")
    assert gpu.peak_bytes == 6000
    del view
    torch.zeros(1200, device="cuda")
    assert gpu.peak_bytes == 6000


def test_a_gpu_says_what_a_cpu_says_and_sends_back_nothing_but_scores(plan: Plan, gpu: Traffic) -> None:
    batch = batch_of(plan, 4)
    scorer = Scorer(plan, device="cuda", images=8)
    gpu.clear()
    said = scorer.score(batch)
    np.testing.assert_allclose(said.raw, Scorer(plan).score(batch).raw, atol=1e-4)
    scores = 4 * (len(QUANTITIES) * VIEWS + VIEWS + 1 + 1)  # raw, coverage, between and flipped of each mask
    assert gpu.down.total() == 4 * scores


def test_larger_passes_are_not_more_steps(plan: Plan, gpu: Traffic) -> None:
    networks = replace(plan, quantities=QUANTITIES[1:])
    found = []
    for masks in (4, 32):
        scorer = Scorer(networks, device="cuda", images=masks * VIEWS)
        gpu.clear()
        scorer.score(batch_of(networks, masks))
        found.append((gpu.operations.total(), gpu.waits.total()))
    (few, waits), (many, more_waits) = found
    assert many < 1.05 * few
    assert more_waits <= waits + 1 < 20
    assert 2 * gpu.peak_bytes < FIXED_BYTES + 32 * VIEWS * IMAGE_BYTES


@pytest.mark.parametrize("name", ["yunet", "centerface", "blazeface-full", "blazeface-short"])
def test_window_detectors_make_a_gpu_wait_for_nothing(gpu: Traffic, name: str) -> None:
    images = torch.randint(0, 256, (5, 160, 160, 3), dtype=torch.uint8)
    regions = torch.tensor([[20.0, 20.0, 140.0, 140.0]]).expand(5, 4)
    here, there = detector(name), detector(name, "cuda")
    there.score(images.to("cuda"), regions.to("cuda"))  # uploads what stays
    pictures, where = images.to("cuda"), regions.to("cuda")
    gpu.clear()
    found = there.score(pictures, where)
    assert not gpu.waits
    assert not gpu.up
    assert not gpu.down
    torch.testing.assert_close(found.score.cpu(), here.score(images, regions).score, atol=1e-5, rtol=0)


def test_the_cascade_of_networks_says_on_a_gpu_what_it_says_on_a_cpu(gpu: Traffic) -> None:
    images = torch.randint(0, 256, (3, 160, 160, 3), dtype=torch.uint8)
    found = detector("mtcnn", "cuda").score(images.to("cuda"))
    assert found.score.is_cuda
    torch.testing.assert_close(found.score.cpu(), detector("mtcnn").score(images).score, atol=1e-4, rtol=0)


@pytest.mark.parametrize("gives", ["scores", "embeddings"])
def test_a_machine_of_one_s_own_is_asked_about_as_many_pictures_as_on_a_cpu(
    gpu: Traffic, gives: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own, "_ADDED", {})
    asked: list[int] = []

    def brightness(images: np.ndarray) -> np.ndarray:
        asked.append(len(images))
        return images.mean(axis=(1, 2)) if gives == "embeddings" else images.mean(axis=(1, 2, 3))

    name = own.add("brightness", own.Machine(brightness, gives=gives, threshold=100.0))
    images = torch.randint(0, 256, (60, 8, 8, 3), dtype=torch.uint8)
    found = []
    for device in ("cpu", "cuda"):
        if gives == "scores":
            found.append(detector(name, device).score(images.to(device)).score.cpu())
        else:
            found.append(recognizer(name, device).embed(images.to(device), torch.zeros(60, 0, 2)).cpu())
    torch.testing.assert_close(*found, atol=0, rtol=0)
    assert asked == [60, 24, 24, 12]


def test_one_mask_is_looked_at_in_one_pass(
    gpu: Traffic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = datamask.open(grow(tmp_path).record.url).elites[0]
    passes: list[int] = []
    honest = Scorer._pass

    def counting(self: Scorer, genomes: np.ndarray, *others: Any, **more: Any) -> Any:
        passes.append(len(genomes))
        return honest(self, genomes, *others, **more)

    monkeypatch.setattr(Scorer, "_pass", counting)
    monkeypatch.setattr("worker.fingerprint.pick_device", lambda: "cuda")
    assert mask.scores(["yunet"], views=8)["yunet"].raw.shape == (8,)
    assert passes == [8]  # 64 pictures, and no probe
