"""What is peculiar to a store in a folder; test_store.py has what all stores promise."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.errors import BadInput, Unavailable
from services.storage import open_store
from services.storage.keys import check_key
from services.storage.local import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "runs")


def test_list_shows_only_objects(store):
    store.put("b/2", b"")
    store.replace("HEAD", b"", None)
    (store.root / "b" / ".tmp-1-killed").write_bytes(b"half")
    assert store.list() == ["HEAD", "b/2"]


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


def test_a_killed_writer_leaves_a_whole_object_and_no_lock(tmp_path):
    store = LocalStore(tmp_path)
    script = (
        "import sys\n"
        "from services.storage import open_store\n"
        "store = open_store(sys.argv[1])\n"
        "while True:\n"
        "    for i in range(10):\n"
        "        tagged = store.read_tagged('HEAD')\n"
        "        store.replace('HEAD', str(i).encode() * 100_000, tagged[1] if tagged else None)\n"
        "        print(i, flush=True)"
    )
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        )
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
