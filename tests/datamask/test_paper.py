"""Figures for a paper, runs side by side, and how to cite one."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import subprocess
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

import datamask
from coordinator.cli import app
from coordinator.record.chronicle import Chronicle
from services import versions
from services.recognition.statistics.rates import wilson_rate
from tests.support.runs import Grown, grow

ROOT = Path(__file__).parents[2]
ARCHIVE = {"on": True, "measures": ["abstraction", "asymmetry"], "cells": [6, 4]}


def rate(hits: int, trials: int) -> dict[str, Any]:
    found = wilson_rate(hits, trials)
    return {"share": found.share, "low": found.low, "high": found.high, "trials": trials, "hits": hits}


def verified(grown: Grown) -> dict[str, Any]:
    """What a verification says, with hits that a test can count."""
    rows = []
    for k, subject in enumerate([*(mask.id for mask in grown.elites), "neutral head"]):
        for machine, side, hits in (
            ("dlib-hog", "fitted", 8 - k),
            ("audit", "audit", 6),
            ("yunet", "critic", 1),
        ):
            row = {"subject": subject, "machine": machine, "side": side}
            rows.append({**row, "what": "detect", "rate": rate(hits, 10)})
        cuts = [{"name": "FAR 0.01", "threshold": 0.4, "rate": rate(3, 5)}]
        rows.append(
            {"subject": subject, "machine": "dlib-resnet", "side": "fitted", "what": "match", "matches": cuts}
        )
    return {"rows": rows, "question": "itself", "views": 10}


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Grown:
    made = grow(tmp_path_factory.mktemp("runs") / "first", archive=ARCHIVE)
    store = made.record.store
    store.put("verify/verify.json", json.dumps(verified(made)).encode())
    shares = np.linspace(-0.5, 1.0, 64).tolist()
    gaze = {"model": "dlib-hog", "shares": shares, "deletion": {"top": 0.9, "random": [0.1, 0.3]}}
    store.put(f"masks/{made.elites[0].id}/gaze-dlib-hog.json", json.dumps(gaze).encode())
    return made


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Grown:
    return grow(tmp_path_factory.mktemp("runs") / "second", generations=5, population=6)


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


def test_every_figure_comes_with_its_numbers(grown: Grown, tmp_path: Path) -> None:
    files = datamask.figures(grown.record.url, tmp_path, ("svg", "pdf", "png"))
    names = {"curves", "rates-detect", "matrix-detect", "rates-match-far-0.01", "matrix-match-far-0.01"}
    assert {path.stem for path in files} == names | {"gaze", "archive"}
    for path in files:
        data = path.read_bytes()
        if path.suffix == ".svg":
            assert ET.fromstring(data).tag.endswith("svg")
        elif path.suffix != ".csv":
            assert data.startswith(b"%PDF" if path.suffix == ".pdf" else b"\x89PNG")
    curves = table(tmp_path / "curves.csv")
    assert len(curves) == 20
    rows = [r for r in grown.rows if (r["island"], r["generation"]) == (1, 9)]
    best = max(r["fitness"] for r in rows)
    assert float(
        next(r for r in curves if (r["line"], r["generation"]) == ("island 1", "9"))["best"]
    ) == pytest.approx(best, abs=1e-4)
    seen = table(tmp_path / "rates-detect.csv")
    assert [r["share"] for r in seen if r["machine"] == "dlib-hog (fitted)"] == ["0.8", "0.7", "0.6"]
    assert all(float(r["low"]) <= float(r["share"]) <= float(r["high"]) for r in seen)
    matrix = table(tmp_path / "matrix-detect.csv")
    assert list(matrix[0]) == ["subject", "dlib-hog (fitted)", "audit", "yunet (critic)"]
    gaze = table(tmp_path / "gaze.csv")
    assert len(gaze) == 64
    assert (gaze[0]["share"], gaze[0]["lost_without_random_tenth"]) == ("-0.5", "0.2")
    assert grown.archive is not None
    cells = table(tmp_path / "archive.csv")
    assert {r["mask"] for r in cells} == {mask.id for mask in grown.archive.kept}
    # Letters stay letters in a vector drawing.
    assert "island 1" in (tmp_path / "curves.svg").read_text()


def test_one_run_gives_the_same_bytes(grown: Grown, tmp_path: Path) -> None:
    first = datamask.figures(datamask.open(grown.record.url), tmp_path / "a")
    second = datamask.figures(datamask.open(grown.record.url), tmp_path / "b")
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes(), one.name


def test_what_was_not_measured_is_left_out(other: Grown, tmp_path: Path) -> None:
    assert {p.name for p in datamask.figures(other.record.url, tmp_path, ["svg"])} == {
        "curves.svg",
        "curves.csv",
    }


def test_runs_stand_side_by_side(grown: Grown, other: Grown, tmp_path: Path) -> None:
    found = datamask.compare([grown.record.url, datamask.open(other.record.url)])
    first, second = found.runs
    assert (first.run, first.masks, second.masks) == ("first", 80, 60)
    assert found.differences["search.generations"] == (10, 5)
    assert found.differences["archive.on"] == (True, None)
    assert "seed" not in found.differences
    assert first.best[-1] == pytest.approx(max(r["fitness"] for r in grown.rows), abs=1e-4)
    assert list(first.best) == sorted(first.best)
    rates = {(r.machine, r.asked): r for r in first.rates}
    pooled = rates["dlib-hog (fitted)", "detect"]
    assert (pooled.share, pooled.views) == (0.75, 20)  # 8 and 7 of 10; the neutral head is no elite
    assert (pooled.low, pooled.high) == (wilson_rate(15, 20).low, wilson_rate(15, 20).high)
    assert second.rates == ()
    json.dumps(found.facts(), allow_nan=False)
    names = {path.name for path in found.figures(tmp_path, ["svg"])}
    assert names == {"curves.svg", "curves.csv", "rates.svg", "rates.csv"}
    assert {r["line"] for r in table(tmp_path / "curves.csv")} == {"first", "second"}


def test_without_a_verification_the_audit_speaks(other: Grown, grown: Grown) -> None:
    audit = [
        {"id": mask.id, "views": 4, "hog_rate": 0.5, "critics": {"viola-jones": 0.25}}
        for mask in other.elites
    ]
    other.record.store.put("audit.json", json.dumps({"masks": audit}).encode())
    rates = datamask.compare([other.record.url, grown.record.url]).runs[0].rates
    assert [(r.machine, r.asked, r.share, r.views) for r in rates] == [
        ("dlib HOG", "audit", 0.5, 8),
        ("viola-jones", "audit", 0.25, 8),
    ]
    other.record.store.delete_many(["audit.json"])


def test_a_citation_says_what_it_takes_to_get_the_run_again(grown: Grown) -> None:
    found = datamask.cite(grown.record.url)
    text = found.bibtex()
    spec = grown.record.store.get("run.toml")
    assert found.spec_sha256 == hashlib.sha256(spec).hexdigest()
    assert found.spec_sha256 in text
    assert "seed 3" in text
    assert text.count("{") == text.count("}")
    assert re.search(r"@misc\{datamask:first,", text)
    recorded = tomllib.loads(spec.decode())["versions"]
    assert (found.version, found.commit) == (recorded["datamask"], recorded.get("commit"))
    if (ROOT / ".git").exists():
        head = subprocess.run(
            ["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        )
        if head.returncode == 0:
            assert (versions.commit() or "").removesuffix("-changed") == head.stdout.strip()


def test_a_copy_is_called_as_its_folder_is(grown: Grown, tmp_path: Path) -> None:
    copy = tmp_path / "my copy für %20"
    made = grow(copy, generations=5)
    assert datamask.open(copy).name == copy.name
    assert datamask.cite(copy).run == copy.name
    assert datamask.compare([grown.record.url, copy]).runs[1].run == copy.name
    assert Chronicle(made.record).plan().facts["run"] == copy.name


def test_the_repository_can_be_cited() -> None:
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert said["cff-version"] == "1.2.0"
    assert {"title", "message", "authors", "abstract"} <= set(said)
    assert (said["version"], said["license"]) == (project["version"], project["license"])


def test_the_commands_say_the_same(grown: Grown, other: Grown, tmp_path: Path) -> None:
    def command(*words: object) -> str:
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.output
        return done.output

    first, second = grown.record.url, other.record.url
    assert command("cite", first) == datamask.cite(first).bibtex()
    assert json.loads(command("cite", first, "--json"))["seed"] == 3
    told = json.loads(command("compare", first, second, "--json"))
    assert told == json.loads(json.dumps(datamask.compare([first, second]).facts()))
    shown = command("compare", first, second, "--out", tmp_path / "both", "--format", "svg")
    for words in ("search.generations", "75% (53-89)", "curves.svg"):
        assert words in shown
    both = CliRunner().invoke(
        app, ["compare", first, second, "--json", "--out", str(tmp_path / "json"), "--format", "svg"]
    )
    assert json.loads(both.stdout) == told
    assert "curves.svg" in both.stderr
    written = command("figures", second, "--out", tmp_path / "one", "--format", "pdf").splitlines()
    assert [Path(line).name for line in written] == ["curves.pdf", "curves.csv"]


def test_bad_input_is_one_line(grown: Grown, tmp_path: Path) -> None:
    url = grown.record.url
    (tmp_path / "file").write_text("")
    empty = grow(tmp_path / "empty", until=0)
    for call, words in (
        (lambda: datamask.compare([url]), "expected two runs or more, got 1"),
        (lambda: datamask.compare([url, url]), "one run is named twice"),
        (lambda: datamask.compare([url, tmp_path / "nowhere"]), "no run here"),
        (lambda: datamask.figures(url, tmp_path, ["bmp"]), "expected some of svg, pdf, png"),  # type: ignore[list-item]
        (lambda: datamask.figures(url, tmp_path / "file"), "cannot be written to"),
        (lambda: datamask.figures(empty.record.url, tmp_path), "no checkpoint yet"),
        (lambda: datamask.cite(tmp_path / "nowhere"), "no run here"),
    ):
        with pytest.raises(datamask.BadInput, match=words) as caught:
            call()
        assert "\n" not in str(caught.value)
    bad = grow(tmp_path / "bad", generations=5)
    bad.record.store.put("verify/verify.json", b'{"rows": [{"what": "detect"}], "question": "itself"}')
    with pytest.raises(datamask.CorruptData, match="it lacks"):
        datamask.figures(bad.record.url, tmp_path)
    assert datamask.compare([empty.record.url, url]).runs[0].best == (None,) * 4
