"""``datamask doctor``: healthy here, and a clear word on each thing that may be missing."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os

import pytest
import typer
from typer.testing import CliRunner

from coordinator.cli.doctor import check_redis, check_store, check_versions, check_weights, doctor
from services.recognition import catalog

module = importlib.import_module("coordinator.cli.doctor")  # the package has a command of that name

app = typer.Typer()
app.command("doctor")(doctor)

CLOSED = "redis://:secret@127.0.0.1:9/0"


def test_this_machine_is_healthy_without_redis(tmp_path, monkeypatch):
    monkeypatch.delenv("DATAMASK_BROKER", raising=False)
    place = tmp_path / "runs"
    answer = CliRunner().invoke(app, ["--json", "--store", str(place)])
    facts = json.loads(answer.stdout)
    by_name = {check["name"]: check for check in facts["checks"]}
    if by_name["opengl"]["state"] == "missing" and not os.environ.get("CI"):
        pytest.skip(by_name["opengl"]["mend"])
    missing = [check for check in facts["checks"] if check["state"] == "missing"]
    assert missing == []
    assert facts["healthy"]
    assert answer.exit_code == 0
    assert {"python", "torch", "device", "store", "redis server", "insightface"} <= set(by_name)
    assert not place.exists()  # looking leaves nothing behind


def test_something_missing_is_exit_code_1_with_what_to_do(monkeypatch):
    bad = module.Check("part", "missing", "gone", "put it back")
    monkeypatch.setattr(module, "examine", lambda store, broker: iter([bad]))
    for arguments in ([], ["--json"]):
        answer = CliRunner().invoke(app, arguments)
        assert answer.exit_code == 1
        assert "put it back" in answer.stdout


def test_redis_is_needed_only_where_one_is_named(monkeypatch):
    named = check_redis(CLOSED)
    assert named.state == "missing"
    assert "secret" not in named.found
    assert "DATAMASK_BROKER" in named.mend
    monkeypatch.setattr(module, "DEFAULT_BROKER", CLOSED)
    assert check_redis(None).state == "optional"
    assert check_redis("amqp://x").state == "missing"


def test_a_store_that_cannot_be_written_is_named(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    found = check_store(str(file / "runs"))
    assert found.state == "missing"
    assert str(file) in found.found
    for new in ("new", "new/deeper", "new/deeper/still"):
        assert check_store(str(tmp_path / new)).state == "ok"
        assert not (tmp_path / "new").exists()
    for slip in ("s3:/masks/runs", "x" * 300, "~nobody-of-this-name/runs", "a\0b"):
        assert check_store(slip).state == "missing"
    assert check_store(str(tmp_path)).state == "ok"
    assert file.read_text() == "x"


def test_a_bucket_is_tried_as_well(s3_server, monkeypatch):
    found = check_store(s3_server.url)
    assert (found.state, found.found) == ("ok", f"writable: {s3_server.url}")
    found = check_store("s3://unmade/runs")
    assert found.state == "missing"
    assert "aws s3 mb s3://unmade" in found.found
    monkeypatch.setattr(module, "STORE_WAIT_S", 0.5)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    found = check_store(s3_server.url)
    assert found.state == "missing"
    assert "http://127.0.0.1:9 does not answer" in found.found


def test_damaged_weights_are_named(tmp_path, monkeypatch):
    changed = tmp_path / "weights.dat"
    changed.write_bytes(b"not the weights")
    monkeypatch.setattr(module, "locate", lambda info: changed)
    monkeypatch.setattr(catalog, "locate", lambda info: changed)
    for check in check_weights():
        assert check.state == "missing"
        assert "damaged" in check.found
        assert check.mend


def test_weights_that_are_fetched_are_optional_and_come_with_their_command(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DATAMASK_MODELS", raising=False)
    checks = {check.name: check for check in check_weights()}
    for name in ("facenet", "mobilefacenet"):
        found = checks[f"model {name}"]
        assert (found.state, found.found) == ("optional", "not installed")
        assert found.mend == f"datamask models --get {name}"


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("numpy>=2", "ok"),
        ("numpy>=99", "missing"),
        ("numpy<2", "missing"),
        ("numpy>=2,<99", "ok"),
        ("no-such-package-here>=1", "missing"),
    ],
)
def test_versions_are_held_against_what_datamask_asks_for(monkeypatch, line, state):
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: [line, "never; extra == 'dev'"])
    *_, last = check_versions()
    assert last.state == state
    assert (last.mend == f'pip install "{line}"') == (state == "missing")
