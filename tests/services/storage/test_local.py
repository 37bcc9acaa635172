from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from services.errors import BadInput, Unavailable
from services.storage import ObjectMissing, open_store
from services.storage.keys import check_key
from services.storage.local import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "runs")


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
    data, tag = store.read_tagged("HEAD")
    assert data == b"1"
    assert store.replace("HEAD", b"2", tag)
    assert not store.replace("HEAD", b"3", tag)
    assert store.get("HEAD") == b"2"


def test_list_goes_by_prefix_in_order_and_shows_only_objects(store):
    for key in ["b/2", "b/10", "b.x", "a", "b/c/d", "ba/1"]:
        store.put(key, b"")
    store.replace("HEAD", b"", None)
    (store.root / "b" / ".tmp-1-killed").write_bytes(b"half")
    assert store.list() == ["HEAD", "a", "b.x", "b/10", "b/2", "b/c/d", "ba/1"]
    assert store.list("b/") == ["b/10", "b/2", "b/c/d"]
    assert store.list("b") == ["b.x", "b/10", "b/2", "b/c/d", "ba/1"]
    assert store.list("b/1") == ["b/10"]
    assert store.list("nothing/here/") == []
    assert store.list("a/") == []


def test_sub_is_the_same_place(store):
    store.put("portrait/HEAD", b"x")
    run = store.sub("portrait/")
    assert run.get("HEAD") == b"x"
    run.put("masks/i00/genome.json", b"{}")
    assert store.list("portrait/masks") == ["portrait/masks/i00/genome.json"]
    assert open_store(run.url).get("HEAD") == b"x"


def test_no_temporary_file_stays_and_sweep_takes_what_a_kill_left(store):
    for _ in range(3):
        store.create("a/b", b"1")
        store.put("a/b", b"2")
    assert not list(store.root.rglob(".tmp-*"))
    old, young = store.root / "a/.tmp-1-old", store.root / "a/.tmp-2-young"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    assert store.sweep(3600) == 1
    assert young.exists()
    assert store.sweep(0) == 1
    assert store.list() == ["a/b"]


def test_files_are_as_open_as_the_umask_lets_them(store):
    before = os.umask(0o027)
    try:
        store.put("a", b"")
    finally:
        os.umask(before)
    assert (store.root / "a").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "key",
    [
        *("", "/a", "a/", "a//b", "..", "a/../b", "./a", "a/.tmp-1", "a\\b", "a\0b", "a\nb", "\ud800"),
        *("x" * 256, "é" * 128, "/".join(["x" * 200] * 6)),
    ],
)
def test_a_bad_key_is_refused_everywhere(store, key):
    for call in (
        lambda: store.get(key),
        lambda: store.exists(key),
        lambda: store.create(key, b""),
        lambda: store.put(key, b""),
        lambda: store.read_tagged(key),
        lambda: store.replace(key, b"", None),
        lambda: store.delete(key),
    ):
        with pytest.raises(BadInput, match="store key"):
            call()
    assert not store.root.exists()


@pytest.mark.parametrize("prefix", ["/", "..", "a//", "a/../"])
def test_a_bad_prefix_is_refused(store, prefix):
    with pytest.raises(BadInput, match="store key"):
        store.list(prefix)
    with pytest.raises(BadInput, match="store key"):
        store.sub(prefix)


def test_usual_keys_pass():
    for key in ["HEAD", "masks/i03-g0041-007/front.png", "evaluations/e0001.parquet", "rêve à deux/HEAD"]:
        assert check_key(key) == key


def test_urls_and_paths_open_the_same_store(tmp_path, monkeypatch):
    place = tmp_path / "röh #1 %41"
    open_store(place, write=True).put("a", b"1")
    url = open_store(str(place)).url
    assert url.startswith("file:///")
    assert open_store(url).get("a") == b"1"
    assert open_store(url.replace("file:///", "file://localhost/")).get("a") == b"1"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_store("~/röh #1 %41").get("a") == b"1"
    monkeypatch.chdir(tmp_path)
    relative = open_store("runs", write=True)
    monkeypatch.chdir("/")
    relative.put("a", b"2")
    assert (tmp_path / "runs" / "a").read_bytes() == b"2"


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3://bucket/../x",
        "s3://B u/x",
        "http://x/y",
        "file://host/x",
        "file:///x?y",
        "",
        " ",
        "a\0b",
    ],
)
def test_urls_that_cannot_be_used(url):
    with pytest.raises(BadInput, match="store"):
        open_store(url)


