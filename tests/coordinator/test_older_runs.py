"""Runs that an earlier version wrote, in tests/data/runs-1: everything that a run is for still works.

Both were begun with small.toml there: ``older`` is evolved to its last checkpoint, ``half`` to its first.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coordinator.cli import app
from coordinator.record.chronicle import Chronicle
from coordinator.record.record import Record
from services.storage.open import open_store

WRITTEN = Path(__file__).parents[1] / "data" / "runs-1"
MASK = "i00-g0003-000"


def datamask(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def older(tmp_path: Path) -> Path:
    return shutil.copytree(WRITTEN / "older", tmp_path / "older")


def test_show_says_what_was_scored_then(older: Path) -> None:
    facts = json.loads(datamask("show", older, "--json"))
    assert (facts["generation"], facts["masks_scored"]) == (4, 32)
    assert [elite["id"] for elite in facts["elites"]] == ["i01-g0002-001", MASK]
    assert facts["archive"]["filled"] == 10


def test_verify_asks_the_machines_again(older: Path) -> None:
    datamask("verify", older, "--views", 2, "--gallery", 0, "--mask", MASK)
    found = json.loads((older / "verify" / "verify.json").read_bytes())
    assert {row["machine"] for row in found["rows"] if row["subject"] == MASK} >= {"dlib-hog", "lbp"}


def test_controls_come_with_a_verification(older: Path) -> None:
    assert "no controls in this run" in datamask("show", older)
    assert Chronicle(Record(open_store(older))).plan().facts["controls"] is None
    told = datamask("verify", older, "--views", 2, "--gallery", 0)
    assert "Elite against control" in told
    shown = datamask("show", older)
    assert "no controls in this run" not in shown
    assert "Elite against control" in shown
    controls = Chronicle(Record(open_store(older))).plan().facts["controls"]
    assert (controls["by"], controls["views"], controls["elite"]) == ("datamask verify", 2, "i01-g0002-001")
    assert set(controls["subjects"]) == {"noise", "first", "neutral"}
    # A verification of an earlier version has rows alone: what they hold is told all the same.
    key = older / "verify" / "verify.json"
    found = json.loads(key.read_bytes())
    del found["controls"]
    key.write_text(json.dumps(found))
    assert Chronicle(Record(open_store(older))).plan().facts["controls"] == controls


def test_print_makes_a_solid(older: Path) -> None:
    datamask("print", older, "--mask", MASK, "--mount", "none", "--size", "S", "--voxel-mm", 3, "--force")
    report = json.loads((older / "masks" / MASK / f"{MASK}.print.json").read_bytes())
    assert report["id"] == MASK
    assert (older / "masks" / MASK / f"{MASK}.stl").stat().st_size > 1000


def test_exhibit_makes_the_page(older: Path) -> None:
    datamask("exhibit", older, "--lineup-width", 600, "--film-px", 96, "--no-captions")
    page = (older / "report.html").read_text()
    assert MASK in page
    for name in ("lineup.png", "film.mp4", "archive.png"):
        assert (older / name).is_file()


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    half = shutil.copytree(WRITTEN / "half", tmp_path / "half")
    first = {path.name: path.read_bytes() for path in (half / "checkpoints" / "e00000").iterdir()}
    again = ("evolve", WRITTEN / "small.toml", "--store", tmp_path, "--run", "half", "--resume")
    datamask(*again, "--no-pictures", "--quiet")
    head = Record(open_store(half)).head()
    assert head.epoch == 1
    assert head.parts.keys() == {
        f"checkpoints/e00001/{part}" for part in ("archive.parquet", "elites", "i00", "i01")
    }
    assert {path.name: path.read_bytes() for path in (half / "checkpoints" / "e00000").iterdir()} == first
    facts = json.loads(datamask("show", half, "--json"))
    assert (facts["generation"], facts["masks_scored"]) == (4, 32)
