"""One message, many batches: put together, answered, and taken apart where something goes wrong."""

from __future__ import annotations

import base64
import json
import time

import numpy as np
import pytest

from coordinator.queue import celery_executor
from coordinator.queue.celery_executor import CeleryExecutor
from coordinator.queue.executor import LocalExecutor, fair_share, most_together
from services.errors import CorruptData
from services.rendering.views import ViewRanges
from services.shape.catalog import basis_info
from services.storage.open import open_store
from services.wire.beats import BEAT_TTL_S, Presence, beat_key, present
from services.wire.bells import Bell, bell_list, ring
from services.wire.messages import SCORE, Origin, Work
from services.wire.objects import MAX_ATTEMPTS, attempts, batch_key, scores_key
from services.wire.plan import Batch, Plan, Quantity, Scores, batch_id, failed_scores, make_plan
from services.wire.stack import (
    decode_stack,
    decode_stacked,
    encode_stack,
    encode_stacked,
    is_stack,
    stack_id,
)
from worker.evaluate import Evaluator
from worker.scorer import Scorer

PLAN = Plan("makehuman-mask-1", "0" * 64, {}, (Quantity("detect", "dlib-hog"),), ViewRanges())


def work_of(seed: int, masks: int = 4, views: int = 2, plan: Plan = PLAN) -> Batch:
    genes = len(basis_info("makehuman-mask-1").gene_names)
    return Batch(plan, np.full((masks, genes), seed / 100, np.float32), seed, views)


def named(works: list[Batch]) -> dict[str, Batch]:
    return {batch_id(work.encoded()): work for work in works}


def scored(works: dict[str, Batch]) -> dict[str, Scores]:
    """Something to tell apart, and residuals."""
    found = {}
    for name, work in works.items():
        n, v = len(work.genomes), work.view_count
        blank = failed_scores(work.plan, n, v)
        raw = np.full((1, n, v), work.view_seed, np.float32)
        missed = {0: np.full((n, 3), work.view_seed, np.float32)}
        found[name] = Scores(raw, blank.between, blank.status, blank.flipped, blank.coverage, missed)
    return found


def test_a_stack_and_its_scores_come_back_as_they_were() -> None:
    works = named([work_of(1), work_of(2, masks=6), work_of(3, masks=1)])
    back = decode_stack(encode_stack(works), "here")
    assert list(back) == list(works)
    assert {name: work.encoded() for name, work in back.items()} == {
        name: work.encoded() for name, work in works.items()
    }
    scores = scored(works)
    split = decode_stacked(encode_stacked(scores, {"fingerprint": {}}), "here")
    assert {n: one.encoded({}) for n, one in split.items()} == {n: s.encoded({}) for n, s in scores.items()}
    wrong = scored({**works, "x": work_of(4)})
    lost = encode_stacked(wrong, {"rows": []}).replace(b'"x",4', b'"x",5')
    with pytest.raises(CorruptData):
        decode_stacked(lost, "here")


def test_how_many_go_together() -> None:
    assert most_together(work_of(1), 0) == most_together(work_of(1), 7) == 1
    assert most_together(work_of(1), 2048) == 256
    assert most_together(work_of(1, masks=16, views=3), 2048) == 42
    assert most_together(None, 2048) == 1
    assert [fair_share(n, 4) for n in (1, 8, 9, 64)] == [1, 1, 2, 8]
    assert fair_share(10, 0) == 5


@pytest.fixture
def place(tmp_path):
    store = open_store(tmp_path / "runs", write=True)
    return store, store.sub("portrait-001")


@pytest.fixture
def client(redis_server):
    with redis_server.client() as made:
        crew = Presence(made, "somebody", 1, [SCORE], pictures=512)
        crew.start()
        while not present(made, SCORE).processes:
            time.sleep(0.01)
        yield made
        crew.stop()


@pytest.fixture
def executor(redis_server, place, client, monkeypatch):
    monkeypatch.setattr(celery_executor, "LOOK_S", 0.0)
    monkeypatch.setattr(celery_executor, "BELL_S", 1)
    store, run = place
    made = CeleryExecutor(run, store.url, "portrait-001", redis_server.url)
    yield made
    made.close()


def sent(client):
    """What the messages in the queue are about, the oldest first."""
    messages = [json.loads(m)["body"] for m in client.lrange(SCORE, 0, -1)]
    return [json.loads(base64.b64decode(body))[1]["batch"] for body in reversed(messages)]


def submitted(executor, count=8):
    works = named([work_of(k) for k in range(count)])
    for number, (name, work) in enumerate(works.items()):
        executor.submit(name, Origin(island=number, generation=3), work)
    executor._send_ready(wait=True)
    return works


