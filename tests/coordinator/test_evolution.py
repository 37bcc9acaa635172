"""The promises of a run: one spec and one seed, one end, whatever happens on the way."""

from __future__ import annotations

import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from coordinator.queue.executor import Finished, LocalExecutor
from coordinator.record.chronicle import Chronicle
from coordinator.record.rankings import Rankings
from coordinator.record.record import Record, checkpoint_key
from coordinator.run import Opened, evolve_run, free_name, open_run
from coordinator.search.elites import best_of_each_start, choose_elites
from coordinator.search.evolution import Evolution
from coordinator.spec.spec import parse_spec
from services.errors import BadInput, CorruptData, DatamaskError
from services.storage import Store, open_store
from services.wire.mask import Mask, decode_masks, encode_masks
from services.wire.messages import Origin
from services.wire.objects import batch_key, record_failure, scores_key
from services.wire.plan import INVISIBLE, Batch, decode_batch, failed_scores
from worker.evaluate import Evaluator, Summary

SPEC = """
name = "small"
seed = 3
[search]
islands = 2
population = 6
generations = 4
optimizers = ["sep-cma", "genetic"]
[migration]
every = 2
count = 1
[views]
count = 2
size_px = 112
field_mm = [180, 200]
[elites]
count = 2
ranking_views = 2
[verify]
views = 2
[[objective]]
kind = "detect"
model = "dlib-hog"
[[objective]]
kind = "consistent"
model = "dlib-resnet"
weight = 0.5
"""


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    return Evaluator("cpu")


def opened(folder: Path, name: str = "run", **changes: object) -> Opened:
    import tomllib

    table = tomllib.loads(SPEC)
    for key, value in changes.items():
        part, _, field = key.partition("__")
        table[part] = {**table[part], field: value} if field else value
    return open_run(parse_spec(table, "spec"), Record(open_store(folder, write=True).sub(name)), resume=True)


def checkpoints(store: Store) -> dict[str, bytes]:
    keys = [key for key in store.list() if key.startswith(("checkpoints/", "evaluations/"))]
    return {key: store.get(key) for key in keys}


def evolved(run: Opened, executor: object) -> Evolution:
    try:
        return evolve_run(run, executor, [], lambda evolution: None)  # type: ignore[arg-type]
    finally:
        run.record.close()


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, evaluator: Evaluator) -> tuple[Opened, Evolution]:
    run = opened(tmp_path_factory.mktemp("reference"))
    return run, evolved(run, LocalExecutor(run.record.store, evaluator))


def test_the_record_tells_how_masks_were_ranked(reference):
    run, evolution = reference
    rankings = Rankings(run.record).until(run.record.head())
    assert sorted(rankings) == list(range(evolution.epochs))
    ranked = {mask.id: mask for ranking in rankings.values() for mask in ranking.masks}
    for elite in evolution.elites():
        assert ranked[elite.id].fitness == pytest.approx(elite.fitness, abs=1e-6)
        np.testing.assert_allclose(ranked[elite.id].values, elite.values, atol=1e-6)
    # What the page counts is what was scored.
    counted = Chronicle(run.record).plan().facts["views_scored"]
    assert counted == evolution.scored_views


class Shuffled(LocalExecutor):
    """Scores whatever is waiting in a random order, as a cluster would."""

    def __init__(self, run: Store, evaluator: Evaluator, seed: int) -> None:
        super().__init__(run, evaluator)
        self._random = random.Random(seed)

    def wait(self) -> Finished:
        self._random.shuffle(self._waiting)  # type: ignore[arg-type]
        return super().wait()


@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_of_arrival_changes_no_byte(
    reference: tuple[Opened, Evolution], evaluator: Evaluator, tmp_path: Path, seed: int
) -> None:
    run = opened(tmp_path, name=f"other-{seed}")
    evolved(run, Shuffled(run.record.store, evaluator, seed))
    assert checkpoints(run.record.store) == checkpoints(reference[0].record.store)


