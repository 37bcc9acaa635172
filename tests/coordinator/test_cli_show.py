"""``datamask show``: what a record says, without scoring anything."""

from __future__ import annotations

import json
import os
import socket
import threading
import time

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from coordinator.cli.show import read_run, show
from coordinator.record.evaluations import no_elite
from coordinator.record.record import Record, checkpoint_key, evaluations_key
from coordinator.spec.spec import parse_spec
from services.errors import BadInput, CorruptData
from services.recognition.fitness import Objective
from services.storage.open import open_store
from services.wire.mask import Mask, encode_masks
from services.wire.objects import MAX_ATTEMPTS, record_failure
from tests.support.runs import encode_rows

SPEC = {
    "name": "portrait",
    "seed": 7,
    "search": {"islands": 2, "population": 4, "generations": 10},
    "migration": {"every": 4, "count": 1},
    "views": {"count": 3},
    "elites": {"count": 2},
    "objective": [{"kind": "detect", "model": "dlib-hog"}, {"kind": "consistent", "model": "dlib-resnet"}],
}
OBJECTIVES = (Objective("detect", "dlib-hog", 1.0, 0.0), Objective("consistent", "dlib-resnet", 1.0, 0.6))

app = typer.Typer()
app.command("show")(show)


def row(island, generation, index, fitness):
    return {
        "id": f"i{island:02d}-g{generation:04d}-{index:03d}",
        "island": island,
        "generation": generation,
        "parents": [],
        "genome": np.zeros(3, np.float32),
        "basis": "b",
        "fitness": fitness,
        "status": "ok",
        "flipped": 0.0,
        "value dlib-hog": fitness / 2,
        "scores dlib-hog": np.zeros(3, np.float32),
        "value consistent:dlib-resnet": -1.0,
        "scores consistent:dlib-resnet": np.zeros(3, np.float32),
    }


def ranked(island, fitness):
    genome = np.full(3, fitness, np.float32)
    return Mask(
        f"i{island:02d}-g0003-000", island, 3, genome, fitness, np.array([fitness, 0.5], np.float32), 0.1
    )


@pytest.fixture
def run(tmp_path):
    """A run with one checkpoint, its coordinator gone in good order."""
    record = Record(open_store(tmp_path / "portrait-001", write=True))
    spec = parse_spec(SPEC, "test")
    record.write_spec(spec.table(), spec.toml())
    record.take_over()
    rows = [row(0, 0, 0, -1.0), row(0, 3, 1, 0.5), row(0, 3, 2, -np.inf), row(1, 2, 0, 0.25)]
    best = [ranked(0, 0.5), ranked(1, 0.25), ranked(0, 0.125)]
    record.commit(
        0,
        {checkpoint_key(0, "elites"): encode_masks(best)},
        {evaluations_key(0): encode_rows(rows, OBJECTIVES)},
    )
    record.close()
    return record


def test_a_run_is_told_from_its_record(run):
    facts = read_run(run)
    assert facts["name"] == "portrait"
    assert facts["seed"] == 7
    assert facts["state"] == "interrupted"
    assert (facts["generation"], facts["generations"]) == (4, 10)
    assert (facts["masks_scored"], facts["views_scored"]) == (4, 12)
    assert facts["set_aside"] == []
    first, second = facts["islands"]
    assert first["best"] == "i00-g0003-001"
    assert first["fitness"] == 0.5
    assert first["values"] == {"dlib-hog": 0.25, "consistent:dlib-resnet": -1.0}
    assert second["fitness"] == 0.25
    # The best of every island before any island's second.
    assert [elite["id"] for elite in facts["elites"]] == ["i00-g0003-000", "i01-g0003-000"]
    assert facts["elites"][0]["values"] == {"dlib-hog": 0.5, "consistent:dlib-resnet": 0.5}


def test_json_and_table_say_the_same(run):
    answer = CliRunner().invoke(app, [run.url, "--json"])
    assert answer.exit_code == 0
    facts = json.loads(answer.stdout)
    assert facts == read_run(run)
    text = CliRunner().invoke(app, [run.url]).stdout
    for word in ("portrait (seed 7): interrupted, generation 4 of 10", "i00-g0003-001", "+0.50", run.url):
        assert word in text


def test_a_fresh_run_has_no_checkpoint(tmp_path):
    record = Record(open_store(tmp_path / "fresh", write=True))
    spec = parse_spec(SPEC, "test")
    record.write_spec(spec.table(), spec.toml())
    facts = read_run(record)
    assert (facts["generation"], facts["checkpoint"], facts["elites"]) == (0, None, [])
    assert [island["best"] for island in facts["islands"]] == [None, None]
    assert "no checkpoint yet" in CliRunner().invoke(app, [record.url]).stdout


def test_masks_that_could_not_be_scored_are_no_numbers_in_json(run):
    run.take_over()
    run.commit(1, {}, {evaluations_key(1): encode_rows([row(1, 4, 0, -np.inf)], OBJECTIVES)})
    run.close()
    assert "Infinity" not in CliRunner().invoke(app, [run.url, "--json"]).stdout