def answer(client, store, name, outcome="scored", views=8):
    ring(client, bell_list(Work(store.url, "portrait-001", name)), Bell(name, outcome, views))


def test_what_is_ready_goes_in_two_messages_and_comes_back_by_batch(executor, client, place):
    store, run = place
    works = submitted(executor)
    stacks = sent(client)
    assert [is_stack(name) for name in stacks] == [True, True]
    first = decode_stack(run.get(batch_key(stacks[0])), "here")
    assert list(first) == list(works)[:4]
    assert executor.traffic().in_flight == 8
    assert run.list("batches/") == sorted(batch_key(name) for name in stacks)
    run.create(scores_key(stacks[0]), encode_stacked(scored(first), {}))
    answer(client, store, stacks[0], views=32)
    for name in first:
        done = executor.wait()
        assert (done.batch, done.views, done.stack) == (name, 8, stacks[0])
        assert (done.scores.raw == works[name].view_seed).all()


def test_batches_of_other_shapes_are_not_mixed(executor, client):
    works = named([work_of(1), work_of(2, views=3), work_of(3, views=3), work_of(4, views=3)])
    for name, work in works.items():
        executor.submit(name, Origin("a"), work)
    executor._send_ready(wait=True)
    assert [is_stack(name) for name in sent(client)] == [False, True, False]


def test_a_worker_may_have_a_stack_taken_apart(executor, client, place):
    store, run = place
    works = submitted(executor, 4)
    stack = sent(client)[0]
    first = list(decode_stack(run.get(batch_key(stack)), "here"))
    answer(client, store, stack, "apart", 0)
    executor._step()
    executor._send_ready(wait=True)
    assert sent(client)[2:] == first
    run.create(scores_key(first[0]), b"scores")
    answer(client, store, first[0])
    done = executor.wait()
    assert (done.batch, done.data, done.stack) == (first[0], b"scores", stack)
    assert works[first[0]].encoded() == run.get(batch_key(first[0]))
    answer(client, store, stack, "scored", 16)  # somebody answers after all
    assert executor.traffic().in_flight == 3


def test_a_stack_whose_process_died_is_sent_again_as_singles(executor, client, place):
    store, run = place
    submitted(executor, 4)
    stack = sent(client)[0]
    beat = beat_key(Work(store.url, "portrait-001", stack))
    client.set(beat, "", ex=BEAT_TTL_S)
    executor._step()
    client.delete(beat)
    for _ in range(3):
        executor._step()
    executor._send_ready(wait=True)
    assert sent(client)[2:] == list(decode_stack(run.get(batch_key(stack)), "here"))
    assert executor.traffic().resent == 1


def test_a_resumed_run_finds_what_lies_in_stacks(redis_server, place, client):
    store, run = place
    works = named([work_of(k) for k in range(3)])
    stack = stack_id(encode_stack(works))
    run.create(scores_key(stack), encode_stacked(scored(works), {}))
    for made in (
        CeleryExecutor(run, store.url, "portrait-001", redis_server.url),
        LocalExecutor(run, Evaluator("cpu")),
    ):
        for name, work in works.items():
            made.submit(name, Origin("a"), work)
        for name in works:
            done = made.wait()
            assert (done.batch, done.views, done.stack) == (name, 0, stack)
            assert (done.scores.raw == works[name].view_seed).all()
        made.close()
    assert sent(client) == []


def test_of_a_stack_that_fails_only_the_batch_at_fault_is_set_aside(place, monkeypatch):
    _, run = place
    plan = make_plan("makehuman-mask-1", (Quantity("detect", "dlib-hog"),), ViewRanges(size_px=96))
    works = named([work_of(k, masks=2, plan=plan) for k in range(6)])
    poison = list(works)[1]
    together = Scorer.score_together

    def score(self, batches):
        if any(batch.view_seed == works[poison].view_seed and batch.genomes.any() for batch in batches):
            raise ValueError("not this one")
        return together(self, batches)

    monkeypatch.setattr(Scorer, "score_together", score)
    executor = LocalExecutor(run, Evaluator("cpu"))
    monkeypatch.setattr(executor._evaluator, "room", 12)
    for name, work in works.items():
        executor.submit(name, Origin("a"), work)
    done = [executor.wait() for _ in works]
    executor.close()
    assert [one.batch for one in done if one.failed] == [poison]
    assert attempts(run, poison) == MAX_ATTEMPTS
    assert {one.batch for one in done} == set(works)
    assert len([key for key in run.list("scores/") if is_stack(key.removeprefix("scores/"))]) == 1