def test_a_batch_that_somebody_removes_is_written_again(
    reference: tuple[Opened, Evolution], evaluator: Evaluator, tmp_path: Path
) -> None:
    class Robbed(LocalExecutor):
        """Others take the first batches away before they can be read."""

        left = 5

        class Evaluator:
            def __init__(self, executor: Robbed) -> None:
                self._executor = executor

            room = 0

            def join(self, run: Store) -> None:
                evaluator.join(run)

            def evaluate(self, run: Store, name: str) -> Summary:
                if self._executor.left > 0:
                    self._executor.left -= 1
                    run.delete_many([batch_key(name)])
                return evaluator.evaluate(run, name)

        def __init__(self, run: Store) -> None:
            super().__init__(run, self.Evaluator(self))  # type: ignore[arg-type]

    run = opened(tmp_path, name="robbed")
    evolved(run, Robbed(run.record.store))
    assert checkpoints(run.record.store) == checkpoints(reference[0].record.store)


class Pulled(LocalExecutor):
    """The plug is pulled after some batches."""

    left = 6

    def wait(self) -> Finished:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().wait()


class PulledLater(Pulled):
    left = 12


def test_a_run_with_an_archive_resumes_to_the_same_bytes(evaluator: Evaluator, tmp_path: Path) -> None:
    kinds = {"search__optimizers": ["map-elites", "genetic"], "archive": True, "mask": {"abstraction": 0.5}}
    whole = opened(tmp_path, name="whole", **kinds)
    evolution = evolved(whole, LocalExecutor(whole.record.store, evaluator))
    broken = opened(tmp_path, name="broken", **kinds)
    with pytest.raises(KeyboardInterrupt):
        evolved(broken, Pulled(broken.record.store, evaluator))
    assert broken.record.head().epoch == 0  # it got past the first checkpoint, not to the last
    assert broken.record.head().parts
    again = opened(tmp_path, name="broken", **kinds)
    evolved(again, LocalExecutor(again.record.store, evaluator))
    assert checkpoints(again.record.store) == checkpoints(whole.record.store)
    head = whole.record.head()
    assert checkpoint_key(1, "archive.parquet") in head.parts
    assert evolution.archive is not None
    assert len(evolution.archive.kept) > 1


def test_a_search_that_is_told_residuals_resumes_to_the_same_bytes(
    evaluator: Evaluator, tmp_path: Path
) -> None:
    face = {"kind": "identity", "model": "dlib-resnet", "images": ["skimage:astronaut"]}
    kinds = {
        "search__optimizers": ["gauss-newton", "sep-cma"],
        "search__symmetric": True,
        "search__batch": 4,  # several batches a generation
        "objective": [face, {"kind": "detect", "model": "dlib-hog"}],
        "consent": {"subject": "x", "granted_by": "nobody", "purpose": "a test"},
    }
    whole = opened(tmp_path, name="whole", **kinds)
    evolved(whole, Shuffled(whole.record.store, evaluator, 5))
    broken = opened(tmp_path, name="broken", **kinds)
    assert broken.plan.residuals
    with pytest.raises(KeyboardInterrupt):
        evolved(broken, PulledLater(broken.record.store, evaluator))
    assert broken.record.head().epoch == 0
    again = opened(tmp_path, name="broken", **kinds)
    evolved(again, LocalExecutor(again.record.store, evaluator))
    assert checkpoints(again.record.store) == checkpoints(whole.record.store)


def test_another_seed_is_another_run(
    reference: tuple[Opened, Evolution], evaluator: Evaluator, tmp_path: Path
) -> None:
    run = opened(tmp_path, seed=4)
    evolved(run, LocalExecutor(run.record.store, evaluator))
    ours, theirs = checkpoints(run.record.store), checkpoints(reference[0].record.store)
    assert ours.keys() == theirs.keys()
    assert all(ours[key] != theirs[key] for key in ours)


