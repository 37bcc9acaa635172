"""``datamask pull`` from a folder and from a bucket: the same tree, whatever happened on the way."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from coordinator.cli import main
from coordinator.queue.executor import LocalExecutor
from coordinator.record.pull import pull
from coordinator.record.record import Record, _process_started, checkpoint_key, evaluations_key
from coordinator.run import evolve_run, open_run
from coordinator.spec.spec_file import load_spec
from services.errors import BadInput, CorruptData
from services.storage import ObjectMissing, Store, encode, open_store
from services.storage.local import LocalStore
from tests.support.runs import grow
from worker.evaluate import shared_evaluator

SPEC = {"name": "small", "seed": 3}


@pytest.fixture(params=["folder", "bucket"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A run at work: one checkpoint committed, the next one half written, batches out."""
    if request.param == "folder":
        store = open_store(tmp_path / "runs")
    else:
        store = open_store(request.getfixturevalue("s3_server").url)
    return _run(store.sub("small"))


def _run(store: Store, seed: int = 3) -> Store:
    record = Record(store)
    record.write_spec(SPEC, f'name = "small"\nseed = {seed}\n')
    record.write_manifest({"started": "today"})
    record.take_over()
    _commit(record, 0)
    record.close()
    for name in ("a", "b"):
        store.create(f"batches/{name}", encode({"genomes": np.ones((2, 3), np.float32)}))
    store.create("scores/a", encode({"raw": np.ones(2, np.float32)}))
    store.put(checkpoint_key(1, "i00"), b"not committed")
    store.put(evaluations_key(1), b"not committed")
    store.put("masks/i00-g0001-000/genome.json", b"{}")
    store.put("masks/i00-g0001-000/front.png", bytes(3000))
    target = b"embeddings"
    store.put(f"targets/{hashlib.sha256(target).hexdigest()}.npz", target)
    return store


def _commit(record: Record, epoch: int, done: bool = False) -> None:
    parts = {checkpoint_key(epoch, name): f"{epoch} {name}".encode() * 100 for name in ("i00", "elites")}
    record.commit(epoch, parts, {evaluations_key(epoch): b"rows %d" % epoch}, done=done)


def _finished(store: Store) -> Store:
    record = Record(store)
    record.take_over()
    _commit(record, 1, done=True)
    record.close()
    store.put("report.html", b"<html>")
    return store


def _files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _objects(store: Store) -> dict[str, bytes]:
    return {key: store.get(key) for key in store.list()}


