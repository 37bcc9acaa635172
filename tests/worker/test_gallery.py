"""From two small runs to the poster, the page and the matrix of a gallery of machines."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from coordinator.gallery import each_alone, matrix, run_name
from coordinator.queue.executor import LocalExecutor
from coordinator.record.chronicle import Chronicle
from coordinator.record.evaluations import read_rows
from coordinator.record.record import Record
from coordinator.record.verification import claim_of, open_verified
from coordinator.run import evolve_run, open_run
from coordinator.search.seeds import audit_seed
from coordinator.spec.spec import parse_spec
from services.errors import BadInput
from services.shape.catalog import basis_info
from services.storage.open import open_store
from services.wire.jobs import Job
from worker.evaluate import Evaluator
from worker.examination.gaze import look
from worker.exhibition.gallery import Hung, gaze_key, hang
from worker.exhibition.masks import audit_masks

SPEC = {
    "name": "two",
    "mask": {"basis": "blank-oval-1", "start": "neutral"},
    "search": {"islands": 1, "population": 4, "generations": 1, "optimizers": ["sep-cma"]},
    "migration": {"count": 0},
    "views": {"count": 2, "yaw_deg": [-20, 20]},
    "objective": [{"kind": "detect", "model": "dlib-hog"}, {"kind": "detect", "model": "blazeface-full"}],
    "verify": {"critics": [], "views": 2, "noise": 2},
    "elites": {"count": 1, "candidates": 1, "ranking_views": 2},
}


def test_a_gallery_shows_what_the_audits_found(tmp_path: Path) -> None:
    spec, place = parse_spec(SPEC, "spec"), open_store(tmp_path, write=True)
    runs = {name: run_name("two-001", name) for name in ("dlib-hog", "blazeface-full")}
    evaluator, shown = Evaluator("cpu"), []
    for machine, alone in each_alone(spec, "spec").items():
        opened = open_run(alone, Record(place.sub(runs[machine])), resume=False)
        store = opened.record.store
        try:
            evolution = evolve_run(opened, LocalExecutor(store, evaluator), [], lambda evolution: None)
        finally:
            opened.record.close()
        if machine == "dlib-hog":
            with pytest.raises(BadInput, match="has not been looked at yet"):
                matrix(place, {machine: runs[machine]})
        page, basis = Chronicle(opened.record).plan(done=True), spec.mask.basis
        audit_masks(
            store, Job(basis, basis_info(basis).sha256, (machine,), tuple(evolution.elites()), {}, page)
        )
        verified = open_verified(opened.record)
        best = verified.elites[0]
        look(store, claim_of(verified, masks=[best.id]), machine, views=1)
        gaze = store.get(gaze_key(best.id, machine))
        shown.append(Hung(machine, runs[machine], best.id, best.genome, gaze))
    first = [read_rows(Record(place.sub(run)), ["genome"]) for run in runs.values()]
    assert first[0] is not None
    assert first[0].equals(first[1])  # all begin in the same noise
    told = {"name": "two", "seed": 0, **matrix(place, runs)}
    assert [row["bred_for"] for row in told["rows"]] == list(runs)
    assert all(set(row["hits"]) == set(runs) for row in told["rows"])
    assert set(told["controls"]) == {"noise", "blank"}
    for said in told["controls"].values():
        assert set(said) == set(runs)
    gallery = place.sub("two-001")
    hashes = {name: Record(place.sub(run)).manifest()["models"][name]["sha256"] for name, run in runs.items()}
    steps = []
    keys = hang(
        *(gallery, shown, told, spec.mask.basis, hashes, spec.views.ranges(), 2, audit_seed(spec.seed)),
        lambda what, done, of: steps.append((what, done, of)),
    )
    assert keys == ["gallery.png", "matrix.svg", "matrix.csv", "gallery.html"]
    assert steps == [("poster", 1, 2), ("poster", 2, 2)]
    rows = list(csv.reader(gallery.get("matrix.csv").decode().splitlines()))
    assert rows[0] == ["subject", *runs]
    assert [row[0] for row in rows[1:]] == [*runs, "(noise)", "(blank)"]
    for row, entry in zip(rows[1:], told["rows"], strict=False):
        assert [float(cell) for cell in row[1:]] == [entry["hits"][name] / 2 for name in runs]
    html = gallery.get("gallery.html").decode()
    assert html.count("<tr>") == 5
    assert 'href="../two-001-dlib-hog/report.html"' in html
    assert "noise (control)" in html
    assert "<script" not in html