def test_the_record_lists_every_scored_genome(reference: tuple[Opened, Evolution]) -> None:
    record = reference[0].record
    head = record.head()
    assert head.epoch == 1
    tables = [pd.read_parquet(io.BytesIO(record.part(k, h))) for k, h in sorted(head.evaluations.items())]
    table = pd.concat(tables)
    assert len(table) == 2 * 6 * 4
    assert table["id"].is_unique
    assert table["id"].iloc[0] == "i00-g0000-000"
    assert set(table["status"]) == {"ok"}
    assert all(len(g) == 138 for g in table["genome"])
    assert all(len(s) == 2 for s in table["scores dlib-hog"])
    scores = np.stack(table["scores dlib-hog"].to_list())
    np.testing.assert_allclose(
        table["value dlib-hog"], 0.5 * scores.mean(1) + 0.5 * scores.min(1), rtol=1e-5, atol=1e-6
    )


def test_parents_lead_back_to_noise_and_across_islands(reference: tuple[Opened, Evolution]) -> None:
    record = reference[0].record
    table = pd.concat(
        [pd.read_parquet(io.BytesIO(record.part(k, h))) for k, h in record.head().evaluations.items()]
    )
    ids = set(table["id"])
    first = table[table["generation"] == 0]
    assert all(len(p) == 0 for p in first["parents"])
    genetic = table[(table["island"] == 1) & (table["generation"] == 1)]
    assert all(set(p) <= ids and 1 <= len(p) <= 2 for p in genetic["parents"])
    cma = table[(table["island"] == 0) & (table["generation"] == 1)]
    assert all(list(p) == ["i00-g0000"] for p in cma["parents"])
    arrived = table[(table["island"] == 0) & (table["generation"] == 2)]
    assert any(len(p) == 1 and p[0].startswith("i01-") for p in arrived["parents"])


def test_covered_batches_are_removed(reference: tuple[Opened, Evolution]) -> None:
    keys = reference[0].record.store.list()
    assert not [key for key in keys if key.startswith(("batches/", "scores/", "failures/"))]


def test_elites_are_ranked_on_one_view_set_and_come_from_every_island(
    reference: tuple[Opened, Evolution],
) -> None:
    run, evolution = reference
    elites = evolution.elites()
    assert [e.fitness for e in elites] == sorted((e.fitness for e in elites), reverse=True)
    assert {e.island for e in elites} == {0, 1}
    head = run.record.head()
    key = checkpoint_key(head.epoch, "elites")
    kept = decode_masks(run.record.part(key, head.parts[key]), key)
    assert [k.id for k in choose_elites(kept, 2)] == [e.id for e in elites]


def test_choosing_elites_prefers_other_islands_and_drops_equals() -> None:
    def ranked(name: str, island: int, fitness: float, gene: float) -> Mask:
        return Mask(name, island, 0, np.full(2, gene, np.float32), fitness, np.zeros(1, np.float32), 0.0)

    masks = [ranked("a", 0, 3.0, 1), ranked("b", 0, 2.5, 2), ranked("c", 0, 2.4, 2), ranked("d", 1, 1.0, 3)]
    assert [m.id for m in best_of_each_start(masks, 2)] == ["a", "b", "d"]
    assert [m.id for m in choose_elites(masks, 2)] == ["a", "d"]
    assert [m.id for m in choose_elites(masks, 3)] == ["a", "b", "d"]
    # A search that began anew on an island shows another face as soon as it has one.
    later = ranked("e", 0, 0.5, 4)
    arrived = replace(later, start=10, values=np.ones(1, np.float32))
    assert [m.id for m in choose_elites([*masks, arrived], 3)] == ["a", "d", "e"]
    assert [m.id for m in choose_elites([*masks, replace(later, start=10)], 3)] == ["a", "b", "d"]
    assert [m.id for m in best_of_each_start([*masks, arrived], 1)] == ["a", "d", "e"]
    assert decode_masks(encode_masks([*masks, arrived]), "test")[-1].start == 10