def test_opening_for_reading_makes_nothing(tmp_path):
    assert open_store(tmp_path / "none").list() == []
    assert not (tmp_path / "none").exists()


def test_the_probe_leaves_nothing(tmp_path):
    open_store(tmp_path / "deep" / "runs", write=True)
    assert list((tmp_path / "deep" / "runs").iterdir()) == []


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInput, match="is a file; expected a folder"):
        open_store(tmp_path / "file")
    with pytest.raises(BadInput, match="a file stands where a folder is needed"):
        open_store(tmp_path / "file" / "runs", write=True)
    store = LocalStore(tmp_path)
    for write in (store.create, store.put, lambda key, data: store.replace(key, data, None)):
        with pytest.raises(BadInput, match=r"file/a.*a file stands where a folder is needed"):
            write("file/a", b"")
    (tmp_path / "folder").mkdir()
    for write in (store.create, store.put, lambda key, data: store.replace(key, data, None)):
        with pytest.raises(BadInput, match="a folder stands where an object is needed"):
            write("folder", b"")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != ".lock") == ["file", "folder"]


def test_a_name_too_long_for_the_system(tmp_path):
    store = LocalStore(tmp_path.joinpath(*["x" * 240] * 15))
    with pytest.raises(BadInput, match="too long"):
        store.put("/".join(["y" * 240] * 4), b"")
    with pytest.raises(BadInput, match="too long"):
        open_store(store.root / "/".join(["x" * 240] * 5))


@pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="needs Linux's /proc, where nobody can make files"
)
def test_a_folder_that_cannot_be_written(tmp_path):
    with pytest.raises(Unavailable, match=r"^cannot write /proc/[^\n]*$"):
        open_store("/proc/datamask", write=True)


