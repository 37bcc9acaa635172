"""Workers that leave where nobody has work."""

import os

import pytest
from celery.worker import state

from worker.idle import Idle


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def counted(monkeypatch):
    monkeypatch.setattr(state, "total_count", {})
    monkeypatch.setattr(state, "reserved_requests", set())
    monkeypatch.setattr(state, "active_requests", set())


@pytest.mark.usefixtures("counted")
def test_idle_is_the_time_since_the_last_work():
    clock = Clock()
    stacks = []
    idle = Idle(lambda: bool(stacks), clock)
    clock.now += 5
    assert idle.seconds == 5
    state.total_count["masks.score.4"] = 1  # received and ended between two looks
    assert idle.seconds == 0
    clock.now += 3
    assert idle.seconds == 3
    state.active_requests.add("a batch")
    clock.now += 50
    assert idle.seconds == 0
    state.active_requests.clear()
    clock.now += 2
    assert idle.seconds == 2
    stacks.append("whose message is done with")
    clock.now += 50
    assert idle.seconds == 0
    stacks.clear()
    clock.now += 4
    assert idle.seconds == 4


def test_a_worker_without_work_leaves_by_itself(start_worker):
    worker = start_worker("--idle-s", "1")
    assert worker.wait(60) == os.EX_OK
    assert "no work for 1 s: this worker leaves" in worker.text()