def test_a_mask_that_migrated_as_it_is_is_shown_once() -> None:
    def ranked(name: str, island: int, generation: int, fitness: float, gene: float) -> Mask:
        genome = np.full(2, gene, np.float32)
        return Mask(name, island, generation, genome, fitness, np.zeros(1, np.float32), 0.0)

    born, came = ranked("b", 1, 3, 2.0, 1), ranked("a", 0, 5, 2.0, 1)
    other = ranked("c", 0, 4, 1.0, 2)
    assert [m.id for m in choose_elites([came, other, born], 3)] == ["b", "c"]
    assert [m.id for m in choose_elites([replace(came, pinned=True), other, born], 3)] == ["a", "c"]


class Poisoned(Evaluator):
    """Fails on one batch, every time."""

    victim: str | None = None

    def evaluate(self, run: Store, batch: str) -> Summary:
        if self.victim is None:
            self.victim = batch
        if batch == self.victim:
            record_failure(run, batch, "Traceback: it always fails")
            return Summary(batch, "failed")
        return super().evaluate(run, batch)


def test_a_batch_that_keeps_failing_is_set_aside_and_the_run_ends(tmp_path: Path) -> None:
    run = opened(tmp_path, search__generations=2)
    poisoned = Poisoned("cpu")
    evolution = evolved(run, LocalExecutor(run.record.store, poisoned))
    assert evolution.set_aside == [poisoned.victim]
    assert len(run.record.store.list(f"failures/{poisoned.victim}/")) == 3
    record = run.record
    table = pd.concat(
        [pd.read_parquet(io.BytesIO(record.part(k, h))) for k, h in record.head().evaluations.items()]
    )
    assert (table["status"] == "failed").sum() == 6
    assert np.isneginf(table.loc[table["status"] == "failed", "fitness"]).all()

    lost = table[table["status"] == "failed"]
    for column in ("flipped", "value dlib-hog", "value consistent:dlib-resnet", "scores dlib-hog"):
        assert lost[column].isna().all(), column
        assert table.loc[table["status"] == "ok", column].notna().all(), column
    elites = evolution.elites()
    assert elites
    assert not {elite.id for elite in elites} & set(lost["id"])


class Cursed(Evaluator):
    """Fails on every batch of its generations, after so many others."""

    left = 8

    def evaluate(self, run: Store, batch: str) -> Summary:
        if run.exists(scores_key(batch)):
            return Summary(batch, "known")
        self.left -= 1
        if self.left < 0:
            record_failure(run, batch, "Traceback:\n  somewhere\nValueError: of whatever kind\n")
            return Summary(batch, "failed")
        return super().evaluate(run, batch)


@pytest.mark.parametrize(
    ("left", "moment"), [(0, "generation 0"), (4, "ranking after epoch 0"), (8, "generation 3")]
)
def test_a_run_stops_where_every_batch_of_a_generation_fails_and_goes_on_once_mended(
    reference: tuple[Opened, Evolution], evaluator: Evaluator, tmp_path: Path, left: int, moment: str
) -> None:
    run = opened(tmp_path)
    cursed = Cursed("cpu")
    cursed.left = left
    with pytest.raises(
        DatamaskError, match=rf"every batch of {moment} failed; .*ValueError: of whatever kind; .*show"
    ) as caught:
        evolved(run, LocalExecutor(run.record.store, cursed))
    assert not isinstance(caught.value, BadInput)
    assert run.record.store.list("failures/")
    again = opened(tmp_path)
    evolved(again, LocalExecutor(again.record.store, evaluator))
    assert checkpoints(again.record.store) == checkpoints(reference[0].record.store)
    assert not again.record.store.list("failures/")