def test_a_folder_without_permission(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere; run as another user to see this")
    tmp_path.chmod(0o500)
    with pytest.raises(Unavailable, match="give this user write permission"):
        open_store(tmp_path, write=True)


@contextlib.contextmanager
def _tmpfs(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no mount command here")
    if mounted.returncode != 0:
        pytest.skip(
            f"cannot mount a small file system here ({mounted.stderr.strip()}); run as root to see this"
        )
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_keeps_what_was_there_and_says_so(tmp_path):
    with _tmpfs(tmp_path / "small", "size=128k") as folder:
        store = open_store(folder, write=True)
        store.put("a", b"kept")
        store.replace("HEAD", b"kept", None)
        tag = store.read_tagged("HEAD")[1]
        big = bytes(1 << 20)
        for write in (
            lambda: store.put("a", big),
            lambda: store.create("b", big),
            lambda: store.replace("HEAD", big, tag),
        ):
            with pytest.raises(Unavailable, match=r"^cannot write /[^\n]*No space left[^\n]*free some space"):
                write()
        assert store.get("a") == store.get("HEAD") == b"kept"
        assert store.list() == ["HEAD", "a"]
        assert store.create("b", bytes(1000))


def test_a_read_only_file_system_still_reads(tmp_path):
    with _tmpfs(tmp_path / "small", "size=128k") as folder:
        open_store(folder, write=True).put("a", b"1")
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        assert open_store(folder).get("a") == b"1"
        with pytest.raises(Unavailable, match="read-only"):
            open_store(folder, write=True)
        with pytest.raises(Unavailable, match="read-only"):
            open_store(folder).delete("a")


# The lines before the signal are the start-up; after it all processes race.
_RACER = """
import sys
from services.storage import open_store
store, me = open_store(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
"""


def _race(script: str, folder: Path, count: int = 4) -> list[list[str]]:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", _RACER + script, str(folder), str(me)],
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


def test_of_concurrent_creates_exactly_one_wins(tmp_path):
    wins = _race(
        "for i in range(60):\n"
        "    if store.create(f'scores/{i}', me.encode() * 5000): print(i)\n"
        "    assert len(store.get(f'scores/{i}')) == 5000",
        tmp_path,
    )
    assert sorted(int(i) for won in wins for i in won) == list(range(60))
    for me, won in enumerate(wins):
        for i in won:
            assert (tmp_path / "scores" / i).read_bytes() == str(me).encode() * 5000


def test_concurrent_compare_and_swap_loses_no_update(tmp_path):
    tries = _race(
        "done = tries = 0\n"
        "while done < 25:\n"
        "    found = store.read_tagged('HEAD')\n"
        "    value, tag = (int(found[0]), found[1]) if found else (0, None)\n"
        "    done += store.replace('HEAD', str(value + 1).encode(), tag)\n"
        "    tries += 1\n"
        "print(tries)",
        tmp_path,
    )
    assert (tmp_path / "HEAD").read_bytes() == b"100"
    # Without a collision this would have shown nothing.
    assert sum(int(count) for (count,) in tries) > 100
    assert not list(tmp_path.glob(".tmp-*"))


def test_create_and_a_first_replace_race_for_one_name(tmp_path):
    wins = _race(
        "for i in range(60):\n"
        "    key = f'runs/{i}'\n"
        "    won = store.create(key, me.encode()) if int(me) % 2 else store.replace(key, me.encode(), None)\n"
        "    if won: print(i)",
        tmp_path,
    )
    assert sorted(int(i) for won in wins for i in won) == list(range(60))


def test_readers_never_meet_half_an_object(tmp_path):
    LocalStore(tmp_path).put("front.png", b"0" * 200_000)
    _race(
        "for i in range(40):\n"
        "    if me == '0': store.put('front.png', str(i % 10).encode() * 200_000)\n"
        "    else:\n"
        "        data = store.get('front.png')\n"
        "        assert len(data) == 200_000 and len(set(data)) == 1",
        tmp_path,
        count=3,
    )


def test_a_killed_writer_leaves_a_whole_object_and_no_lock(tmp_path):
    store = LocalStore(tmp_path)
    script = (
        "while True:\n"
        "    for i in range(10):\n"
        "        tagged = store.read_tagged('HEAD')\n"
        "        store.replace('HEAD', str(i).encode() * 100_000, tagged[1] if tagged else None)\n"
        "        print(i, flush=True)"
    )
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", _RACER + script, str(tmp_path), "0"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        )
        writer.stdin.write(b"go\n")
        writer.stdin.flush()
        for _ in range(5):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        data, tag = store.read_tagged("HEAD")
        assert len(data) == 100_000
        assert len(set(data)) == 1
        assert store.replace("HEAD", data, tag)
    store.sweep(0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "HEAD"]


class AgainstADict(RuleBasedStateMachine):
    """Whatever is called in whatever order, the store is a dict from keys to bytes."""

    keys = st.sampled_from(["HEAD", "a/1", "a/2", "a/b/1", "ab"])
    data = st.binary(max_size=3)

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = LocalStore(self.folder.name)
        self.model: dict[str, bytes] = {}

    def teardown(self) -> None:
        self.folder.cleanup()

    @rule(key=keys, data=data)
    def create(self, key, data):
        assert self.store.create(key, data) == (key not in self.model)
        self.model.setdefault(key, data)

    @rule(key=keys, data=data)
    def put(self, key, data):
        self.store.put(key, data)
        self.model[key] = data

    @rule(key=keys, data=data, expected=st.none() | data)
    def replace(self, key, data, expected):
        tag = None if expected is None else hashlib.sha256(expected).hexdigest()
        fits = self.model.get(key) == expected
        assert self.store.replace(key, data, tag) == fits
        if fits:
            self.model[key] = data

    @rule(key=keys)
    def delete(self, key):
        self.store.delete(key)
        self.model.pop(key, None)

    @rule(key=keys, prefix=st.sampled_from(["", "a", "a/", "a/b", "a/b/", "H", "x/"]))
    def read(self, key, prefix):
        assert self.store.exists(key) == (key in self.model)
        found = self.store.read_tagged(key)
        assert (None if found is None else found[0]) == self.model.get(key)
        assert self.store.list(prefix) == sorted(k for k in self.model if k.startswith(prefix))


TestAgainstADict = AgainstADict.TestCase
TestAgainstADict.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
