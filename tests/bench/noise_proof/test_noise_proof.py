"""The proof on tiny budgets: its parts, its cells, and the whole command with `--quick`."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.cells import Cell, lasting, left_s, needed, pace, read
from bench.evidence import best_elite
from bench.noise_proof import __main__ as command
from bench.noise_proof import permuted
from bench.noise_proof.conditions import PATTERN, USUAL, YAW, Condition
from bench.noise_proof.findings import is_seen
from bench.noise_proof.looks import TOGETHER, by_dlib, look, overlap
from bench.noise_proof.searches import Elite, noise, search, twins
from bench.noise_proof.settings import CRITICS, PROOF, QUICK, cost, within
from bench.noise_proof.stages import STAGES, spec_of
from bench.noise_proof.tables import page
from coordinator.queue.executor import LocalExecutor
from coordinator.record.record import Record
from coordinator.run import evolve_run, open_run
from services.errors import BadInput
from services.recognition.dlib.hog import HogDetector
from services.recognition.dlib.mmod import MmodDetector
from services.shape.catalog import facts_of
from services.storage import open_store
from worker.evaluate import Evaluator
from worker.eye import Pictures


def test_the_proof_is_what_was_asked_for() -> None:
    assert PROOF.seeds == tuple(range(101, 121))
    assert set(QUICK.seeds) == {11, 12}
    assert PROOF.noise_masks >= 200
    assert PROOF.noise_masks * PROOF.noise_views >= 1000
    assert PROOF.held_out_views == 200
    spec = PROOF.usual
    assert cost(spec, spec.search.generations) <= 20_000 < cost(spec, spec.search.generations + 1)
    assert {o.model for o in spec.objective} == {"dlib-hog", "dlib-mmod"}
    ranges = spec.views.ranges()
    assert (ranges.yaw_deg, ranges.pitch_deg) == ((-20, 20), (-10, 10))
    assert {critic.title for critic in CRITICS} >= {"yunet (0.9)", "yunet (0.6)", "mtcnn (0)"}
    assert PROOF.digest() != replace(PROOF, scored_views=19_000).digest()
    numbers = [c.number for c in (*PATTERN, *YAW)]
    assert len(set(numbers)) == len(numbers)


def test_what_a_search_costs_is_what_it_is_charged() -> None:
    assert within(QUICK.usual, QUICK.scored_views) == QUICK.usual.search.generations
    assert within(QUICK.usual, 1) == 1


def test_controls_are_other_searches_of_the_same_budget() -> None:
    own, other = spec_of(PROOF, "noise-101"), spec_of(PROOF, "random-101")
    assert other.search.optimizers == ["random"]
    assert other.mask.start == "noise"
    free = spec_of(PROOF, "plaque-free-101")
    assert free.mask.basis == "blank-plaque-1"
    assert free.search.symmetric is False
    assert own.seed == other.seed == free.seed == 101
    for spec in (own, other, free):
        assert 0.95 * PROOF.scored_views < cost(spec, spec.search.generations) <= PROOF.scored_views


def test_the_page_has_a_place_for_the_tables() -> None:
    text = command.PAGE.read_text()
    assert text.count(command.FIRST_MARK) == text.count(command.LAST_MARK) == 1
    for stage in STAGES:
        assert f" {stage}" in text.partition(command.FIRST_MARK)[2]  # each stands in a table's command


def test_two_voices_learned_from_different_pictures() -> None:
    critics = [c for c in CRITICS if c.primary]
    names = [c.machine for c in critics]

    def rates(*seeing: str) -> list[float]:
        return [0.5 if name in seeing else 0.49 for name in names]

    assert names == ["yunet", "centerface", "blazeface-full", "mtcnn", "viola-jones"]
    assert not is_seen(rates("yunet", "centerface", "mtcnn"), critics)
    assert not is_seen(rates("blazeface-full"), critics)
    assert is_seen(rates("mtcnn", "blazeface-full"), critics)
    assert is_seen(rates("blazeface-full", "viola-jones"), critics)
    assert not is_seen(rates(), critics)


def test_boxes_overlap_by_what_they_share() -> None:
    one = np.array([[0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 0, 0]])
    other = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [2, 2, 4, 4], [0, 0, 0, 0]])
    assert overlap(one, other).tolist() == pytest.approx([1.0, 1 / 3, 0.0, 0.0])


def test_views_are_of_whom_they_are_of() -> None:
    usual = QUICK.usual.views.ranges()
    one, again = USUAL.views(usual, 4, 101, 0), USUAL.views(usual, 4, 101, 0)
    assert np.array_equal(one.yaw_deg, again.yaw_deg)
    assert not np.array_equal(one.yaw_deg, USUAL.views(usual, 4, 102, 0).yaw_deg)
    turned = next(c for c in YAW if c.name == "yaw 40").views(usual, 4, 101)
    assert turned.yaw_deg.tolist() == [40, -40, 40, -40]


def test_noise_keeps_equal_sides_where_its_island_does() -> None:
    symmetry = facts_of("blank-oval-1").symmetry
    rng = np.random.default_rng(0)
    drawn = noise(QUICK.spec(1, ["search.symmetric=[true, false]"]), rng, 6)
    apart = np.abs(symmetry.mirrored(drawn) - drawn).max(axis=1)
    assert (apart[::2] == 0).all()
    assert (apart[1::2] > 1).all()
    mirrored = twins(drawn[0], np.random.default_rng(1), 5)
    assert np.array_equal(np.abs(mirrored), np.abs(drawn[:1].repeat(5, axis=0)))
    assert len({each.tobytes() for each in mirrored}) == 5


def test_a_search_has_the_bytes_of_a_run(tmp_path: Path) -> None:
    """Who scores is said here; what comes of it is the checkpoint that the product's own executor gives."""
    spec = replace(QUICK, scored_views=60).spec(11, ["search.population=4", "migration.every=2"])
    elite = search(spec, tmp_path, "ours")
    opened = open_run(spec, Record(open_store(tmp_path).sub("theirs")), resume=False)
    with closing(opened.record) as record:
        evolve_run(opened, LocalExecutor(record.store, Evaluator("cpu")), [], lambda evolution: None)
        theirs = dict(record.head().parts)
    assert dict(Record(open_store(tmp_path).sub("ours")).head().parts) == theirs
    assert best_elite(tmp_path, "theirs")[0] == elite.mask
    assert Elite.read(json.loads(json.dumps(elite.as_json()))).as_json() == elite.as_json()
    assert search(spec, tmp_path, "ours").as_json() == elite.as_json()  # it is there: nothing is run


