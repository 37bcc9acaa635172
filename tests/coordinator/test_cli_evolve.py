"""Bad input to ``datamask evolve``: one clear line, the right exit code, nothing lost, never a traceback."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from coordinator.cli import app, main
from datamask import open as open_run

TINY = """
[search]
islands = 1
population = 4
generations = 1
[migration]
count = 0
[views]
count = 1
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
DAMAGED_AVIF = Path(__file__).parents[1] / "data" / "pictures" / "item-is-missing.avif"
FACE = TINY.replace('"detect"', '"identity"').replace("dlib-hog", "dlib-resnet")


class Outcome:
    """Exit code and what was printed."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def datamask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Call the command line in this process."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["datamask", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        code = ended.value.code
        return Outcome(code if isinstance(code, int) else 0, printed.out, printed.err)

    return call


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run with all of its pictures, and what was printed last."""
    folder = tmp_path_factory.mktemp("whole")
    words = ["evolve", str(spec(folder)), "--store", str(folder), "--run", "one"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "still to be made" not in done.stderr
    return folder / "one", done.stdout.strip().splitlines()[-1]


def refused(outcome: Outcome, *words: str, code: int = 2) -> None:
    assert outcome.code == code, outcome.err
    assert "Traceback" not in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1, outcome.err
    for word in words:
        assert word in outcome.err, outcome.err


def spec(folder: Path, text: str = TINY) -> Path:
    path = folder / "tiny.toml"
    path.write_text(text)
    return path


def test_missing_malformed_and_unknown(datamask, tmp_path: Path) -> None:
    refused(datamask("evolve", "none.toml"), "none.toml", "no such spec", "examples/")
    refused(datamask("evolve", spec(tmp_path, "[search")), "not valid TOML")
    refused(datamask("evolve", spec(tmp_path, TINY + "[veiws]")), "unknown key 'veiws'", "'views'")
    refused(datamask("evolve", spec(tmp_path), "--set", "search.population=2"), "population", "given: 2")
    assert "tiny.toml" not in datamask("evolve", spec(tmp_path), "--set", "search.population=2").err
    assert not (tmp_path / "runs").exists()


def test_a_fault_of_the_machine_ends_the_run_with_its_cause_and_the_way_on(
    datamask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as machine:
        machine.setattr("worker.scorer.Scorer._pass", broken)
        outcome = datamask("evolve", spec(tmp_path), "--run", "r", "--set", "search.batch=2")
    refused(outcome, "No space left on device", "go on with: datamask evolve", "--resume --set", code=1)
    assert not (tmp_path / "runs" / "r" / "failures").exists()
    again = ("evolve", tmp_path / "tiny.toml", "--run", "r", "--set", "search.batch=2", "--resume")
    assert datamask(*again, "--no-pictures").code == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not a picture", ["face.png", "read"]),
        (None, ["face.png"]),
        (DAMAGED_AVIF.read_bytes(), ["face.png", "cannot be read", "JPEG or PNG"]),
        (b"\0\0\0\x18ftypheic" + bytes(99), ["face.png", "HEIC", "JPEG or PNG"]),
        ("gray", ["face.png", "no face"]),
        ("two", ["face.png", "faces"]),
    ],
)
def test_photos_that_cannot_be_used(datamask, tmp_path: Path, content: object, words: list[str]) -> None:
    path = tmp_path / "face.png"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "gray":
        Image.new("RGB", (200, 200), "gray").save(path)
    elif content == "two":
        import skimage.data

        face = skimage.data.astronaut()[0:224, 110:334]
        Image.fromarray(np.hstack([face, face])).save(path)
    outcome = datamask(
        "evolve", spec(tmp_path, FACE), "--target", path, "--consent", "me, for a test", "--run", "r"
    )
    refused(outcome, *words)
    assert not (tmp_path / "runs" / "r").exists()


def test_a_picture_that_scikit_image_does_not_ship(datamask, tmp_path: Path) -> None:
    path = spec(tmp_path, FACE + 'images = ["skimage:nobody"]\n')
    outcome = datamask("evolve", path, "--consent", "me")
    refused(outcome, "skimage:nobody", "skimage:astronaut")
    assert "site-packages" not in outcome.err


def test_identity_without_consent(datamask, tmp_path: Path) -> None:
    refused(datamask("evolve", spec(tmp_path, FACE), "--target", "face.png"), "[consent]", "--consent")


def test_pictures_can_wait(datamask, whole: tuple[Path, str], tmp_path: Path) -> None:
    evolved = datamask("evolve", spec(tmp_path), "--run", "one", "--no-pictures")
    assert evolved.code == 0, evolved.err
    run = tmp_path / "runs" / "one"
    assert evolved.out.strip() == run.as_uri()
    assert "still to be made" in evolved.err
    assert (run / "checkpoints").is_dir()
    assert not json.loads((run / "HEAD").read_text())["done"]
    assert not (run / "lineup.png").exists()
    assert datamask("evolve", spec(tmp_path), "--run", "one", "--resume").code == 0
    for name in ("lineup.png", "report.html"):
        assert (run / name).exists()
    # As if nobody had stopped it.
    assert (run / "lineup.png").read_bytes() == (whole[0] / "lineup.png").read_bytes()


