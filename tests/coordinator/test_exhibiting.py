"""[exhibition]: presentation alone, which a run may change; what it refuses; and the options in its place."""

from __future__ import annotations

import json
import os
import socket
import tomllib

import pytest
from typer.testing import CliRunner

from coordinator.cli import app
from coordinator.cli.print import _write
from coordinator.record.chronicle import Chronicle
from coordinator.record.record import _process_started
from coordinator.run import open_run
from coordinator.spec.spec import parse_spec
from services.errors import BadInput
from tests.support import runs
from worker.exhibition.prints import prints_of
from worker.printing import Printed

SPEC = runs.spec_of(1, 5, 4, 2)
REPORT = {
    "process": "sls",
    "material": "nylon PA12",
    "size_mm": [180.0, 236.1, 97.0],
    "edition": "2/5",
    "made_of": {"color": "#eceae4"},
    "files": {"x.stl": 1},
}


def test_a_spec_without_it_records_what_it_always_did():
    assert "exhibition" not in parse_spec(SPEC, "x").table()
    said = parse_spec({**SPEC, "exhibition": {"title": " Greco ", "year": 2026}}, "x").table()
    assert said["exhibition"] == {"title": "Greco", "year": "2026"}
    assert {k: v for k, v in said.items() if k != "exhibition"} == parse_spec(SPEC, "x").table()


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        ({"titel": "x"}, r"x: \[exhibition\] unknown key 'titel'; did you mean 'title'\?"),
        ({"title": ""}, r"x: \[exhibition\] title: is empty; say something, or leave it out \(given: ''\)"),
        ({"year": "soon"}, r"x: \[exhibition\] year: is no year: expected one such as 2026"),
        ({"statement": "word " * 200}, r"has 999 characters, and its label has room for 420; shorten it"),
        ({"artist": 5}, r"\[exhibition\] artist: expected text in quotes"),
    ],
)
def test_what_no_label_can_say_is_refused_in_a_line(table, wanted):
    with pytest.raises(BadInput, match=wanted) as caught:
        parse_spec({**SPEC, "exhibition": table}, "x")
    assert "\n" not in str(caught.value)


def test_a_run_goes_on_after_it_was_changed_and_nothing_else_of_it_is(tmp_path):
    grown = runs.grow(tmp_path / "run", islands=1, generations=5)
    record, bytes_of = grown.record, {}
    for path in (tmp_path / "run").rglob("*"):
        if path.is_file() and path.name != "run.toml":
            bytes_of[path] = path.read_bytes()
    before = (tmp_path / "run" / "run.toml").read_bytes()
    table = {**SPEC, "exhibition": {"title": "Greco", "artist": "Ada Example"}}
    open_run(parse_spec({**SPEC, "search": {**SPEC["search"], "islands": 1}}, "x"), record, resume=True)
    assert (tmp_path / "run" / "run.toml").read_bytes() == before
    open_run(parse_spec(table, "x"), record, resume=True)
    after = tomllib.loads((tmp_path / "run" / "run.toml").read_text())
    assert after.pop("exhibition") == {"title": "Greco", "artist": "Ada Example"}
    assert after == tomllib.loads(before.decode())
    assert Chronicle(record).plan().facts["exhibition"]["title"] == "Greco"
    assert {path: path.read_bytes() for path in bytes_of} == bytes_of
    with pytest.raises(BadInput, match="cannot resume with another spec: seed"):
        open_run(parse_spec({**table, "seed": 9}, "x"), record, resume=True)
    open_run(parse_spec(SPEC, "x"), record, resume=True)
    assert tomllib.loads((tmp_path / "run" / "run.toml").read_text()) == tomllib.loads(before.decode())


def test_labels_stay_while_a_coordinator_is_at_work(tmp_path):
    record = runs.grow(tmp_path / "run", islands=1, generations=5).record
    before = (tmp_path / "run" / "run.toml").read_bytes()
    spec = {**SPEC, "search": {**SPEC["search"], "islands": 1}}
    at_work = {"host": socket.gethostname(), "pid": os.getppid(), "started": _process_started(os.getppid())}
    record.store.put("beat.json", json.dumps(at_work).encode())
    with pytest.raises(BadInput, match="a coordinator is at work on this run"):
        open_run(parse_spec({**spec, "exhibition": {"title": "Greco"}}, "x"), record, resume=True)
    assert (tmp_path / "run" / "run.toml").read_bytes() == before
    open_run(parse_spec(spec, "x"), record, resume=True)
    record.store.put("beat.json", json.dumps({**at_work, "ended": True}).encode())
    open_run(parse_spec({**spec, "exhibition": {"title": "Greco"}}, "x"), record, resume=True)
    assert record.spec_table()["exhibition"] == {"title": "Greco"}