class Choosy(LocalExecutor):
    """Gives up the batches whose labels match, and takes those that wait in an order of its own."""

    def __init__(self, run: Store, evaluator: Evaluator, gives_up: str, seed: int) -> None:
        super().__init__(run, evaluator)
        self._gives_up, self._random = gives_up, random.Random(seed)
        self._labels: dict[str, str] = {}

    def submit(self, batch: str, origin: Origin, work: Batch | None = None) -> None:
        self._labels[batch] = origin.words
        super().submit(batch, origin, work)

    def wait(self) -> Finished:
        self._random.shuffle(self._waiting)  # type: ignore[arg-type]
        return super().wait()

    def _alone(self, batch: str, work: Batch | None) -> Finished:
        if re.match(self._gives_up, self._labels[batch]):
            for _ in range(3):
                record_failure(self._run, batch, "ValueError: not this one")
        return super()._alone(batch, work)


def test_an_island_of_which_every_batch_fails_goes_on_with_the_others(
    evaluator: Evaluator, tmp_path: Path
) -> None:
    seen = []
    for seed in range(3):
        run = opened(tmp_path, name=f"run-{seed}")
        evolution = evolved(run, Choosy(run.record.store, evaluator, "island 1, generation [02]", seed))
        assert len(evolution.set_aside) == 2
        assert {elite.island for elite in evolution.elites()} == {0, 1}
        seen.append(checkpoints(run.record.store))
    assert seen[0] == seen[1] == seen[2]


def test_a_ranking_that_fails_where_the_others_have_nothing_to_rank_stops_the_run(
    evaluator: Evaluator, tmp_path: Path
) -> None:
    run = opened(tmp_path)
    with pytest.raises(DatamaskError, match="every batch of ranking after epoch 0 failed"):
        evolved(run, Choosy(run.record.store, evaluator, "island 1|.*ranking", 0))


def test_a_run_in_which_nothing_can_be_scored_stops_and_says_why(tmp_path: Path) -> None:
    class Blind(Evaluator):
        """Sees no mask in the picture."""

        def evaluate(self, run: Store, batch: str) -> Summary:
            work = decode_batch(run.get(batch_key(batch)), batch)
            unseen = failed_scores(work.plan, len(work.genomes), work.view_count)
            unseen.status[:] = INVISIBLE
            run.create(scores_key(batch), unseen.encoded({}))
            return Summary(batch, "scored")

    run = opened(tmp_path)
    with pytest.raises(BadInput, match=r"no mask of epoch 1 could be scored: 24 are out of the picture"):
        evolved(run, LocalExecutor(run.record.store, Blind("cpu")))
    assert run.record.head().parts == {}


def test_slices_fix_the_batch_and_change_no_detector_score(evaluator: Evaluator, tmp_path: Path) -> None:
    sliced = opened(tmp_path, name="sliced", search__batch=4, search__generations=1)
    whole = opened(tmp_path, name="whole", search__generations=1)
    tables = []
    for run in (sliced, whole):
        evolved(run, LocalExecutor(run.record.store, evaluator))
        (key, sha256), *_ = run.record.head().evaluations.items()
        tables.append(pd.read_parquet(io.BytesIO(run.record.part(key, sha256))))
    np.testing.assert_array_equal(
        np.stack(tables[0]["scores dlib-hog"].to_list()), np.stack(tables[1]["scores dlib-hog"].to_list())
    )


# -- interruptions, with the real command in a process of its own


def command(folder: Path, spec: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "coordinator.cli", "evolve", str(spec), "--store", str(folder), *more]


