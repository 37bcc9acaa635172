"""The coordinator's side against a real Redis: bells lost, batches lost, Redis lost, workers in trouble."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from dataclasses import asdict

import numpy as np
import pytest
import redis

from coordinator.queue import celery_executor, pace
from coordinator.queue.celery_executor import CeleryExecutor
from coordinator.queue.executor import Finished
from services.errors import BadInput, CorruptData, Unavailable
from services.rendering.views import ViewRanges
from services.storage.open import open_store
from services.wire.beats import BEAT_TTL_S, Presence, beat_key, beats, present
from services.wire.bells import Bell, bell_list, ring
from services.wire.messages import REALIZE, SCORE, Origin, Work, decode_work
from services.wire.objects import MAX_ATTEMPTS, batch_key, record_failure, scores_key
from services.wire.plan import Batch, Plan, Quantity, batch_id
from services.wire.transport import is_task

A, B = "a" * 40, "b" * 40
PLAN = Plan("makehuman-mask-1", "0" * 64, {}, (Quantity("detect", "dlib-hog"),), ViewRanges())


@pytest.fixture
def place(tmp_path):
    store = open_store(tmp_path / "runs", write=True)
    run = store.sub("portrait-001")
    for batch in (A, B):
        run.create(batch_key(batch), b"genomes")
    return store, run


@pytest.fixture
def executor(redis_server, place):
    made = []

    def make(**options):
        store, run = place
        made.append(CeleryExecutor(run, store.url, "portrait-001", redis_server.url, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def genomes(seed):
    return Batch(PLAN, np.full((4, 3), seed, np.float32), seed, 2)


def rung(server, store, bell, line=0):
    with server.client() as client:
        ring(client, bell_list(Work(store.url, "portrait-001", bell.batch, line=line)), bell)


def queued(server):
    with server.client() as client:
        return [json.loads(m) for m in client.lrange(SCORE, 0, -1)]


def test_redis_may_blink_before_anything_was_sent(executor, redis_server, monkeypatch, caplog):
    ping, blinks = redis.Redis.ping, [redis.ConnectionError("away")]

    def blinking(self, **options):
        if blinks:
            raise blinks.pop()
        return ping(self, **options)

    monkeypatch.setattr(redis.Redis, "ping", blinking)
    executor().submit(A, Origin("a"))
    assert len(queued(redis_server)) == 1
    assert "is back" in caplog.text


def test_a_message_holds_ids_only_and_reads_well(executor, redis_server, place):
    executor().submit(A, Origin(island=3, generation=41, number=2, of=4))
    executor().submit(A, Origin(island=3, generation=41, number=2, of=4))
    message, other = (json.loads(base64.b64decode(m["body"]))[1] for m in queued(redis_server))
    assert message["session"] != other["session"]  # a coordinator's next life may find another run
    message = queued(redis_server)[0]
    assert is_task(message, SCORE)
    assert message["headers"]["task"] == "masks.score.4"
    assert message["headers"]["argsrepr"] == "run portrait-001, island 3, generation 41, batch 2/4"
    assert message["content-type"] == "application/json"
    args, kwargs, _ = json.loads(base64.b64decode(message["body"]))
    assert args == []
    assert re.fullmatch("[0-9a-f]{16}", kwargs.pop("session"))
    assert kwargs.pop("origin") == asdict(Origin(island=3, generation=41, number=2, of=4))
    assert kwargs == {"v": 4, "store": place[0].url, "run": "portrait-001", "batch": A, "line": 0}


def test_each_coordinator_process_hears_its_own_bells(executor, redis_server, place):
    store, run = place
    first, second = executor(coordinators=2, line=1), executor(coordinators=2, line=2)
    first.submit(A, Origin("a"))
    second.submit(B, Origin("b"))
    for line, batch in ((1, A), (2, B)):
        run.create(scores_key(batch), b"scores")
        rung(redis_server, store, Bell(batch, "scored", 7 + line), line)
    assert second.wait() == Finished(B, 9)
    assert first.wait() == Finished(A, 8)


def test_waiting_can_be_ended_from_elsewhere(executor, redis_server, place):
    store, run = place
    told = []
    scorers = executor(before_waiting=lambda: told.append("nothing to do"))
    scorers.submit(A, Origin("a"))
    scorers.wake()
    assert scorers.wait() is None
    assert not told  # for there was something
    threading.Timer(0.2, scorers.wake).start()
    assert scorers.wait() is None
    assert told
    run.create(scores_key(A), b"scores")
    rung(redis_server, store, Bell(A, "scored", 8))
    scorers.listen()
    assert scorers.wait() == Finished(A, 8)


def test_a_batch_that_another_island_was_done_with_is_written_again(executor, redis_server, place):
    store, run = place
    scorers, work = executor(), genomes(1)
    batch = batch_id(work.encoded())
    scorers.submit(batch, Origin("a"), work)
    scorers.listen()
    run.delete(batch_key(batch))
    rung(redis_server, store, Bell(batch, "gone"))
    scorers.listen()
    assert run.get(batch_key(batch)) == work.encoded()
    assert len(queued(redis_server)) == 2


def test_a_bell_with_scores_finishes_the_batch(executor, redis_server, place):
    store, run = place
    scorers = executor()
    scorers.submit(A, Origin("a"))
    scorers.submit(B, Origin("b"))
    run.create(scores_key(B), b"scores")
    rung(redis_server, store, Bell(B, "scored", 12))
    rung(redis_server, store, Bell(B, "known", 0))
    assert scorers.wait() == Finished(B, 12)
    run.create(scores_key(A), b"scores")
    rung(redis_server, store, Bell(A, "scored", 8))
    assert scorers.wait() == Finished(A, 8)
    with pytest.raises(RuntimeError, match="no batch"):
        scorers.wait()


def test_a_resumed_run_asks_for_nothing_that_it_knows(executor, redis_server, place):
    _, run = place
    run.create(scores_key(A), b"scores")
    for _ in range(MAX_ATTEMPTS):
        record_failure(run, B, "traceback")
    scorers = executor()
    scorers.submit(A, Origin("a"))
    scorers.submit(B, Origin("b"))
    assert queued(redis_server) == []
    assert [scorers.wait(), scorers.wait()] == [Finished(A), Finished(B, failed=True)]


def test_a_bell_without_scores_is_not_believed(executor, redis_server, place):
    store, run = place
    scorers = executor()
    scorers.submit(A, Origin("a"))
    rung(redis_server, store, Bell(A, "scored", 12))
    timer = threading.Timer(0.5, lambda: run.create(scores_key(A), b"scores"))
    timer.start()
    timer.join()
    rung(redis_server, store, Bell(A, "scored", 3))
    assert scorers.wait() == Finished(A, 12)  # the first bell is looked at when the scores are there


def test_a_lost_bell_costs_time_only(executor, place, monkeypatch):
    monkeypatch.setattr(celery_executor, "LISTING_S", 0.1)
    scorers = executor()
    scorers.submit(A, Origin("a"))
    place[1].create(scores_key(A), b"scores")
    for _ in range(MAX_ATTEMPTS):
        record_failure(place[1], B, "traceback")
    scorers._out[B] = celery_executor._Out("b", due=time.monotonic() + 60)  # as if it was sent long ago
    assert {scorers.wait(), scorers.wait()} == {Finished(A), Finished(B, failed=True)}


def test_a_silent_batch_is_sent_again(executor, redis_server, place):
    scorers = executor(resend_s=0.2)
    scorers.submit(A, Origin("a"))
    threading.Timer(2.5, lambda: place[1].create(scores_key(A), b"scores")).start()
    assert scorers.wait().batch == A
    assert len(queued(redis_server)) >= 2


def test_a_batch_that_keeps_failing_is_set_aside(executor, redis_server, place):
    store, run = place
    scorers = executor()
    scorers.submit(A, Origin("a"))
    for _ in range(MAX_ATTEMPTS):
        record_failure(run, A, "traceback")
        rung(redis_server, store, Bell(A, "failed"))
    assert scorers.wait() == Finished(A, failed=True)


def test_a_failed_batch_is_sent_again_at_once(executor, redis_server, place):
    store, run = place
    scorers = executor()
    scorers.submit(A, Origin("a"))
    record_failure(run, A, "traceback")
    rung(redis_server, store, Bell(A, "failed"))
    threading.Timer(
        1.5, lambda: (run.create(scores_key(A), b"scores"), rung(redis_server, store, Bell(A, "scored", 4)))
    ).start()
    assert scorers.wait() == Finished(A, 4)
    assert len(queued(redis_server)) == 2


def test_a_batch_that_was_removed_is_not_waited_for(executor, redis_server, place):
    store, run = place
    scorers = executor()
    scorers.submit(A, Origin("a"))
    run.delete(batch_key(A))
    rung(redis_server, store, Bell(A, "gone"))
    with pytest.raises(CorruptData, match="removed"):
        scorers.wait()


def test_trouble_never_counts_but_ends_the_wait(executor, redis_server, place):
    store, run = place
    scorers = executor(trouble_s=0.0)
    scorers.submit(A, Origin("a"))
    rung(redis_server, store, Bell(A, "trouble", detail="disk full"))
    time.sleep(0.01)
    rung(redis_server, store, Bell(A, "trouble", detail="disk full"))
    with pytest.raises(Unavailable, match="disk full"):
        scorers.wait()
    assert run.list("failures/") == []


def test_what_a_lost_redis_forgot_is_sent_again(executor, redis_server, place):
    scorers = executor()
    scorers.submit(A, Origin("a"))
    redis_server.stop()

    def come_back():
        time.sleep(1.0)
        redis_server.start()
        time.sleep(2.5)
        place[1].create(scores_key(A), b"scores")
        rung(redis_server, place[0], Bell(A, "scored", 4))

    helper = threading.Thread(target=come_back)
    helper.start()
    try:
        assert scorers.wait() == Finished(A, 4)
    finally:
        helper.join()
    assert len(queued(redis_server)) == 1


def test_without_redis_there_is_one_clear_line(place):
    store, run = place
    before = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        CeleryExecutor(run, store.url, "portrait-001", "redis://:secret@127.0.0.1:9/0", patience_s=0.5)
    assert time.monotonic() - before < 20
    text = str(caught.value)
    assert "redis://***@127.0.0.1:9/0" in text
    assert "DATAMASK_BROKER" in text
    assert "secret" not in text
    assert "\n" not in text


def test_prefixes_that_stores_take_are_taken_here(redis_server, s3_server, tmp_path):
    places = [open_store(f"{s3_server.url}/my runs/é #1?"), open_store(tmp_path / "my runs" / "é #1%")]
    for store in places:
        run = store.sub("portrait-001")
        run.create(batch_key(A), b"genomes")
        scorers = CeleryExecutor(run, store.url, "portrait-001", redis_server.url)
        scorers.submit(A, Origin("a"))
        (message,) = queued(redis_server)
        work = decode_work(json.loads(base64.b64decode(message["body"]))[1])
        assert open_store(work.store).sub(work.run).get(batch_key(A)) == b"genomes"
        with redis_server.client() as client:
            client.delete(SCORE)
        scorers.close()


def test_a_name_that_workers_would_refuse_is_refused_here(redis_server, place):
    with pytest.raises(BadInput):
        CeleryExecutor(place[1], place[0].url, "../x", redis_server.url)


def test_no_more_is_out_than_workers_can_take(executor, redis_server, place, monkeypatch):
    store, run = place
    monkeypatch.setattr(celery_executor, "LOOK_S", 0.0)
    scorers = executor()
    works = [genomes(k) for k in range(100)]
    batches = [batch_id(work.encoded()) for work in works]
    for batch, work in zip(batches, works, strict=True):
        scorers.submit(batch, Origin("a"), work)
    scorers._send_ready(wait=True)
    assert len(queued(redis_server)) == pace.FIRST_OUT  # nobody is there yet
    assert len(run.list("batches/")) == 2 + pace.FIRST_OUT

    with redis_server.client() as client:
        crew = Presence(client, "somebody", 10, [SCORE])
        crew.start()
        while present(client, SCORE).processes != 10:
            time.sleep(0.01)
        run.create(scores_key(batches[0]), b"scores")
        rung(redis_server, store, Bell(batches[0], "scored", 8, seconds=5.0))
        assert scorers.wait() == Finished(batches[0], 8)
        scorers._send_ready(wait=True)
        assert len(queued(redis_server)) == 1 + 20  # a batch in each one's hands, and one behind it
        assert scorers.traffic().in_flight == 20
        crew.stop()
        assert present(client, SCORE) == (0, 0)


def test_a_person_is_told_which_workers_are_missing(executor, redis_server, monkeypatch, caplog):
    monkeypatch.setattr(celery_executor, "LOOK_S", 0.0)
    monkeypatch.setattr(celery_executor, "LONELY_S", 0.0)
    scorers = executor()
    scorers.realize(A, Origin("pictures and audits"))
    scorers._step()
    scorers._step()
    (said,) = [r.getMessage() for r in caplog.records if "no worker listens" in r.getMessage()]
    assert "masks.realize" in said  # told once
    assert "datamask worker --broker redis://127.0.0.1" in said


def test_silence_is_told_unless_a_job_beats(executor, redis_server, place, monkeypatch, caplog):
    """A worker that makes pictures for minutes has not fallen silent."""
    monkeypatch.setattr(celery_executor, "LOOK_S", 0.0)
    monkeypatch.setattr(celery_executor, "RESEND_S", 0.1)
    monkeypatch.setattr(celery_executor, "BEAT_TTL_S", 0.1)  # so soon is a job that beats looked at again
    scorers = executor(resend_s=0.1)

    def told():
        return [r.getMessage() for r in caplog.records if "no worker has answered" in r.getMessage()]

    with redis_server.client() as client:
        crew = Presence(client, "somebody", 1, [SCORE, REALIZE])
        crew.start()
        while not present(client, REALIZE).processes:
            time.sleep(0.01)
        client.set(beat_key(Work(place[0].url, "portrait-001", A)), "masks 1/4", ex=BEAT_TTL_S)
        scorers.realize(A, Origin("pictures and audits"))
        scorers.submit(B, Origin("behind it"))
        for _ in range(4):
            scorers._step()
        assert not told()
        assert scorers.traffic().resent >= 1  # what is behind it was overdue meanwhile
        client.delete(beat_key(Work(place[0].url, "portrait-001", A)))
        for _ in range(3):
            scorers._step()
        assert told()
        crew.stop()


def test_a_slow_batch_that_beats_is_not_sent_again(executor, redis_server, place, monkeypatch):
    store, _ = place
    monkeypatch.setattr(celery_executor, "LOOK_S", 0.1)
    scorers = executor(resend_s=0.2)
    key = beat_key(Work(store.url, "portrait-001", A))
    with redis_server.client() as client:
        client.set(key, "", ex=BEAT_TTL_S)
        scorers.submit(A, Origin("a"))
        for _ in range(3):
            scorers._step()
        assert len(queued(redis_server)) == 1
        client.delete(key)  # its worker died: sent again long before the beat's deadline
        for _ in range(3):
            scorers._step()
        assert len(queued(redis_server)) >= 2
        assert scorers.traffic().resent >= 1


def test_signs_of_life_from_before_redis_clock_went_back_are_none(redis_server):
    work = Work("s3://bucket/runs", "portrait-001", A)
    with redis_server.client() as client:
        hour_s = 3600  # that the clock went back: all that was given seconds now has that much more
        client.set(beat_key(work), "", ex=hour_s + BEAT_TTL_S)
        client.zadd(f"datamask:present:{SCORE}", {"1 24 gone": client.time()[0] + hour_s})
        assert beats(client, [work]) == {}
        assert present(client, SCORE).processes == 0
        client.set(beat_key(work), "masks 1/4", ex=BEAT_TTL_S)  # who lives says so by the clock of now
        client.zadd(f"datamask:present:{SCORE}", {"1 24 here": client.time()[0]})
        assert beats(client, [work]) == {A: "masks 1/4"}
        assert present(client, SCORE) == (1, 24)


def test_a_job_is_sent_to_its_own_queue_and_its_progress_comes_back(
    executor, redis_server, place, monkeypatch
):
    store, run = place
    monkeypatch.setattr(celery_executor, "LOOK_S", 0.0)
    scorers = executor()
    told = []
    scorers.realize(A, Origin("pictures and audits"), lambda *step: told.append(step))
    assert scorers.realized(A) is None
    with redis_server.client() as client:
        (message,) = [json.loads(m) for m in client.lrange(REALIZE, 0, -1)]
        assert message["headers"]["task"] == "masks.realize.4"
        assert message["headers"]["argsrepr"] == "run portrait-001, pictures and audits"
        client.set(beat_key(Work(store.url, "portrait-001", A)), "masks 1/4", ex=BEAT_TTL_S)
    scorers._step()
    assert told == [("masks", 1, 4)]
    run.create(scores_key(A), b"reports")
    rung(redis_server, store, Bell(A, "scored"))
    assert scorers.realized(A, wait=True) == Finished(A)
    assert scorers.realized(A) is None  # told once
