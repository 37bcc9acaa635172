"""``datamask photograph``: a folder is begun, read as the protocol says, and never filled in by guessing."""

from __future__ import annotations

import csv
import io
import json
import shlex

import numpy as np
import pytest
import skimage.data
from PIL import Image
from typer.testing import CliRunner

from coordinator.cli import app
from coordinator.record.photographs import NOT_YET, Shot, begun, read_folder, results_of, shots, table
from services.errors import BadInput
from tests.support.runs import grow


def give(*arguments):
    answer = CliRunner().invoke(app, ["photograph", *map(str, arguments)])
    if isinstance(answer.exception, BadInput):
        raise answer.exception
    assert answer.exit_code == 0, answer.output
    return answer.stdout


def put(folder, place, pixels):
    path = folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


FACE = skimage.data.astronaut()[:300, 60:400]
GRAY = np.full((300, 340, 3), 120, np.uint8)


def test_the_protocol_asks_for_twelve_poses_in_two_lights_by_two_cameras():
    asked = list(shots())
    assert len(asked) == 3 * 12 * 2 * 2 + 4
    assert len({shot.place for shot in asked}) == len(asked)
    assert Shot("elite", "camera-1", "window", "07").place == "elite/camera-1-window/07"


def test_a_folder_is_begun_with_card_lists_and_places(tmp_path):
    grown = grow(tmp_path / "run", until=5)
    folder = tmp_path / "photos"
    give(folder, "--start", tmp_path / "run")
    assert (folder / "card.pdf").read_bytes().startswith(b"%PDF")
    assert (folder / "noise" / "camera-2-lamp").is_dir()
    prints = list(csv.DictReader(io.StringIO((folder / "prints.csv").read_text())))
    assert [row["print"] for row in prints] == ["elite", "twin", "noise"]
    assert f"--mask {grown.elites[0].id} --mount wall --out prints --control twin" in prints[1]["command"]
    assert len((folder / "shots.csv").read_text().splitlines()) == 149
    with pytest.raises(BadInput, match="not an empty folder"):
        give(folder, "--start", tmp_path / "run")
    for more in (["--model", "dlib-hog"], ["--json"]):
        with pytest.raises(BadInput, match=f"{more[0]}: has no say in --start"):
            give(tmp_path / "other", "--start", tmp_path / "run", *more)
    with pytest.raises(BadInput, match="not an elite"):
        give(tmp_path / "other", "--start", tmp_path / "run", "--mask", "i09-g0000-000")
    with pytest.raises(BadInput, match="no such folder"):
        give(tmp_path / "nothing")


def test_what_is_there_is_counted_and_the_rest_said_to_be_missing(tmp_path):
    folder = tmp_path / "photos"
    put(folder, "elite/camera-1-window/01.png", FACE)
    put(folder, "elite/camera-1-window/02.png", GRAY)
    put(folder, "noise/camera-2-lamp/12.png", GRAY)
    put(folder, "elite/camera-3-window/01.png", FACE)  # no such camera
    put(folder, "elite/camera-1-window/02.jpg", GRAY)  # twice
    (folder / "twin" / "camera-1-lamp").mkdir(parents=True)
    (folder / "twin" / "camera-1-lamp" / "01.jpg").write_bytes(b"no photo")
    (folder / "notes.txt").write_text("taken on a Sunday")
    found = json.loads(give(folder, "--model", "dlib-hog", "--json"))
    assert found["prints"]["elite"]["face"] == {"dlib-hog": 1}
    assert found["prints"]["elite"]["photographs"] == 2
    assert found["prints"]["elite"]["of"] == 48
    assert found["prints"]["twin"]["photographs"] == 0
    assert len(found["left_out"]) == 3
    assert all("\n" not in line for line in found["left_out"])
    said = (folder / "results.md").read_text()
    assert f"| `dlib-hog` | 1 of 2 | {NOT_YET} | 0 of 1 | {NOT_YET} |" in said
    assert "46 of 48 elite, 47 of 48 noise" in said
    rows = list(csv.DictReader(io.StringIO((folder / "results.csv").read_text())))
    assert [(row["print"], row["pose"], row["face"]) for row in rows] == [
        ("elite", "01", "yes"),
        ("elite", "02", "no"),
        ("noise", "12", "no"),
    ]


def test_without_a_photograph_the_table_says_so(tmp_path):
    (tmp_path / "shots.csv").write_text(begun("i00-g0000-000", "run")["shots.csv"])
    nothing, left_out = read_folder(tmp_path)
    assert (nothing, left_out) == ({}, [])
    for results in (None, results_of([], [], [])):
        assert table(results).endswith(f"| every machine | {' | '.join([NOT_YET] * 4)} |")


def test_files_of_ones_own_are_not_replaced(tmp_path):
    (tmp_path / "results.csv").write_text("mine")
    with pytest.raises(BadInput, match="no folder of photographs"):
        give(tmp_path)
    put(tmp_path, "elite/camera-1-window/01.png", GRAY)
    for content in (None, "[1, 2]", '{"mine": 1}', "no JSON"):
        if content is not None:
            (tmp_path / "results.json").write_text(content)
        with pytest.raises(BadInput, match="is not datamask photograph's; move it") as refused:
            give(tmp_path, "--model", "dlib-hog")
        assert "\n" not in str(refused.value)
    assert (tmp_path / "results.csv").read_text() == "mine"
    assert not (tmp_path / "results.md").exists()
    for name in ("results.csv", "results.json"):
        (tmp_path / name).unlink()
    for _ in range(2):  # what it has written itself, it replaces
        assert give(tmp_path, "--model", "dlib-hog").endswith("results.md\n")


def test_a_command_that_is_to_be_copied_names_the_run_whole():
    run = "runs of May/it's mine"
    rows = csv.DictReader(io.StringIO(begun("i00-g0000-000", run)["prints.csv"]))
    assert [shlex.split(row["command"])[2] for row in rows] == [run] * 3