def test_the_options_are_checked_before_anything_is_drawn(tmp_path):
    grown = runs.grow(tmp_path / "run", islands=1, generations=5)

    def refusal(*words):
        told = CliRunner().invoke(app, ["exhibit", grown.record.url.removeprefix("file://"), *words])
        assert isinstance(told.exception, BadInput), told.output
        return str(told.exception)

    pack = ("--pack", str(tmp_path / "pack"))
    assert "add --pack DIR or --kiosk" in refusal("--title", "Greco")
    assert refusal("--year", "26", *pack).startswith("--year '26': is no year")
    assert "--title '': is empty" in refusal("--title", "", *pack)
    assert "no such file" in refusal("--language", "xx.toml", *pack)
    assert "has no 草" in refusal("--artist", "草", *pack)
    assert not (tmp_path / "pack").exists()


def test_a_print_made_elsewhere_is_known_to_the_run(tmp_path):
    grown = runs.grow(tmp_path / "run", islands=1, generations=5)
    store, mask = grown.record.store, grown.elites[0].id

    def printed(**more):
        report = {**REPORT, **more}
        files = {f"{mask}.print.json": json.dumps(report).encode()}
        return Printed(mask, [], True, None, None, None, None, files, report)

    assert prints_of(store, [mask]) == {}
    (tmp_path / "out").mkdir()
    _write(grown.record, tmp_path / "out", printed())
    found = prints_of(store, [mask])[mask]
    assert (found.size_mm, found.medium, found.edition) == ((180.0, 236.1, 97.0), "sls", "2/5")
    _write(grown.record, None, printed(process="color", made_of=None, size_mm=[90.0, 100.0, 40.0]))
    newer = prints_of(store, [mask])[mask]  # the last one that was printed
    assert (newer.size_mm, newer.medium) == ((90.0, 100.0, 40.0), "color_full")
    _write(grown.record, tmp_path / "out", printed(made_of={"color": "#102030"}))
    assert prints_of(store, [mask])[mask].medium == "sls_dyed"
    failed = {key: value for key, value in REPORT.items() if key != "files"}
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / mask).write_text("a file where the mask's folder is to be")
    with pytest.raises(BadInput, match=f"{mask}: cannot be made"):
        _write(grown.record, tmp_path / "taken", printed())
    refused = Printed(mask, [], False, None, None, None, None, {f"{mask}.print.json": b"{}"}, failed)
    _write(grown.record, tmp_path / "out", refused)
    assert prints_of(store, [mask])[mask].medium == "sls_dyed"


def test_a_print_takes_an_earlier_ones_place_and_a_failed_one_takes_none(tmp_path):
    grown = runs.grow(tmp_path / "run", islands=1, generations=5)
    mask = grown.elites[0].id

    def printed(*endings):
        names = [f"{mask}.{ending}" for ending in endings]
        report = {**REPORT, "files": dict.fromkeys(names, 1)}
        if not names:
            del report["files"]
        files = {name: name.encode() for name in names}
        files[f"{mask}.print.json"] = json.dumps(report).encode()
        return Printed(mask, [], bool(names), None, None, None, None, files, report)

    (tmp_path / "out").mkdir()
    for folder, where in (
        (None, tmp_path / "run" / "masks" / mask),
        (tmp_path / "out", tmp_path / "out" / mask),
    ):
        where.mkdir(parents=True, exist_ok=True)
        (where / "mine.stl").write_bytes(b"somebody's own")
        others = {path.name for path in where.iterdir()}

        def there(where=where, others=others):
            return {path.name.removeprefix(f"{mask}.") for path in where.iterdir() if path.name not in others}

        _write(grown.record, folder, printed("stl", "part-1.stl", "part-2.stl"))
        assert there() == {"stl", "part-1.stl", "part-2.stl", "print.json"}
        _write(grown.record, folder, printed())
        assert there() == {"stl", "part-1.stl", "part-2.stl", "print.json", "print-failed.json"}
        assert "files" in json.loads((where / f"{mask}.print.json").read_bytes())
        _write(grown.record, folder, printed("stl", "3mf"))
        assert there() == {"stl", "3mf", "print.json"}
        assert (where / "mine.stl").exists()