def test_a_run_and_its_name(datamask, whole: tuple[Path, str], tmp_path: Path) -> None:
    assert whole[1] == whole[0].as_uri()
    shutil.copytree(whole[0], tmp_path / "runs" / "one")
    refused(datamask("evolve", spec(tmp_path), "--run", "one"), "exists", "--resume", "--run")
    left = tmp_path / "runs" / "one" / "scores" / "left"  # by a coordinator that was killed as it ended
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"")
    again = datamask("evolve", spec(tmp_path), "--run", "one", "--resume")
    assert again.code == 0
    assert "complete already" in again.err
    assert not left.exists()
    refused(
        datamask("evolve", spec(tmp_path), "--run", "one", "--resume", "--seed", 5), "seed: 0 -> 5", "--run"
    )
    refused(datamask("evolve", spec(tmp_path), "--run", "../x"), "..")
    # Older versions took other names; such a run goes on, but workers never took them.
    (tmp_path / "runs" / "one").rename(tmp_path / "runs" / "my run")
    older = datamask("evolve", spec(tmp_path), "--run", "my run", "--resume")
    assert "complete already" in older.err
    on_workers = ("--run", "my run", "--resume", "--executor", "celery")
    refused(datamask("evolve", spec(tmp_path), *on_workers), "run name 'my run'", "such as 'my-run'")
    (tmp_path / "runs" / "my run").rename(tmp_path / "runs" / "one")
    ids = sorted(p.name for p in (tmp_path / "runs" / "one" / "masks").iterdir())
    mesh = datamask("mesh", "runs/one", ids[0])
    assert mesh.code == 0, mesh.err
    assert (tmp_path / f"{ids[0]}.glb").read_bytes()[:4] == b"glTF"
    assert (tmp_path / f"{ids[0]}.glb").stat().st_size > 50_000
    refused(datamask("mesh", "runs/one", "i00-g0000-9"), "no mask", "i00-g0000-00")
    refused(datamask("mesh", "runs/none", ids[0]), "no run here")


@pytest.mark.parametrize("name", ["my run", "é", "a#1", "a/b", ".x", "a" * 121])
def test_a_name_is_taken_wherever_batches_are_scored_or_nowhere(datamask, tmp_path: Path, name: str) -> None:
    here = datamask("evolve", spec(tmp_path), "--run", name)
    refused(here, f"run name {name!r}", "expected at most 120 letters, digits")
    # Before the broker is asked, too.
    there = datamask(
        *("evolve", spec(tmp_path), "--run", name, "--executor", "celery"),
        *("--broker", "redis://127.0.0.1:9/0"),
    )
    assert there.err == here.err
    assert not (tmp_path / "runs").exists()