@pytest.fixture
def datamask(monkeypatch, capsys):
    """Call the command line in this process: (exit code, standard output, standard error)."""

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["datamask", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return call


def test_a_finished_run_comes_whole_and_only_once(run, tmp_path, datamask):
    everything = _objects(_finished(run))
    for key in (checkpoint_key(0, "i00"), checkpoint_key(0, "elites")):
        everything.pop(key)  # HEAD lists the newest checkpoint; older ones are on their way out
    code, out, err = datamask("pull", run.url, tmp_path / "home")
    assert (code, out.splitlines()[-1]) == (0, str(tmp_path / "home"))
    assert _files(tmp_path / "home") == everything
    assert f"{len(everything) - 1} files copied" in err
    assert Record(open_store(tmp_path / "home")).head() == Record(run).head()
    again = pull(run, LocalStore(tmp_path / "home"))
    assert (again.fetched, again.held) == (0, len(everything) - 1)


def test_a_copy_that_has_gone_on_by_itself_is_not_set_back(run, tmp_path, datamask):
    home = tmp_path / "home"
    pull(run, LocalStore(home))
    other = os.getppid()
    beat = {"owner": 2, "count": 1, "host": socket.gethostname(), "pid": other, "ended": False}
    (home / "beat.json").write_text(json.dumps({**beat, "started": _process_started(other)}))
    code, _, err = datamask("pull", run.url, home)  # a coordinator is at work on it
    assert (code, "a coordinator is at work on this run" in err) == (2, True), err
    (home / "beat.json").unlink()
    copy = Record(LocalStore(home))
    copy.take_over()
    _commit(copy, 1)
    copy.close()
    before = _files(home)
    code, _, err = datamask("pull", run.url, home)
    assert code == 2
    assert "this copy has gone on by itself (epoch 2, " in err
    assert _files(home) == before
    assert pull(run, LocalStore(home), ["masks"]).held > 0  # which sets nothing back
    rival = Record(run)
    rival.take_over()
    rival.commit(1, {checkpoint_key(1, "i00"): b"otherwise"}, {evaluations_key(1): b"rows"})
    rival.close()
    with pytest.raises(BadInput, match="this copy has gone on by itself"):
        pull(run, LocalStore(home))


def test_an_owner_is_newer_than_every_beat_though_head_is_an_older_one(tmp_path):
    run = _run(LocalStore(tmp_path / "small"))
    older = run.get("HEAD")
    for _ in range(3):
        record = Record(run)
        record.take_over()
        record.close()
    run.put("HEAD", older)  # restored from a copy
    record = Record(run)
    record.take_over()
    _commit(record, 1)
    record.check_owner()
    record.close()
    assert json.loads(run.get("beat.json"))["ended"]


def test_other_words_on_the_labels_are_the_same_run(run, tmp_path):
    home = LocalStore(tmp_path / "home")
    pull(run, home)
    run.put("run.toml", b'name = "small"\nseed = 3\n[exhibition]\ntitle = "Shadows"\n')
    pull(run, home)
    assert home.get("run.toml") == run.get("run.toml")
    run.put("run.toml", b'name = "small"\nseed = 4\n')
    with pytest.raises(BadInput, match="holds another run"):
        pull(run, home)


def test_names_that_no_key_can_have_are_left_where_they_are(tmp_path):
    run = _finished(_run(LocalStore(tmp_path / "small")))
    for name in ("a\\b.png", "Icon\r"):
        (tmp_path / "small" / "masks" / name).write_bytes(b"not ours")
    pull(run, LocalStore(tmp_path / "home"))
    assert Record(LocalStore(tmp_path / "home")).head().done
    assert "not ours" not in str(_files(tmp_path / "home"))


def test_a_run_at_work_is_copied_as_of_its_newest_checkpoint(run, tmp_path):
    before = pull(run, LocalStore(tmp_path / "home"))
    assert before.fetched == 8
    files = _files(tmp_path / "home")
    assert checkpoint_key(0, "i00") in files
    assert not [key for key in files if key.startswith(("batches/", "scores/", "checkpoints/e00001"))]
    assert "evaluations/e00001.parquet" not in files
    assert "beat.json" not in files
    for key, sha256 in {**Record(run).head().parts, **Record(run).head().evaluations}.items():
        assert hashlib.sha256(files[key]).hexdigest() == sha256
    pull(run, LocalStore(tmp_path / "home"), ["batches", "scores"])
    assert {"batches/a", "batches/b", "scores/a"} < set(_files(tmp_path / "home"))


def test_parts(run, tmp_path, datamask):
    code, _, _ = datamask("pull", run.url, tmp_path / "home", "--only", "masks,targets")
    assert code == 0
    tops = {key.split("/")[0] for key in _files(tmp_path / "home")}
    assert tops == {"run.toml", "masks", "targets"}
    pull(run, LocalStore(tmp_path / "home"), ["evaluations"])
    assert set(_files(tmp_path / "home")) > {"evaluations/e00000.parquet", "HEAD"}
    code, out, err = datamask("pull", run.url, tmp_path / "home", "--only", "mask")
    assert (code, out) == (2, "")
    assert "--only mask: " in err
    assert "did you mean 'masks'?" in err


def test_a_copy_of_parts_with_head_can_be_shown(tmp_path, datamask):
    grown = grow(tmp_path / "run", generations=10)
    home = tmp_path / "home"
    assert datamask("pull", tmp_path / "run", home, "--only", "masks,evaluations")[0] == 0
    code, out, err = datamask("show", home)
    assert (code, grown.elites[0].id in out) == (0, True), err
    assert datamask("compare", tmp_path / "run", home)[0] == 0
    assert datamask("pull", tmp_path / "run", tmp_path / "masks", "--only", "masks")[0] == 0
    assert not (tmp_path / "masks" / "HEAD").exists()


def test_what_is_damaged_or_half_there_is_fetched_again(run, tmp_path):
    home = LocalStore(tmp_path / "home")
    pull(run, home)
    whole = _files(home.root)
    front = home.root / "masks/i00-g0001-000/front.png"
    front.write_bytes(b"x" + bytes(2999))
    (home.root / checkpoint_key(0, "i00")).write_bytes(b"half")
    (home.root / "HEAD").unlink()
    stale = home.root / "masks" / ".tmp-1-killed"
    stale.write_bytes(b"half")
    os.utime(stale, (time.time() - 3600,) * 2)
    pulled = pull(run, home)
    assert _files(home.root) == whole
    assert pulled.fetched == 2


def test_damage_in_the_store_is_named_and_not_copied(run, tmp_path):
    run.put(checkpoint_key(0, "i00"), b"x" * 600)
    with pytest.raises(CorruptData, match=r"checkpoints/e00000/i00: .*do not match.*restore it from a copy"):
        pull(run, LocalStore(tmp_path / "home"))
    home = _files(tmp_path / "home")
    assert checkpoint_key(0, "i00") not in home
    assert "HEAD" not in home
    run.put("scores/a", b"x" * 100)
    with pytest.raises(CorruptData, match=r"scores/a: it is not a datamask object"):
        pull(run, LocalStore(tmp_path / "other"), ["scores"])
    target = next(key for key in run.list("targets/"))
    run.put(target, b"other")
    with pytest.raises(CorruptData, match="targets/"):
        pull(run, LocalStore(tmp_path / "other"), ["targets"])


def test_a_run_that_moves_on_while_it_is_copied(run, tmp_path, monkeypatch):
    record = Record(run)
    get, moved = run.get, []

    def get_and_move_on(key: str) -> bytes:
        if key == checkpoint_key(0, "elites") and not moved:
            moved.append(key)
            record.take_over()
            _commit(record, 1)
            _commit(record, 2)
            record.close()
            run.delete_many(run.list("checkpoints/e00000/"))
        if key == "masks/i00-g0001-000/front.png":
            raise ObjectMissing(key, run.url)
        return get(key)

    monkeypatch.setattr(run, "get", get_and_move_on)
    pulled = pull(run, LocalStore(tmp_path / "home"), threads=1)
    assert pulled.gone == 1
    copy = Record(open_store(tmp_path / "home"))
    assert copy.head().epoch == 2
    for key, sha256 in {**copy.head().parts, **copy.head().evaluations}.items():
        assert copy.part(key, sha256)
    run.delete(evaluations_key(2))
    with pytest.raises(CorruptData, match="HEAD lists objects that are gone"):
        pull(run, LocalStore(tmp_path / "other"))


def test_where_it_cannot_go(run, tmp_path, datamask):
    full = tmp_path / "documents"
    full.mkdir()
    (full / "thesis.tex").write_bytes(b"")
    other = _run(open_store(tmp_path / "others").sub("small"), seed=4)
    cases = [
        ((run.url, full), 2, "not empty and no copy of a run"),
        ((run.url, other.root), 2, "holds another run"),
        ((other.url, other.root), 2, "this is the run itself"),
        ((other.url, other.root / "masks" / "home"), 2, "or lies in it"),
        ((run.url, full / "thesis.tex"), 2, "is a file; expected a folder"),
        ((run.url.replace("small", "smal"), tmp_path / "new"), 2, "no run here"),
        (("s3:/x", tmp_path / "new"), 2, "expected a folder, file:///folder or s3://bucket/prefix"),
        (("ftp://x", tmp_path / "new"), 2, "expected a folder, file:///folder or s3://bucket/prefix"),
        ((run.url, "s3://masks/new"), 2, "expected a folder of this computer, not a URL"),
    ]
    for words, expected, text in cases:
        code, out, err = datamask("pull", *words)
        assert (code, out) == (expected, ""), err
        assert text in err
        assert err.count("\n") == 1
    assert not (tmp_path / "new").exists()
    assert _files(full) == {"thesis.tex": b""}


def _command(*words: object) -> list[str]:
    return [sys.executable, "-m", "coordinator.cli", "pull", *map(str, words)]


def test_a_file_that_the_disk_does_not_take(run, tmp_path):
    home = tmp_path / "home"
    # ulimit counts KiB: front.png has 3000 bytes, everything else less than 1024.
    limited = ["bash", "-c", 'ulimit -f 1; exec "$@"', "bash", *_command(run.url, home)]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "front.png: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    pull(run, LocalStore(home))
    assert (home / "masks/i00-g0001-000/front.png").stat().st_size == 3000
    assert (home / "HEAD").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_copy_goes_on(s3_server, tmp_path, number):
    run = _finished(_run(open_store(s3_server.url).sub("small")))
    for k in range(80):
        run.put(f"masks/i00-g0002-{k:03d}/front.png", b"%d" % k * 2000)
    home = tmp_path / "my home"
    command = _command(run.url, home, "--only", "masks", "--threads", "1")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while len([p for p in home.rglob("*.png") if not p.name.startswith(".")]) < 10:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    there = {key: data for key, data in _files(home).items() if "/.tmp-" not in key}
    assert 10 <= len(there) < 83
    assert all(run.get(key) == data for key, data in there.items())
    if number == signal.SIGINT:
        assert (process.returncode, out) == (130, "")
        assert f"datamask pull {run.url} '{home}' --only masks" in err
    pulled = pull(run, LocalStore(home), ["masks"])
    assert pulled.held == len(there)
    assert pulled.held + pulled.fetched == len(run.list("masks/")) + 1


def test_the_store_stands_still_while_it_is_copied(s3_server, tmp_path):
    run = _finished(_run(open_store(s3_server.url).sub("small")))
    s3_server.pause()
    timer = threading.Timer(2, s3_server.resume)
    timer.start()
    try:
        pull(run, LocalStore(tmp_path / "home"))
    finally:
        timer.join()
    assert Record(open_store(tmp_path / "home")).head().done


def test_nothing_is_fetched_twice_where_the_listing_has_hashes(s3_server, tmp_path, monkeypatch):
    run = _finished(_run(open_store(s3_server.url).sub("small")))
    run.put("film.webp", bytes(range(256)) * (70_000))  # 17.9 MB: travels in parts, its ETag is of parts
    home = LocalStore(tmp_path / "home")
    pull(run, home)
    asked = []
    get = run.get
    monkeypatch.setattr(run, "get", lambda key: asked.append(key) or get(key))
    pull(run, home)
    assert set(asked) == {"run.toml"}
    assert (home.root / "film.webp").read_bytes() == get("film.webp")


TINY = """
name = "tiny"
seed = 5
[search]
islands = 1
population = 4
generations = 1
[migration]
count = 0
[views]
count = 1
size_px = 96
[verify]
views = 1
[elites]
count = 1
candidates = 1
ranking_views = 1
[[objective]]
kind = "detect"
model = "dlib-hog"
"""


@pytest.mark.slow  # a whole evolution, with meshes and pictures, and the search of another
def test_a_real_run_in_a_bucket_is_the_run_in_a_folder_and_comes_home(s3_server, tmp_path, datamask):
    spec = tmp_path / "tiny.toml"
    spec.write_text(TINY)
    code, out, err = datamask("evolve", spec, "--store", s3_server.url, "--quiet")
    assert code == 0, err
    url, home = out.splitlines()[-1], tmp_path / "home"
    assert url == f"{s3_server.url}/tiny-001"
    assert datamask("pull", url, home)[0] == 0
    ours = _files(home)
    assert ours == _objects(open_store(url))
    record = Record(open_store(tmp_path / "runs").sub("tiny"))
    opened = open_run(load_spec(spec), record, resume=False)
    evolve_run(opened, LocalExecutor(record.store, shared_evaluator()), [], lambda evolution: None)
    record.close()
    searched = [key for key in ours if key.startswith(("checkpoints/", "evaluations/"))]
    assert {key: ours[key] for key in searched} == {key: record.store.get(key) for key in searched}
    for run in (url, home):
        code, out, _ = datamask("show", run, "--json")
        assert (code, json.loads(out)["state"]) == (0, "done")
    mask = next(key for key in ours if key.startswith("masks/")).split("/")[1]
    code, out, _ = datamask("mesh", url, mask, "--out", tmp_path / "mask.glb")
    assert code == 0
    assert (tmp_path / "mask.glb").read_bytes()[:4] == b"glTF"
