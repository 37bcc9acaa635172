"""What travels through Redis: ids that are checked, bells that are hints, settings that keep promises."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict

import celery
import pytest

from services.errors import BadInput
from services.storage.open import open_store
from services.wire import app as application
from services.wire import pin
from services.wire.app import HARD_LIMIT_S, REALIZE_LIMIT_S, make_app
from services.wire.bells import Bell, bell_list, connect, decode_bell
from services.wire.broker_url import redacted
from services.wire.messages import REALIZE, SCORE, VERSION, Origin, Work, decode_work

GOOD = {
    "v": 4,
    "store": "file:///runs",
    "run": "portrait-001",
    "batch": "0123456789abcdef" * 2 + "01234567",
    "session": "0a",
    "origin": asdict(Origin(island=3, generation=41, number=2, of=4)),
    "line": 2,
}
URL = "redis://127.0.0.1:6379/0"


def test_a_message_comes_back_as_it_was_sent():
    score = decode_work(GOOD)
    assert decode_work(json.loads(json.dumps(score.kwargs()))) == score


@pytest.mark.parametrize(
    "change",
    [
        {"v": 1},
        {"v": "2"},
        {"v": True},
        {"batch": "../../etc/passwd"},
        {"batch": GOOD["batch"].upper()},
        {"batch": GOOD["batch"] + "\n"},
        {"batch": 7},
        {"run": "../other"},
        {"run": ".hidden"},
        {"run": "a/b"},
        {"run": ""},
        {"run": "a" * 121},
        {"store": "http://example.org/x"},
        {"store": "/runs"},
        {"store": "file:///runs\n"},
        {"store": "s3://"},
        {"store": None},
        {"session": "../x"},
        {"session": "a" * 33},
        {"line": -1},
        {"line": "1"},
        {"line": True},
        {"line": 1000},
        {"origin": {}},
        {"origin": None},
        {"origin": {**asdict(Origin()), "island": -1}},
        {"extra": 1},
    ],
)
def test_hostile_messages_are_refused_in_one_line(change):
    with pytest.raises(BadInput) as caught:
        decode_work({**GOOD, **change})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_message_without_a_field_is_refused():
    for field in GOOD:
        with pytest.raises(BadInput):
            decode_work({k: v for k, v in GOOD.items() if k != field})


def test_bells_survive_the_way_and_noise_is_no_bell():
    bell = Bell(GOOD["batch"], "scored", 48)
    assert decode_bell(bell.encoded().encode()) == bell
    for noise in (
        b"",
        b"\xff",
        b"[]",
        b"7",
        b'{"v": 2}',
        b'{"v": 1}',
        bell.encoded().replace("scored", "evil"),
    ):
        assert decode_bell(noise) is None


def test_two_runs_have_two_bells():
    lists = {bell_list(Work("file:///runs", name, GOOD["batch"])) for name in ("a", "b")}
    assert len(lists) == 2
    assert bell_list(Work("file:///runs/", "a", GOOD["batch"])) in lists
    assert bell_list(Work("file:///runs", "a", GOOD["batch"], line=1)) not in lists


def test_broker_urls_are_checked_and_passwords_stay_at_home():
    for url in ("", "127.0.0.1:6379", "amqp://localhost", "redis://", "redis://host:port"):
        with pytest.raises(BadInput):
            connect(url)
    assert redacted("redis://:secret@host:1/0") == "redis://***@host:1/0"
    with pytest.raises(BadInput) as caught:
        make_app("amqp://me:secret@host")
    assert "secret" not in str(caught.value)


def test_the_application_keeps_its_promises():
    before = celery.current_app._get_current_object()
    conf = make_app(URL, "spawn").conf
    assert celery.current_app._get_current_object() is before
    assert conf.task_acks_late
    assert conf.task_reject_on_worker_lost
    assert conf.task_ignore_result
    assert conf.worker_prefetch_multiplier == 1
    assert list(conf.accept_content) == ["json"]
    assert conf.task_serializer == "json"
    assert conf.worker_pool == "prefork"
    assert conf.worker_pool_start_method == "spawn"
    assert conf.task_time_limit == HARD_LIMIT_S
    assert [queue.name for queue in conf.task_queues] == [SCORE, REALIZE]


def test_each_version_has_queues_of_its_own():
    # Who is handed what he cannot read drops it, and faster than others score.
    listened_to = {queue.name for queue in make_app(URL).conf.task_queues}
    assert not listened_to & {"masks.score", "masks.realize"}  # where earlier versions ask
    assert all(name.endswith(f".{VERSION}") for name in listened_to)


def test_celery_finds_the_application_and_its_tasks(monkeypatch):
    monkeypatch.setenv("DATAMASK_BROKER", "redis://127.0.0.1:7/3")
    from celery.bin.celery import find_app

    app = find_app("services.wire.app")
    assert app.conf.broker_url == "redis://127.0.0.1:7/3"
    app.loader.import_default_modules()
    limits = {name: task.time_limit for name, task in app.tasks.items() if not name.startswith("celery.")}
    assert limits == {REALIZE: REALIZE_LIMIT_S, SCORE: HARD_LIMIT_S}
    assert app.conf.broker_transport_options["visibility_timeout"] > REALIZE_LIMIT_S > HARD_LIMIT_S


def test_celery_without_a_usable_broker_ends_in_one_line(monkeypatch):
    monkeypatch.setenv("DATAMASK_BROKER", "redis://:zqx/wjk@host/0")
    with pytest.raises(SystemExit, match=r"^datamask: broker redis://\*\*\*@host/0: [^\n]*$"):
        application.__getattr__("app")


def test_the_process_that_forks_has_no_torch():
    code = "import sys, coordinator.cli, coordinator.queue.celery_executor, worker.launch, worker.tasks; "
    code += "sys.exit(any(m.split('.')[0] in ('torch', 'dlib', 'cv2') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_first_pin_holds(tmp_path):
    run = open_store(tmp_path)
    assert pin.pinned(run) is None
    assert pin.pin(run, {"device": "cpu"}) == {"device": "cpu"}
    assert pin.pin(run, {"device": "cuda"}) == {"device": "cpu"}
    assert pin.pinned(run) == {"device": "cpu"}