def test_permuted_machines_keep_norms_and_lose_what_they_learned() -> None:
    hog, mmod = HogDetector(), MmodDetector()
    strange = permuted.machines(7)
    pairs = [(hog._filters, strange["dlib-hog"]._filters)]
    layers = zip(mmod._layers, strange["dlib-mmod"]._layers, strict=True)
    pairs += [(a.filters, b.filters) for a, b in layers]
    for one, other in pairs:
        assert one.shape == other.shape
        assert not torch.equal(one, other)
        # Whichever way filters lie, the whole has the same numbers.
        assert torch.equal(one.flatten().sort().values, other.flatten().sort().values)
    for one, other in pairs[1:]:
        norms = [filters.flatten(1).norm(dim=1) for filters in (one, other)]
        torch.testing.assert_close(*norms)
    again = permuted.machines(7)["dlib-hog"]._filters
    assert torch.equal(again, strange["dlib-hog"]._filters)
    assert not torch.equal(again, permuted.machines(8)["dlib-hog"]._filters)
    images = torch.randint(0, 255, (3, 96, 96, 3), dtype=torch.uint8, generator=torch.manual_seed(0))
    assert not torch.equal(hog.score(images).score, strange["dlib-hog"].score(images).score)


def test_noise_has_the_same_margins_before_a_permuted_machine() -> None:
    rng = np.random.default_rng(2)
    true, other = rng.normal(-1, 0.3, 500).astype(np.float32), rng.normal(20, 7, 500).astype(np.float32)
    standard = permuted.Standard.of("dlib-hog", true, other)
    margins = (other - standard.threshold) / standard.scale
    assert margins.mean() == pytest.approx(true.mean(), abs=1e-4)  # HOG's own threshold is 0, its scale 1
    assert margins.std() == pytest.approx(true.std(), rel=1e-4)
    with pytest.raises(ValueError, match="score 1"):
        permuted.Standard.of("dlib-hog", true, np.ones(4, np.float32))