def test_what_is_wrong_with_the_broker_shows_before_anything_is_written(
    datamask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coordinator.queue.celery_executor.PATIENCE_S", 0.0)
    words = ("evolve", spec(tmp_path), "--run", "one", "--executor", "celery", "--broker")
    refused(datamask(*words, "redis://:pa/ss@127.0.0.1:9/0"), "redis://***@127.0.0.1:9/0", "/ as %2F")
    refused(datamask(*words, "redis://:secret@127.0.0.1:9/0?socket_timeout=abc"), "after a ?")
    refused(datamask(*words, "redis://:secret@127.0.0.1:9/0"), "did not answer", "redis-server", code=1)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.toml"]
    # The corrected command begins the run.
    assert datamask("evolve", spec(tmp_path), "--run", "one", "--no-pictures").code == 0


def test_a_store_that_cannot_be_written(datamask, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    outcome = datamask("evolve", spec(tmp_path), "--store", "file")
    assert outcome.code in (1, 2)
    refused(outcome, "file", code=outcome.code)
    for slip in ("ftp://x", "s3:/masks/x", "s3:masks", "s3//masks", "file:runs"):
        refused(datamask("evolve", spec(tmp_path), "--store", slip), slip, "s3://bucket/prefix")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "tiny.toml"]


def test_damaged_weights_are_named(datamask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from services.recognition import catalog

    info = catalog.model_info("dlib-mmod")
    real = catalog.locate(info)
    assert real is not None
    copy = tmp_path / "weights.dat"
    data = bytearray(real.read_bytes())
    data[1000] ^= 1
    copy.write_bytes(bytes(data))
    monkeypatch.setattr(catalog, "locate", lambda wanted: copy)
    text = TINY.replace("dlib-hog", "dlib-mmod")
    ended = datamask("evolve", spec(tmp_path, text), "--run", "w")
    refused(ended, "dlib-mmod", "sha256", "install", "--run w --resume", code=1)


@pytest.mark.parametrize("model", ["facenet", "mobilefacenet"])
def test_weights_that_are_not_here_are_named_before_anything_is_written(
    datamask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DATAMASK_MODELS", raising=False)
    text = TINY.replace('"detect"', '"consistent"').replace("dlib-hog", model)
    text = text.replace("[views]\ncount = 1", "[views]\ncount = 2")
    text = text.replace("ranking_views = 1", "ranking_views = 2")
    refused(datamask("evolve", spec(tmp_path, text), "--run", "w"), f"datamask models --get {model}", code=1)
    assert not (tmp_path / "runs").exists()


def test_help_says_enough_to_start(datamask) -> None:
    text = datamask("--help").out
    for command in ("evolve", "show", "mesh", "models", "doctor", "worker"):
        assert command in text
    assert "--resume" in datamask("evolve", "--help").out


def test_an_identity_run_keeps_the_consent_and_the_embedding_but_not_the_photo(
    datamask, tmp_path: Path
) -> None:
    import skimage.data

    face = tmp_path / "somebody.png"
    Image.fromarray(skimage.data.astronaut()[0:224, 110:334]).save(face)
    words = [
        "evolve",
        spec(tmp_path, FACE),
        "--consent",
        "a test of the software",
        "--run",
        "face",
        "--quiet",
    ]
    done = datamask(*words, "--target", face)
    assert done.code == 0, done.err
    run = tmp_path / "runs" / "face"
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["consent"]["granted_by"] == manifest["consent"]["purpose"] == "a test of the software"
    assert manifest["photos_sha256"] == [hashlib.sha256(face.read_bytes()).hexdigest()]
    (target,) = (run / "targets").iterdir()
    with np.load(target, allow_pickle=False) as stored:
        assert stored["embeddings"].shape == (1, 128)
    assert str(tmp_path) not in (run / "run.toml").read_text()
    assert 'images = [\n    "somebody.png",\n]' in (run / "run.toml").read_text()
    table = pd.read_parquet(run / "evaluations" / "e00000.parquet")
    distances = np.stack(table["scores identity:dlib-resnet"].to_list())
    assert ((distances > 0.3) & (distances < 1.5)).all()
    Image.fromarray(skimage.data.astronaut()[0:224, 105:329]).save(face)
    refused(datamask(*words, "--target", face, "--resume"), "photos are not the ones", "--run")


def test_a_portrait_on_a_blank_begins_where_no_machine_sees_a_face(datamask, tmp_path: Path) -> None:
    import skimage.data

    face = tmp_path / "somebody.png"
    Image.fromarray(skimage.data.astronaut()[0:224, 110:334]).save(face)
    text = FACE.replace("views = 1", "views = 2").replace("[views]\n", "[views]\nsize_px = 96\n")
    text += (
        "gate = true\n"
        + TINY[TINY.index("[[objective]]") :]
        + FACE[FACE.index("[[objective]]") :].replace("dlib-resnet", "lbp")
    )
    text += '[mask]\nbasis = "blank-oval-1"\ncolor = true\n'
    words = [
        "evolve",
        spec(tmp_path, text),
        "--consent",
        "a test",
        "--run",
        "face",
        "--quiet",
        "--target",
        face,
    ]
    refused(datamask(*words), "'lbp' aligns faces by five points", "yunet")
    text += '[[objective]]\nkind = "detect"\nmodel = "yunet"\n'
    words[1] = spec(tmp_path, text.replace('"detect"', '"together"'))
    done = datamask(*words)
    assert done.code == 0, done.err
    run = tmp_path / "runs" / "face"
    assert 'basis = "blank-oval-1+' in (run / "run.toml").read_text()
    table = pd.read_parquet(run / "evaluations" / "e00000.parquet")
    assert np.isfinite(np.stack(table["scores together:dlib-hog"].to_list())).all()
    for label, floor in (("dlib-resnet", 0.9), ("lbp", None)):
        raw = np.stack(table[f"scores identity:{label}"].to_list())
        assert np.isfinite(raw).all()
        assert floor is None or raw.max() == pytest.approx(floor)
        assert table[f"value identity:{label}"].min() == pytest.approx(-3.0, abs=1e-3)
    checked = datamask("verify", "runs/face", "--views", "2", "--gallery", "0")
    assert checked.code == 0, checked.err
    assert "no face" in checked.out
    (mask,) = open_run("runs/face").elites
    said = mask.scores(["dlib-resnet", "lbp", "eigenfaces"], views=2)
    assert set(said) == {"dlib-resnet", "lbp", "eigenfaces"}
    for answers in said.values():
        assert answers.margins.min() == pytest.approx(-3.0, abs=1e-3)