def test_killed_three_times_and_resumed_ends_byte_for_byte_the_same(
    reference: tuple[Opened, Evolution], tmp_path: Path
) -> None:
    spec = tmp_path / "spec.toml"
    spec.write_text(SPEC)
    moments = random.Random(int.from_bytes(os.urandom(4), "little"))
    store = open_store(tmp_path).sub("killed")
    for _ in range(3):
        before = len(store.list())
        process = subprocess.Popen(
            command(tmp_path, spec, "--run", "killed", "--resume", "--quiet", "--no-pictures"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # Wait until it is at work, then strike at any moment of the evolution.
        deadline = time.monotonic() + 120
        while len(store.list()) <= before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(moments.uniform(0.0, 4.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
    end = subprocess.run(
        command(tmp_path, spec, "--run", "killed", "--resume", "--quiet", "--no-pictures"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert end.returncode == 0, end.stderr
    assert end.stdout.strip().splitlines()[-1] == store.url
    assert checkpoints(store) == checkpoints(reference[0].record.store)
    assert not store.list("batches/") + store.list("scores/")


def test_an_interrupt_keeps_the_run_and_names_the_command_that_resumes(tmp_path: Path) -> None:
    spec = tmp_path / "spec.toml"
    spec.write_text(SPEC.replace("generations = 4", "generations = 400"))
    process = subprocess.Popen(
        command(tmp_path, spec, "--run", "long"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    store = open_store(tmp_path).sub("long")
    deadline = time.monotonic() + 120
    while not store.list("checkpoints/") and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "--run long --resume" in errors
    before = checkpoints(store)
    assert before
    assert json.loads(store.get("beat.json"))["ended"]
    assert Record(store).head().parts.keys() <= before.keys()


# -- what is refused, losing nothing


def test_a_name_that_is_taken_and_a_resume_with_another_spec(tmp_path: Path) -> None:
    first = opened(tmp_path)
    with pytest.raises(BadInput, match=r"--resume"):
        open_run(first.spec, first.record, resume=False)
    with pytest.raises(BadInput, match=r"search\.population: 6 -> 8"):
        opened(tmp_path, search__population=8)


def test_a_living_coordinator_keeps_its_run(tmp_path: Path) -> None:
    run = opened(tmp_path)
    run.record.take_over()
    try:
        code = (
            "from coordinator.record.record import Record\n"
            "from services.storage import open_store; import sys\n"
            "Record(open_store(sys.argv[1]).sub('run')).take_over()"
        )
        other = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "a coordinator is at work on this run" in other.stderr
    finally:
        run.record.close()
    successor = Record(run.record.store)
    assert successor.take_over().owner == 2
    successor.close()


def test_the_old_owner_stops_at_its_next_commit(tmp_path: Path) -> None:
    from coordinator.record.record import Fenced

    run = opened(tmp_path)
    run.record.take_over()
    run.record.close()
    newer = Record(run.record.store)
    newer.take_over()
    with pytest.raises(Fenced):
        run.record.commit(0, {}, {})
    newer.commit(0, {"checkpoints/e00000/x": b"1"}, {})
    newer.close()


def test_a_damaged_checkpoint_is_named(evaluator: Evaluator, tmp_path: Path) -> None:
    run = opened(tmp_path, search__generations=2)
    evolved(run, LocalExecutor(run.record.store, evaluator))
    key = checkpoint_key(0, "i01")
    data = bytearray(run.record.store.get(key))
    data[len(data) // 2] ^= 0xFF
    run.record.store.put(key, bytes(data))
    again = opened(tmp_path, search__generations=2)
    with pytest.raises(CorruptData, match="checkpoints/e00000/i01"):
        evolved(again, LocalExecutor(again.record.store, evaluator))


def test_a_scorer_unlike_the_run_s_first_is_refused(evaluator: Evaluator, tmp_path: Path) -> None:
    run = opened(tmp_path)
    run.record.store.put("fingerprint.json", json.dumps({**evaluator.fingerprint(), "torch": "1.0"}).encode())
    with pytest.raises(BadInput, match=r"torch: the run has 1\.0"):
        evolved(run, LocalExecutor(run.record.store, evaluator))


def test_free_names_count_up(tmp_path: Path) -> None:
    store = open_store(tmp_path, write=True)
    assert free_name(store, "mask", False) == "mask-001"
    store.put("mask-007/run.toml", b"")
    store.put("mask-x/run.toml", b"")
    assert free_name(store, "mask", False) == "mask-008"
    assert free_name(store, "mask", True) == "mask-007"