def test_conditions_change_what_is_seen() -> None:
    spec = PROOF.usual
    genomes = noise(spec, np.random.default_rng(0), 2)
    seen = {
        condition.name: look(spec, genomes, condition, 2, 1)
        for condition in PATTERN
        if condition.name in ("drawn at 40 px", "drawn at 320 px", "random colors", "blurred by 4 px")
    }
    sides = {name: each.pictures.images.shape[1] for name, each in seen.items()}
    assert sides == {
        "drawn at 40 px": 160,
        "drawn at 320 px": 320,
        "random colors": 160,
        "blurred by 4 px": 160,
    }
    images = seen["random colors"].pictures.images.float()
    reds = images[..., 0] - images[..., 2]
    assert reds.std() > 10  # one skin color has less between its channels
    assert seen["random colors"].whose.tolist() == [0, 0, 1, 1]
    box = seen["drawn at 40 px"].pictures.box_px
    assert (box[:, 2:] - box[:, :2]).min() > 70  # scaled with the picture


def test_two_renderers_share_the_views() -> None:
    zero = np.zeros((1, 160), np.float32)
    seen = look(PROOF.usual, zero, USUAL, 4, 1)
    assert len(seen.pictures.images) == 4
    assert seen.renderers in (("torch", "OpenGL"), ("torch",))
    assert set(by_dlib(seen.pictures)) == {"dlib-hog", "dlib-mmod", TOGETHER}
    assert not by_dlib(seen.pictures)[TOGETHER].any()
    alone = look(PROOF.usual, zero, Condition(1, "as bred"), 4, 1)
    assert alone.renderers == ("torch",)


def test_a_picture_of_a_face_is_seen_by_both_in_one_place() -> None:
    import skimage.data

    face = torch.from_numpy(skimage.data.astronaut()[0:260, 100:360].copy())[None]
    whole, corner = torch.tensor([[0.0, 0, 260, 260]]), torch.tensor([[0.0, 200, 40, 260]])
    assert by_dlib(Pictures(face, whole[:, :0], whole))[TOGETHER].all()
    assert not by_dlib(Pictures(face, whole[:, :0], corner))[TOGETHER].any()


def test_cells_of_other_settings_are_refused(tmp_path: Path) -> None:
    stage = STAGES["verify"]
    cell = Cell("verify", "noise-11", 8)
    path = cell.path(tmp_path)
    path.parent.mkdir()
    head = {"format": 1, "pictures": 8, "seconds": 4.0, "figures": {"a": 1}}
    path.write_text(json.dumps({**head, "settings": QUICK.digest()}))
    assert read(QUICK, tmp_path, "verify", "noise-11") == {"a": 1}
    with pytest.raises(BadInput, match="made with other settings"):
        read(PROOF, tmp_path, "verify", "noise-11")
    with pytest.raises(BadInput, match="run the stage 'search' first"):
        needed(QUICK, tmp_path, "search", "noise-11")
    assert pace(tmp_path, stage) == 0.5
    assert pace(tmp_path, STAGES["best"]) == STAGES["best"].seconds
    assert left_s(tmp_path, [(stage, cell)] * 4, 2) == 8.0
    assert [lasting(s) for s in (20, 600, 7200)] == ["1 minute", "10 minutes", "2.0 hours"]


