"""One worker, several runs that take turns: networks are loaded once, and nothing else changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from services.recognition import catalog
from services.rendering.views import ViewRanges
from services.shape.catalog import basis_info
from services.storage.open import open_store
from services.storage.store import Store
from services.wire import pin
from services.wire.objects import batch_key, scores_key, write_target
from services.wire.plan import Batch, Plan, Quantity, batch_id, make_plan
from worker import evaluate, machines
from worker.evaluate import Evaluator
from worker.machines import LandmarkPredictor
from worker.passes import CPU_IMAGES
from worker.scorer import Scorer

BASIS = "makehuman-mask-1"
GENES = len(basis_info(BASIS).gene_names)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each machine was loaded, by name."""
    counted: Counter[str] = Counter()
    build = catalog._build

    def counting(name: str, *rest: Any) -> Any:
        counted[name] += 1
        return build(name, *rest)

    class Counted(LandmarkPredictor):
        def __init__(self, *given: Any) -> None:
            counted[self.name] += 1
            super().__init__(*given)

    monkeypatch.setattr(catalog, "_build", counting)
    monkeypatch.setattr(machines, "LandmarkPredictor", Counted)
    return counted


def runs_of(folder: Path, targets: Sequence[int]) -> list[tuple[Store, Plan]]:
    """Runs with the same models, each with a target of its own."""
    runs = []
    for seed in targets:
        run = open_store(folder / f"run-{seed}", write=True)
        person = np.random.default_rng(seed).normal(0, 0.1, (1, 128)).astype(np.float32)
        quantities = (
            Quantity("detect", "dlib-hog"),
            Quantity("identity", "dlib-resnet", write_target(run, person)),
        )
        runs.append((run, make_plan(BASIS, quantities, ViewRanges())))
    return runs


def put(run: Store, plan: Plan, seed: int) -> str:
    """A batch in a run's store; returns its id."""
    heads = np.random.default_rng(seed).normal(0, 0.3, (2, GENES)).astype(np.float32)
    data = Batch(plan, heads, seed, 1).encoded()
    run.create(batch_key(batch_id(data)), data)
    return batch_id(data)


def test_runs_that_take_turns_share_what_is_loaded(tmp_path: Path, loads: Counter[str]) -> None:
    runs = runs_of(tmp_path, (1, 2))
    evaluator = Evaluator("cpu")
    scored = []
    for seed in range(3):
        for run, plan in runs:
            scored.append((run, plan, put(run, plan, seed)))
            assert evaluator.evaluate(run, scored[-1][2]).outcome == "scored"
    assert loads == {"dlib-hog": 1, "dlib-resnet": 1, "dlib-landmarks-5": 1}
    for run, _, batch in scored[-2:]:  # the same bytes as from a worker that serves nobody else
        kept = run.get(scores_key(batch))
        run.delete(scores_key(batch))
        assert Evaluator("cpu").evaluate(run, batch).outcome == "scored"
        assert run.get(scores_key(batch)) == kept


def test_more_runs_than_are_kept_load_no_network_again(
    tmp_path: Path, loads: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "SCORERS_KEPT", 2)
    runs = runs_of(tmp_path, (1, 2, 3))
    evaluator = Evaluator("cpu")
    for seed in range(2):
        for run, plan in runs:
            assert evaluator.evaluate(run, put(run, plan, seed)).outcome == "scored"
    assert set(loads.values()) == {1}
    assert len(evaluator._scorers) == 2  # memory does not grow with the runs that come by


def test_another_network_is_another_machine(tmp_path: Path, loads: Counter[str]) -> None:
    """A half network is not taken for a full one, nor the other way round, and neither is changed."""
    quantities = (Quantity("detect", "dlib-mmod"), Quantity("consistent", "dlib-resnet"))
    plan = make_plan(BASIS, quantities, ViewRanges())
    batch = Batch(plan, np.random.default_rng(3).normal(0, 0.3, (2, GENES)).astype(np.float32), 5, 2)
    half = Plan(**{**vars(plan), "half": True})
    full = Scorer(plan)
    before = full.score(batch).raw
    halved = Scorer(half, loaded=full.machines.held)
    assert loads == {"dlib-mmod": 2, "dlib-resnet": 2}
    assert not set(full.machines.held.values()) & set(halved.machines.held.values())
    np.testing.assert_array_equal(full.score(batch).raw, before)
    both = {**full.machines.held, **halved.machines.held}
    np.testing.assert_array_equal(Scorer(plan, loaded=both).score(batch).raw, before)
    again = Scorer(half, loaded=both)
    np.testing.assert_array_equal(again.score(batch).raw, halved.score(batch).raw)
    assert set(loads.values()) == {2}


def test_who_is_out_of_memory_lets_go_of_what_it_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ((run, plan),) = runs_of(tmp_path, (1,))
    evaluator = Evaluator("cpu")
    assert evaluator.evaluate(run, put(run, plan, 0)).outcome == "scored"

    def full(*_: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(Scorer, "score", full)
        with pytest.raises(MemoryError):
            evaluator.evaluate(run, put(run, plan, 1))
    assert not evaluator._scorers
    assert evaluator.images == CPU_IMAGES
    assert evaluator.evaluate(run, put(run, plan, 1)).outcome == "scored"


def test_what_another_plan_s_networks_take_is_given_to_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one, plan), (other, its_plan) = runs_of(tmp_path, (1, 2))
    evaluator = Evaluator("cpu")
    assert evaluator.evaluate(one, put(one, plan, 0)).outcome == "scored"
    build = Scorer.__init__

    def tight(self: Scorer, *given: Any) -> None:
        if evaluator._scorers:
            raise torch.OutOfMemoryError("CUDA out of memory")
        build(self, *given)

    monkeypatch.setattr(Scorer, "__init__", tight)
    assert evaluator.evaluate(other, put(other, its_plan, 0)).outcome == "scored"
    assert len(evaluator._scorers) == 1


def test_passes_are_smaller_once_memory_was_too_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ((run, plan),) = runs_of(tmp_path, (1,))
    evaluator = Evaluator("cpu")
    evaluator.images = 512
    asked = []
    score = Scorer.score

    def tight(self: Scorer, batch: Batch) -> Any:
        asked.append(self.images)
        if self.images > 128:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return score(self, batch)

    monkeypatch.setattr(Scorer, "score", tight)
    batch = put(run, plan, 0)
    with pytest.raises(torch.OutOfMemoryError):
        evaluator.evaluate(run, batch)
    assert evaluator.evaluate(run, batch).outcome == "scored"
    assert asked == [512, 256, 128]


def test_a_pin_is_read_once_in_a_coordinator_s_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_store(tmp_path / "run", write=True)
    evaluator = Evaluator("cpu")
    reads = []
    pinned = pin.pinned

    def counting(run: Store) -> dict[str, str] | None:
        reads.append(run.url)
        return pinned(run)

    monkeypatch.setattr(pin, "pinned", counting)
    evaluator.join(run, "aa")
    evaluator.join(run, "aa")
    assert len(reads) == 1
    # The run was removed, and one of its name begun anew: by another coordinator, or another life of it.
    run.delete(pin.KEY)
    evaluator.join(run, "bb")
    assert pinned(run) is not None
    run.put(pin.KEY, b'{"device": "other"}')
    with pytest.raises(pin.Refused, match="scores otherwise"):
        evaluator.join(run, "cc")
    with pytest.raises(pin.Refused, match="scores otherwise"):
        evaluator.join(run)  # nobody said that it is the same run
    evaluator.join(open_store(tmp_path / "other", write=True), "bb")
