"""Whatever lies in a queue, on a bell's list or in a store is understood, or dropped with one line."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.errors import BadInput, DatamaskError
from services.storage.codec import encode
from services.wire import jobs, plan, stack
from services.wire.beats import beats, present
from services.wire.bells import Bell, decode_bell
from services.wire.mask import decode_masks
from services.wire.messages import REALIZE, SCORE, Work, decode_work
from services.wire.transport import is_task

WORK = Work("file:///runs", "portrait-001", "0123456789abcdef" * 2 + "01234567")
HUGE = 10**400
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(HUGE)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["s3://", "file:///", "../", "scored", "²", "\x1b[2J\n"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def changed(good: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A dict that was good, with some of its values others, some gone, some more."""
    keys = st.sampled_from([*good, "more", "self"])
    return st.builds(
        lambda other, gone: {k: v for k, v in {**good, **other}.items() if k not in gone},
        st.dictionaries(keys, JSON, max_size=3),
        st.sets(keys, max_size=1),
    )


def work_of(message: dict[str, Any]) -> Work | BadInput:
    try:
        return decode_work(message)
    except BadInput as error:
        return error


@pytest.mark.fuzz
@given(message=changed(WORK.kwargs()) | st.dictionaries(st.text(max_size=6), JSON, max_size=5))
def test_any_message_is_work_or_refused_in_one_line(message: dict[str, Any]) -> None:
    work = work_of(message)
    if isinstance(work, Work):
        assert work.kwargs() == message
    else:
        assert str(work).isprintable()
        assert len(str(work)) < 400


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        ({"store": "file:///home/r%C3%B6h/my%20runs"}, True),
        ({"store": "s3://masks"}, True),
        ({"store": "s3://masks/my runs/é #1"}, True),
        ({"run": "a" * 100 + "-001"}, True),
        ({"store": "s3:/masks"}, False),
        ({"store": "s3://masks/../x"}, False),
        ({"store": "s3://masks/a\nb"}, False),
        ({"store": "s3://AKIA:zqxwjk@masks"}, False),
        ({"store": "file:///\ud800"}, False),
        ({"store": "file:///a%00b"}, False),
        ({"store": "file:///" + "a" * 5000}, False),
        ({"run": "my run"}, False),
        ({"v": HUGE}, False),
    ],
)
def test_messages_take_what_stores_take(change: dict[str, Any], taken: bool) -> None:
    work = work_of({**WORK.kwargs(), **change})
    assert isinstance(work, Work) == taken
    assert "zqxwjk" not in str(work)


BELL = json.loads(Bell(WORK.batch, "scored", 48, "none", 1.5).encoded())


@pytest.mark.fuzz
@given(
    data=changed(BELL).map(json.dumps)
    | JSON.map(json.dumps)
    | st.binary(max_size=30)
    | st.just("[" * 100_000)
)
def test_any_bell_is_heard_or_none(data: bytes | str) -> None:
    bell = decode_bell(data)
    if bell is not None:
        assert bell.detail.isprintable()
        assert decode_bell(bell.encoded()) == bell or bell.seconds != bell.seconds


class Said:
    """A Redis that says what it is told to."""

    def __init__(self, *members: bytes) -> None:
        self.members = members

    def time(self) -> tuple[int, int]:
        return 1_000, 0

    def zremrangebyscore(self, *_: object) -> None: ...

    def zrange(self, *_: object) -> list[bytes]:
        return list(self.members)

    def pipeline(self, **_: object) -> Said:
        return self

    def mget(self, keys: list[str]) -> None: ...

    def pttl(self, key: str) -> None: ...

    def execute(self) -> list[Any]:  # of one beat
        return [[self.members[0]], 5_000]


@pytest.mark.fuzz
@given(member=st.binary(max_size=12) | st.just("² x".encode()) | st.just(b"9" * 5000))
def test_any_sign_of_life_is_counted_or_not(member: bytes) -> None:
    assert 0 <= present(Said(member), SCORE).processes < 10**9  # type: ignore[arg-type]
    assert present(Said(b"3 512 host", member), SCORE).processes >= 3  # type: ignore[arg-type]
    assert set(beats(Said(member), [WORK])) == {WORK.batch}  # type: ignore[arg-type]


