"""``datamask models``."""

from __future__ import annotations

import importlib
import json

import typer
from typer.testing import CliRunner

from coordinator.cli.models import models
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
        assert entry["installed"] == "yes"


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
