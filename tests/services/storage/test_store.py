"""What every store promises, tried on a folder and on a bucket alike."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from services.errors import BadInput
from services.storage import ObjectMissing, Store, open_store


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return open_store(tmp_path / "runs")
    return open_store(request.getfixturevalue("s3_server").url)


def test_an_object_is_missing_then_there_then_gone(store):
    with pytest.raises(ObjectMissing, match="scores/a") as missing:
        store.get("scores/a")
    assert missing.value.key == "scores/a"
    assert not store.exists("scores/a")
    assert store.create("scores/a", b"one")
    assert not store.create("scores/a", b"two")
    assert store.get("scores/a") == b"one"
    store.put("scores/a", b"three")
    assert store.get("scores/a") == b"three"
    store.delete("scores/a")
    store.delete("scores/a")
    assert not store.exists("scores/a")
    assert store.create("scores/a", b"")
    assert store.get("scores/a") == b""


def test_a_folder_is_not_an_object(store):
    store.put("scores/a", b"")
    assert not store.exists("scores")
    assert store.read_tagged("scores") is None
    store.delete("scores")
    assert store.get("scores/a") == b""
    assert not store.exists("scores/a/b")


def test_compare_and_swap(store):
    assert store.read_tagged("HEAD") is None
    assert not store.replace("HEAD", b"0", "no such tag")
    assert store.replace("HEAD", b"1", None)
    assert not store.replace("HEAD", b"2", None)
    assert not store.create("HEAD", b"2")
    data, tag = store.read_tagged("HEAD")
    assert data == b"1"
    assert store.replace("HEAD", b"2", tag)
    assert not store.replace("HEAD", b"3", tag)
    assert store.get("HEAD") == b"2"
    store.delete("HEAD")
    assert not store.replace("HEAD", b"3", tag)
    assert not store.exists("HEAD")


def test_list_goes_by_prefix_in_order(store):
    for key in ["b/2", "b/10", "b.x", "a", "b/c/d", "ba/1"]:
        store.put(key, b"x" * len(key))
    store.replace("HEAD", b"", None)
    assert store.list() == ["HEAD", "a", "b.x", "b/10", "b/2", "b/c/d", "ba/1"]
    assert store.list("b/") == ["b/10", "b/2", "b/c/d"]
    assert store.list("b") == ["b.x", "b/10", "b/2", "b/c/d", "ba/1"]
    assert store.list("b/1") == ["b/10"]
    assert store.list("nothing/here/") == []
    assert store.list("a/") == []
    assert [(e.key, e.size) for e in store.entries("b/")] == [("b/10", 4), ("b/2", 3), ("b/c/d", 5)]


def test_many_go_at_once(store):
    for key in ["a/1", "a/2", "a/b/1", "c"]:
        store.put(key, b"")
    store.delete_many(["a/1", "a/b/1", "never/was", "a/1"])
    assert store.list() == ["a/2", "c"]
    store.delete_many([])
    with pytest.raises(BadInput, match="store key"):
        store.delete_many(["c", "../c"])
    assert store.list() == ["a/2", "c"]


def test_sub_is_the_same_place(store):
    store.put("portrait/HEAD", b"x")
    run = store.sub("portrait/")
    assert run.get("HEAD") == b"x"
    run.put("masks/i00/genome.json", b"{}")
    assert store.list("portrait/masks") == ["portrait/masks/i00/genome.json"]
    assert run.list("masks/") == ["masks/i00/genome.json"]
    assert open_store(run.url).get("HEAD") == b"x"


ODD_KEYS = [
    *("röh #1 %41/b?c=d&e", "a+b c/~x'(1)*!", "日本/面.png", "a/" + "é" * 127, "=/&/%2F"),
    'a:b;c,d@e$f/[g]{h}|<i>^`"',
]


def test_odd_names_are_taken_as_they_are(store):
    for key in ODD_KEYS:
        assert store.create(key, b"1")
        assert store.exists(key)
        assert store.list() == [key]
        data, tag = store.read_tagged(key)
        assert (data, store.replace(key, b"2", tag)) == (b"1", True)
        folder, _, rest = key.partition("/")
        assert open_store(store.sub(folder).url).list() == [rest]
        store.delete_many([key])
        assert store.list() == []


BAD_KEYS = [
    *("", "/a", "a/", "a//b", "..", "a/../b", "./a", "a/.tmp-1", "a\\b", "a\0b", "a\nb", "\ud800"),
    *("x" * 256, "é" * 128, "/".join(["x" * 200] * 6)),
]


def test_a_bad_key_is_refused_everywhere(store):
    for key in BAD_KEYS:
        for call in (
            lambda key: store.get(key),
            lambda key: store.exists(key),
            lambda key: store.create(key, b""),
            lambda key: store.put(key, b""),
            lambda key: store.read_tagged(key),
            lambda key: store.replace(key, b"", None),
            lambda key: store.delete(key),
            lambda key: store.delete_many([key]),
        ):
            with pytest.raises(BadInput, match="store key"):
                call(key)
    for prefix in ["/", "..", "a//", "a/../"]:
        with pytest.raises(BadInput, match="store key"):
            store.list(prefix)
        with pytest.raises(BadInput, match="store key"):
            store.sub(prefix)
    assert store.list() == []


def test_the_probe_leaves_nothing(store):
    open_store(store.url, write=True)
    assert store.list() == []


# The lines before the signal are the start-up; after it all processes race.
_RACER = """
import sys
from services.storage import open_store
store, me = open_store(sys.argv[1]), sys.argv[2]
store.exists("warm/up")
print("ready", flush=True)
sys.stdin.readline()
"""


def few(store: Store, count: int) -> int:
    """So many rounds on a folder, and less on a bucket: moto takes some 10 ms for each request."""
    return count if store.url.startswith("file") else count // 5


def _race(script: str, store: Store, count: int = 4) -> list[list[str]]:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", _RACER + script, store.url, str(me)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        for me in range(count)
    ]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    outputs = [racer.communicate(timeout=60)[0].split() for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * count
    return outputs


def test_of_concurrent_creates_exactly_one_wins(store):
    count = few(store, 40)
    wins = _race(
        f"for i in range({count}):\n"
        "    if store.create(f'scores/{i}', me.encode() * 5000): print(i)\n"
        "    assert len(store.get(f'scores/{i}')) == 5000",
        store,
    )
    assert sorted(int(i) for won in wins for i in won) == list(range(count))
    for me, won in enumerate(wins):
        for i in won:
            assert store.get(f"scores/{i}") == str(me).encode() * 5000


def test_concurrent_compare_and_swap_loses_no_update(store):
    count = few(store, 25)
    tries = _race(
        "done = tries = 0\n"
        f"while done < {count}:\n"
        "    found = store.read_tagged('HEAD')\n"
        "    value, tag = (int(found[0]), found[1]) if found else (0, None)\n"
        "    done += store.replace('HEAD', str(value + 1).encode(), tag)\n"
        "    tries += 1\n"
        "print(tries)",
        store,
    )
    assert store.get("HEAD") == b"%d" % (4 * count)
    # Without a collision this would have shown nothing.
    assert sum(int(count) for (count,) in tries) > 4 * count
    assert store.list() == ["HEAD"]


def test_create_and_a_first_replace_race_for_one_name(store):
    count = few(store, 40)
    wins = _race(
        f"for i in range({count}):\n"
        "    key = f'runs/{i}'\n"
        "    won = store.create(key, me.encode()) if int(me) % 2 else store.replace(key, me.encode(), None)\n"
        "    if won: print(i)",
        store,
    )
    assert sorted(int(i) for won in wins for i in won) == list(range(count))


def test_readers_never_meet_half_an_object(store):
    store.put("front.png", b"0" * 200_000)
    _race(
        f"for i in range({few(store, 30)}):\n"
        "    if me == '0': store.put('front.png', str(i % 10).encode() * 200_000)\n"
        "    else:\n"
        "        data = store.get('front.png')\n"
        "        assert len(data) == 200_000 and len(set(data)) == 1",
        store,
        count=3,
    )


KEYS = st.sampled_from(["HEAD", "a/1", "a/2", "a/b/1", "ab"])
DATA = st.binary(max_size=2)


class AgainstADict(RuleBasedStateMachine):
    """Whatever is called in whatever order, the store is a dict from keys to bytes."""

    place: Store
    numbers = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.store = self.place.sub(f"example-{next(self.numbers)}")
        self.model: dict[str, bytes] = {}
        self.tags: dict[bytes, str] = {}

    def tag_of(self, data: bytes) -> str:
        """The tag of these bytes: both stores' tags depend on nothing else."""
        if data not in self.tags:
            self.place.put("tag", data)
            self.tags[data] = self.place.read_tagged("tag")[1]
        return self.tags[data]

    @rule(key=KEYS, data=DATA)
    def create(self, key, data):
        assert self.store.create(key, data) == (key not in self.model)
        self.model.setdefault(key, data)

    @rule(key=KEYS, data=DATA)
    def put(self, key, data):
        self.store.put(key, data)
        self.model[key] = data

    @rule(key=KEYS, data=DATA, expected=st.none() | DATA)
    def replace(self, key, data, expected):
        tag = None if expected is None else self.tag_of(expected)
        fits = self.model.get(key) == expected
        assert self.store.replace(key, data, tag) == fits
        if fits:
            self.model[key] = data

    @rule(keys=st.lists(KEYS, max_size=3))
    def delete(self, keys):
        if len(keys) == 1:
            self.store.delete(keys[0])
        else:
            self.store.delete_many(keys)
        for key in keys:
            self.model.pop(key, None)

    @rule(key=KEYS, prefix=st.sampled_from(["", "a", "a/", "a/b", "a/b/", "H", "x/"]))
    def read(self, key, prefix):
        assert self.store.exists(key) == (key in self.model)
        found = self.store.read_tagged(key)
        assert (None if found is None else found[0]) == self.model.get(key)
        expected = sorted(k for k in self.model if k.startswith(prefix))
        sizes = [(k, len(self.model[k])) for k in expected]
        assert [(e.key, e.size) for e in self.store.entries(prefix)] == sizes


def test_it_is_a_dict_from_keys_to_bytes(store, request):
    class Machine(AgainstADict):
        place = store

    in_bucket = "bucket" in request.node.name
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=4 if in_bucket else 25, stateful_step_count=15 if in_bucket else 25, deadline=None
        ),
    )