def test_uncommitted_questions_are_asked_of_no_test_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "changed", lambda: True)
    assert command.main(["search", "--seeds", "101", "--store", str(tmp_path)]) == 1
    assert "commit what is asked before a test seed is run" in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["serch"], "expected some of search, verify"),
        (["--seeds", "7"], "--seeds 7: expected seeds from 101 to 120"),
        (["--jobs", "0"], "--jobs: 0: expected a whole number, at least 1"),
    ],
)
def test_wrong_words_are_answered_in_a_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command.main(words)
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_an_empty_folder_is_said_to_be_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--quick", "--tables", "--store", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert text.count("Nothing of this has been run yet.") == 6
    assert command.main(["--estimate", "--store", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == list(STAGES)
    assert lines[-1].startswith("in all ")


@pytest.mark.slow
def test_the_whole_of_it_quickly_and_once(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(f"before\n{command.FIRST_MARK}\n{command.LAST_MARK}\nafter\n")
    words = ["--quick", "--store", str(tmp_path / "cells"), "--page", str(document)]
    words += ["--data", str(tmp_path / "data")]
    # As people start it: whatever processes are to find must not lie in the command itself.
    run = [sys.executable, "-m", "bench.noise_proof", *words, "--jobs", "2"]
    said = subprocess.run(run, capture_output=True, text=True, check=False, cwd=command.ROOT)
    assert said.returncode == 0, said.stderr
    cells = sorted((tmp_path / "cells").glob("*/*.json"))
    assert f"{len(cells)}/{len(cells)}" in said.stderr
    assert "left" in said.stderr
    text = document.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "Nothing of this has been run yet." not in text
    assert "Seeds 11 to 12, all of them." in text
    assert "0 of 2 are accepted by HOG and MMOD" in text  # 200 views are no search
    for title in (
        "(a) random signs",
        "upside down",
        "JPEG of quality 30",
        "yaw 60",
        "egg, free",
        "blazeface-short (0.5)",
        "yunet (0.6)",
    ):
        assert title in text
    assert "Elites beat a, b and c with no critic" in text

    found = json.loads((tmp_path / "data" / "findings.json").read_text())
    assert found["settings"] == QUICK.digest()
    assert [row["seed"] for row in found["elites"]] == [11, 12]
    assert all(row["views"] <= 200 for row in found["elites"])
    assert {row["name"] for row in found["nothing"]} == {"plain", "pigment", "zero"}
    assert all(row["p"] is not None and row["holm"] >= row["p"] for row in found["controls"])
    between = text.partition(command.FIRST_MARK)[2].partition(command.LAST_MARK)[0]
    assert between.strip() == page(QUICK, found).strip()
    with (tmp_path / "data" / "elites.csv").open() as file:
        elites = list(csv.DictReader(file))
    assert {"noise-11", "permuted-12", "random-11", "egg-free-11"} <= {row["search"] for row in elites}
    genome = np.array(elites[0]["genes"].split(), np.float64)
    assert genome.shape == (160,)

    # What is done is done: nothing is made anew, and the same page comes out.
    words += ["--jobs", "1"]
    times = {cell: cell.stat().st_mtime_ns for cell in cells}
    assert command.main(words) == 0
    assert {cell: cell.stat().st_mtime_ns for cell in cells} == times
    assert document.read_text() == text
    # A lost cell is made again, to the same figures: its search stands at its last checkpoint.
    lost = tmp_path / "cells" / "search" / "noise-11.json"
    before = json.loads(lost.read_text())["figures"]
    lost.unlink()
    assert command.main(words) == 0
    assert json.loads(lost.read_text())["figures"] == before
    # A control that is there for a part of the seeds is shown as that, and nothing is claimed of it.
    (tmp_path / "cells" / "best" / "noise-12.json").unlink()
    assert command.main([*words, "--tables"]) == 0
    assert ", 1 of 2 seeds" in document.read_text()
    assert "Controls are not complete yet" in document.read_text()