def envelope(queue: str = SCORE) -> dict[str, Any]:
    """A message as Celery's producer writes it, see test_a_message_holds_ids_only_and_reads_well."""
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    headers = {
        **{"lang": "py", "task": queue, "id": "1-2", "shadow": None, "eta": None, "expires": None},
        **{"group": None, "group_index": None, "retries": 0, "timelimit": [None, None], "root_id": "1-2"},
        **{"parent_id": None, "argsrepr": "run a, island 3", "kwargsrepr": "", "origin": "gen1@host"},
        **{"ignore_result": True, "replaced_task_nesting": 0, "stamped_headers": None, "stamps": {}},
    }
    return {
        "body": base64.b64encode(json.dumps([[], WORK.kwargs(), embed]).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": {
            **{"correlation_id": "1-2", "reply_to": "3", "delivery_mode": 2, "priority": 0},
            **{"delivery_info": {"exchange": "", "routing_key": queue}, "body_encoding": "base64"},
            "delivery_tag": "4",
        },
    }


def test_a_task_is_one_in_its_own_queue() -> None:
    assert is_task(envelope(), SCORE)
    assert is_task(envelope(REALIZE), REALIZE)
    assert not is_task(envelope(), REALIZE)


@st.composite
def envelopes(draw: st.DrawFn) -> Any:
    """A message with something in it changed, or anything at all."""
    message = envelope()
    part = draw(st.sampled_from(["headers", "properties", "delivery_info", "body", "whole", "anything"]))
    if part in ("headers", "properties"):
        message[part] = draw(changed(message[part]))
    elif part == "delivery_info":
        message["properties"][part] = draw(changed(message["properties"][part]))
    elif part == "body":
        message["body"] = draw(JSON | JSON.map(lambda v: base64.b64encode(json.dumps(v).encode()).decode()))
    elif part == "whole":
        message = draw(changed(message))
    else:
        return draw(JSON)
    return message


@pytest.mark.fuzz
@given(message=envelopes())
def test_whatever_is_taken_for_a_task_has_what_celery_asks_for(message: Any) -> None:
    if is_task(message, SCORE):
        assert isinstance(message["headers"]["id"], str)
        assert not message["headers"].get("eta")
        assert json.loads(base64.b64decode(message["body"]))[0] == []
        assert isinstance(message["properties"]["delivery_tag"], str)


DTYPES = st.sampled_from([np.float32, np.float64, np.uint8, np.int64])
ARRAYS = st.builds(np.zeros, st.lists(st.integers(0, 3), max_size=3), DTYPES)
SCORES = ["raw", "between", "status", "coverage", "flipped"]
NAMES = ["genomes", "fitness", "values", "residuals.0", "residuals.x", *SCORES]
META = {
    **{"format": 1, "plan": {"basis": "b", "basis_sha256": "c", "models": {}, "measures": []}},
    **{"view_seed": 1, "view_count": 2, "labels": ["x"], "basis": ["b", "c"]},
    **{"masks": {"ranked": [["a", 0, 0, 0.5, 0.1]]}, "ranked": [["a", 0, 0, 0.5, 0.1]], "models": {}},
    **{"page": {"ids": [], "facts": {}, "work": {}}, "reports": [], "left_out": "", "rows": [["a", 0, 1]]},
}
FINITE = JSON.filter(lambda value: "NaN" not in json.dumps(value) and "Infinity" not in json.dumps(value))


READERS = (
    *(plan.decode_batch, plan.decode_scores, stack.decode_stack, stack.decode_stacked),
    *(jobs.decode_job, jobs.decode_answer, decode_masks),
)


@pytest.mark.fuzz
@example(arrays={}, other={"format": [10**400] * 3}, gone=set(), version=1, kind="stack")
@given(
    arrays=st.dictionaries(st.sampled_from(NAMES), ARRAYS, max_size=9),
    other=st.dictionaries(st.sampled_from(sorted(META)), FINITE, max_size=3),
    gone=st.sets(st.sampled_from(sorted(META)), max_size=2),
    version=st.sampled_from([1, 2]),
    kind=st.sampled_from(["realize", "stack"]),
)
def test_any_object_of_a_batch_is_read_or_refused_in_one_line(
    arrays: dict[str, Any], other: dict[str, Any], gone: set[str], version: int, kind: str
) -> None:
    data = encode(
        arrays,
        {k: v for k, v in {**META, "kind": kind, "format": version, **other}.items() if k not in gone},
    )
    for read in (
        stack.decode_stack,
        stack.decode_stacked,
        plan.decode_batch,
        plan.decode_scores,
        jobs.decode_job,
        jobs.decode_answer,
        decode_masks,
    ):
        try:
            read(data, "batches/x")
        except DatamaskError as error:
            assert_one_line(error)


def assert_one_line(error: DatamaskError) -> None:
    assert str(error).isprintable()
    assert len(str(error)) < 1000