def test_done_running_and_killed_are_told_apart(run):
    run.take_over()
    assert read_run(run)["state"] == "running"
    run.close()
    assert read_run(run)["state"] == "interrupted"
    # Killed: the last beat stays as it was.
    beat = {"owner": 1, "count": 3, "host": "elsewhere", "pid": os.getpid(), "ended": False}
    run.store.put("beat.json", json.dumps(beat).encode())
    assert read_run(run)["state"] == "interrupted"
    run.store.put("beat.json", json.dumps({**beat, "host": socket.gethostname(), "pid": 2**22}).encode())
    before = time.monotonic()
    assert read_run(run)["state"] == "interrupted"
    assert time.monotonic() - before < 2
    # On another host it is alive as long as its beats change.
    run.store.put("beat.json", json.dumps(beat).encode())
    later = threading.Timer(
        0.5, lambda: run.store.put("beat.json", json.dumps({**beat, "count": 4}).encode())
    )
    later.start()
    assert read_run(run)["state"] == "running"
    later.join()
    run.store.put("beat.json", json.dumps({**beat, "ended": True}).encode())
    run.take_over()
    run.commit(2, {}, {}, done=True)
    run.close()
    assert read_run(run)["state"] == "done"


def test_batches_that_were_set_aside_are_named(run):
    for k in range(MAX_ATTEMPTS):
        record_failure(run.store, "a" * 40, f"Traceback: [attempt {k + 1}]")
    record_failure(run.store, "b" * 40, "Traceback: [once]")
    facts = read_run(run)
    assert facts["set_aside"] == ["a" * 40]
    assert facts["failures"] == [
        {"batch": "a" * 40, "attempts": MAX_ATTEMPTS, "traceback": f"Traceback: [attempt {MAX_ATTEMPTS}]"},
        {"batch": "b" * 40, "attempts": 1, "traceback": "Traceback: [once]"},
    ]
    shown = CliRunner().invoke(app, [run.url]).stdout
    assert f"Traceback: [attempt {MAX_ATTEMPTS}]" in shown
    assert "was set aside" in shown
    assert "was tried again" in shown


def test_masks_that_were_not_scored_have_no_number(run):
    lost = [
        {**row(1, 5, k, -np.inf), "status": status, "value consistent:dlib-resnet": value}
        for k, (status, value) in enumerate([("failed", 4.36), ("failed", np.nan), ("invisible", 4.36)])
    ]
    lost[1]["scores dlib-hog"] = lost[1]["scores consistent:dlib-resnet"] = None
    run.take_over()
    run.commit(1, {}, {evaluations_key(1): encode_rows(lost, OBJECTIVES)})
    run.close()
    facts = read_run(run)
    assert (facts["masks_scored"], facts["views_scored"]) == (4, 12 + 3)  # the invisible one was looked at
    assert facts["not_scored"] == {"failed": 2, "invisible": 1}
    assert facts["islands"][1]["best"] == "i01-g0002-000"
    shown = CliRunner().invoke(app, [run.url]).stdout
    assert "4.36" not in shown
    assert "3 masks were not scored: 2 lie in batches that failed" in " ".join(shown.split())


def test_an_island_of_which_nothing_was_scored_is_blank(tmp_path):
    record = Record(open_store(tmp_path / "lost", write=True))
    spec = parse_spec(SPEC, "test")
    record.write_spec(spec.table(), spec.toml())
    record.take_over()
    rows = [{**row(0, 0, k, -np.inf), "status": "failed", "value dlib-hog": 4.36} for k in range(4)]
    parts = {checkpoint_key(0, "elites"): encode_masks([])}
    record.commit(0, parts, {evaluations_key(0): encode_rows(rows, OBJECTIVES)})
    record.close()
    blank = {"masks_scored": 0, "best": None, "generation": None, "fitness": None, "values": {}}
    assert read_run(record)["islands"] == [{"island": k, **blank} for k in range(2)]
    shown = CliRunner().invoke(app, [record.url]).stdout
    assert "4.36" not in shown
    assert "i00-g0000-000" not in shown
    assert "no checkpoint yet" not in shown
    assert "no mask could be scored: 4 lie in batches that failed" in no_elite(record)


def test_the_audit_of_an_elite_is_shown_where_there_is_one(run):
    run.store.put("masks/i00-g0003-000/audit.json", b'{"hog_rate": 0.75}')
    assert read_run(run)["elites"][0]["audit"] == {"hog_rate": 0.75}
    assert "75%" in CliRunner().invoke(app, [run.url]).stdout
    run.store.put("masks/i00-g0003-000/audit.json", b"{")
    with pytest.raises(CorruptData, match="audit"):
        read_run(run)


def test_no_run_and_a_changed_file_are_clear_errors(run, tmp_path):
    with pytest.raises(BadInput, match="no run here"):
        read_run(Record(open_store(tmp_path / "nothing")))
    run.store.put(evaluations_key(0), b"changed")
    with pytest.raises(CorruptData, match="hash"):
        read_run(run)
