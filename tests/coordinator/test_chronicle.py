"""What a record tells: the run's own numbers, a line back to noise, and one clear word where something is
amiss.
"""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from coordinator.record import chronicle
from coordinator.record.chronicle import FRAMES, Chronicle, _aim
from coordinator.record.lineage import LONGEST_LINE, Birth, Births, family_tree, moves, origin
from coordinator.record.rankings import encode_ranking
from coordinator.record.record import Record, checkpoint_key, ranking_key
from coordinator.run import open_run
from coordinator.spec.spec import parse_spec
from services.errors import BadInput, CorruptData
from services.exhibition.facts import decoded
from services.recognition.catalog import model_info
from services.rendering.views import ranges_of
from services.shape.basis import load_basis
from services.shape.character import apart_mm
from services.storage.open import open_store
from services.wire.mask import Mask, encode_masks
from services.wire.page_plan import PagePlan
from tests.support import runs

GENOME = np.zeros(3, np.float32)


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    return runs.grow(tmp_path_factory.mktemp("grown"), islands=3, generations=12)


def test_the_curves_are_the_runs_own_numbers(grown):
    facts = Chronicle(grown.record).plan().facts
    for island in range(3):
        for generation in range(12):
            own = [r for r in grown.rows if (r["island"], r["generation"]) == (island, generation)]
            best = max(own, key=lambda r: r["fitness"])
            curves = facts["curves"]
            assert curves["best"][island][generation] == pytest.approx(best["fitness"], abs=1e-4)
            median = np.median([r["fitness"] for r in own])
            assert curves["median"][island][generation] == pytest.approx(median, abs=1e-4)
            for label in ("dlib-hog", "dlib-mmod"):
                shown = curves["values"][label][island][generation]
                assert shown == pytest.approx(best[f"value {label}"], abs=1e-4)
    assert facts["masks_scored"] == len(grown.rows)
    assert facts["views_scored"] == 2 * len(grown.rows)
    assert (facts["state"], facts["generation"], facts["generations"]) == ("done", 12, 12)


def test_a_mask_that_was_not_scored_has_no_number_and_no_place_in_the_story(tmp_path):
    lost = [(island, generation) for island in (0, 1) for generation in (3, 4)]
    run = runs.grow(tmp_path, islands=2, generations=10, elites=4, lost=lost)
    plan = Chronicle(run.record).plan()
    facts = plan.facts
    scored = [row for row in run.rows if row["status"] == "ok"]
    assert len(scored) == len(run.rows) - 4 * 4
    assert (facts["masks_scored"], facts["views_scored"]) == (len(scored), 2 * len(scored))
    for island, generation in lost:
        curves = facts["curves"]
        told = [curves["best"], curves["median"], *curves["values"].values()]
        assert [of[island][generation] for of in told] == [None] * 4
    assert all(moment["fitness"] is not None for moment in facts["story"])
    assert 4.36 not in [value for mask in facts["masks"] for value in mask["values"].values()]
    # A line goes on through what was lost: through a parent without a number, or past a whole generation.
    (drawn,) = [row for row in run.rows if row["id"] == "i00-g0005-000"]
    shown = Chronicle(run.record).plan(ids=[drawn["id"], "i01-g0005-000"]).facts["masks"]
    before = [node for node in shown[0]["lineage"] if node["child"] == drawn["id"] and node["trunk"]]
    assert [(node["generation"], node["edge"]) for node in before] == [(2, "drawn")]
    bred = {node["generation"]: node["fitness"] for node in shown[1]["lineage"] if node["trunk"]}
    assert bred[4] is None
    assert bred[0] is not None
    with pytest.raises(BadInput, match="i00-g0003-001: it was never scored"):
        Chronicle(run.record).plan(ids=["i00-g0003-001"])
    assert all(moment["generation"] not in (3, 4) for moment in facts["story"])


@pytest.mark.parametrize("basis", ["makehuman-mask-1", "blank-oval-1"])
def test_the_story_goes_in_equal_steps_of_shape_and_marks_each_machines_first_face(tmp_path, basis):
    run = runs.grow(tmp_path, islands=1, generations=30, mask={"basis": basis})
    plan = Chronicle(run.record).plan()
    story, best = plan.facts["story"], plan.facts["masks"][0]["id"]
    asked = plan.facts["asked"]
    assert asked["face"] == (basis == "makehuman-mask-1")
    assert asked["zero"] in ("the neutral head", "the blank")
    assert story[-1]["id"] == best
    assert story[0]["generation"] == 0
    line = {}
    for row in run.rows:
        if row["generation"] not in line or row["fitness"] > line[row["generation"]]["fitness"]:
            line[row["generation"]] = row
    line = [line[g] for g in sorted(line) if g <= story[-1]["generation"]]
    for label in ("dlib-hog", "dlib-mmod"):
        first = next(row["id"] for row in line if row[f"value {label}"] > 0)
        assert [moment["id"] for moment in story if label in moment["seen"]] == [first]
    # Every step that the shape took is told of: no two moments lie further apart than the way asks for.
    left = apart_mm(basis, np.stack([row["genome"] for row in line]), plan.genomes[best][None])[:, 0]
    left = np.minimum.accumulate(left)
    shown = [k for k, row in enumerate(line) if row["id"] in {moment["id"] for moment in story}]
    for one, two in itertools.pairwise(shown):
        gap = left[one] - left[two]
        single = np.abs(np.diff(left[one : two + 1])).max()
        assert gap <= left[0] / (FRAMES - 1) + single + 1e-6
    vertices = [decoded(load_basis(basis), plan.genomes[moment["id"]]) for moment in (story[0], story[-1])]
    apart = 1e3 * np.sqrt(((vertices[0] - vertices[1]).astype(np.float64) ** 2).sum(axis=1).mean())
    assert apart == pytest.approx(left[0], rel=1e-4)


def test_pictures_are_seen_as_the_search_saw_masks_whatever_else_views_says(tmp_path):
    views = {"preset": "corridor-camera", "count": 4, "first": 2, "size_px": 112, "yaw_deg": [-5, 5]}
    run = runs.grow(tmp_path, islands=1, generations=5, views=views)
    plan = Chronicle(run.record).plan()
    assert ranges_of(plan.work["ranges"]) == run.opened.spec.views.ranges()
    assert plan.facts["views_scored"] == 2 * len(run.rows)  # what was scored, not what may be


def test_it_shows_the_elites_and_travels_as_bytes(grown):
    plan = Chronicle(grown.record).plan()
    assert [m["id"] for m in plan.facts["masks"]] == [e.id for e in grown.elites]
    for elite in grown.elites:
        np.testing.assert_array_equal(plan.genomes[elite.id], elite.genome)
    needed = {n["id"] for m in plan.facts["masks"] for n in m["lineage"]} | {
        s["id"] for s in plan.facts["story"]
    }
    assert needed <= set(plan.genomes)
    again = PagePlan.unpacked(*plan.packed())
    assert again.facts == json.loads(json.dumps(plan.facts))
    assert again.work == plan.work
    assert all(np.array_equal(again.genomes[k], v) for k, v in plan.genomes.items())


def test_only_dlibs_own_network_gives_the_audit_its_target(tmp_path):
    """Other networks measure faces with other numbers of numbers."""
    faces = [
        {"kind": "identity", "model": model, "images": ["face.png"]} for model in ("sface", "dlib-resnet")
    ]
    detect = {"kind": "detect", "model": "dlib-hog"}
    record = Record(open_store(tmp_path, write=True))
    chronicle = Chronicle(record)
    spec = {"seed": 1, "views": {"count": 2, "size_px": 96}, "verify": {"views": 2}}
    entries = [{"target": None}, {"target": "of sface"}, {"target": "of dlib"}]
    for count, target in ((3, "of dlib"), (2, None), (1, None)):
        told = {**spec, "objective": [detect, *faces][:count]}
        assert chronicle._work(told, {"objectives": entries[:count]})["target"] == target


def test_an_archive_says_what_of_it_is_shown(tmp_path, monkeypatch):
    measures = {"measures": ["asymmetry", "relief", "roughness"], "cells": [3, 3, 2]}
    run = runs.grow(tmp_path, population=8, mask={"basis": "blank-oval-1"}, archive=measures)
    whole = Chronicle(run.record).plan()
    told = whole.facts["archive"]
    assert told["filled_in_sight"] == len(told["masks"]) <= told["filled"] == len(run.archive.kept)
    monkeypatch.setattr(chronicle, "MOST_KINDS", 2)
    few = Chronicle(run.record).plan().facts["archive"]
    assert (few["filled_in_sight"], few["masks"]) == (told["filled_in_sight"], told["masks"][:2])


def test_a_run_toward_several_people_is_not_toward_any_face():
    asked = {kind: {"objective": [{"kind": kind}]} for kind in ("detect", "identity", "composite")}
    assert [_aim(spec) for spec in asked.values()] == ["archetype", "identity", "several"]
    assert _aim({**asked["identity"], "consent": {"subject": ["A", "B"]}}) == "several"
    assert _aim({**asked["identity"], "consent": {"subject": "A"}}) == "identity"


def test_machines_are_asked_at_the_thresholds_that_the_spec_states(tmp_path):
    detect = {"kind": "detect", "model": "dlib-mmod"}
    hog = {"kind": "detect", "model": "dlib-hog"}
    consistent = {"kind": "consistent", "model": "dlib-resnet", "threshold": 0.3}
    more = {"verify": {"views": 4, "critics": ["viola-jones"]}}
    record = Record(open_store(tmp_path, write=True))
    objectives = [consistent, {**detect, "threshold": 0.7}, detect, hog]
    open_run(parse_spec({**more, "objective": objectives}, "x"), record, resume=False)
    thresholds = Chronicle(record).plan().work["thresholds"]
    assert thresholds["dlib-mmod"] == 0.7  # the first objective's
    assert (thresholds["dlib-hog"], thresholds["dlib-resnet"]) == (0.0, 0.6)
    assert thresholds["viola-jones"] == model_info("viola-jones").threshold


def test_no_address_of_this_machine_is_told(grown):
    text = json.dumps(Chronicle(grown.record).plan().facts)
    assert str(grown.record.store.root.parent) not in text


def test_controls_are_the_first_generations_best_and_the_specs_noise(grown):
    plan = Chronicle(grown.record).plan()
    (first,) = sorted((r for r in grown.rows if r["generation"] == 0), key=lambda r: -r["fitness"])[:1]
    assert plan.work["controls"] == {"first": first["id"], "noise": 20, "spread": 1.2, "limit": 3.0}
    np.testing.assert_array_equal(plan.genomes[first["id"]], first["genome"])
    assert plan.work["judges"] == ["dlib-mmod"]  # HOG is asked by the audit


def test_a_first_generation_that_was_lost_is_no_control(tmp_path):
    run = runs.grow(tmp_path, islands=1, generations=10, lost=[(0, 0)])
    assert Chronicle(run.record).plan().work["controls"]["first"] is None


def test_other_masks_can_be_asked_for(grown):
    plan = Chronicle(grown.record).plan(ids=["i01-g0003-002"])
    (mask,) = plan.facts["masks"]
    assert (mask["id"], mask["island"], mask["generation"]) == ("i01-g0003-002", 1, 3)
    assert (mask["ranked"], plan.facts["chosen"]) == (False, True)
    (row,) = [r for r in grown.rows if r["id"] == mask["id"]]
    assert mask["fitness"] == pytest.approx(row["fitness"], abs=1e-4)
    with pytest.raises(BadInput, match="i09-g0003-002"):
        Chronicle(grown.record).plan(ids=["i09-g0003-002"])


def test_an_elite_that_is_asked_for_keeps_its_rank_and_is_shown_once(tmp_path):
    run = runs.grow(tmp_path, islands=1, generations=5)
    elite = run.elites[0]
    ranked = Mask(elite.id, 0, elite.generation, elite.genome, 9.5, np.float32([9, 10]), 0.1)
    run.record.take_over()
    run.record.commit(0, {checkpoint_key(0, "elites"): encode_masks([ranked])}, {}, done=True)
    run.record.close()
    other = next(row["id"] for row in run.rows if row["id"] != elite.id)
    facts = Chronicle(run.record).plan(ids=[elite.id, other, elite.id]).facts
    assert [(m["id"], m["ranked"]) for m in facts["masks"]] == [(elite.id, True), (other, False)]
    assert facts["masks"][0]["fitness"] == 9.5
    facts = Chronicle(run.record).plan().facts
    assert (facts["chosen"], [m["ranked"] for m in facts["masks"]]) == (False, [True])


def test_every_migration_of_the_table_is_drawn(grown):
    told = {tuple(m) for m in Chronicle(grown.record).plan().facts["migration"]["moves"]}
    true = {
        (int(r["parents"][0][1:3]), r["island"], r["generation"], r["parents"][0])
        for r in grown.rows
        if len(r["parents"]) == 1 and "-" in r["parents"][0][4:] and int(r["parents"][0][1:3]) != r["island"]
    }
    assert told == true
    assert len(true) == 3 * 2


def test_a_run_without_a_checkpoint_has_no_masks_and_no_run_is_bad_input(tmp_path):
    grown = runs.grow(tmp_path / "empty", until=0)
    facts = Chronicle(grown.record).plan().facts
    assert (facts["masks"], facts["story"], facts["state"]) == ([], [], "growing")
    with pytest.raises(BadInput, match=r"run\.toml is missing"):
        Chronicle(Record(open_store(tmp_path / "nowhere"))).plan()


def test_a_growing_run_is_told_as_far_as_it_is_committed(tmp_path):
    grown = runs.grow(tmp_path / "young", generations=20, until=5)
    facts = Chronicle(grown.record).plan().facts
    assert (facts["state"], facts["generation"], facts["generations"]) == ("growing", 5, 20)
    assert len(facts["curves"]["best"][0]) == 5


def test_a_changed_evaluation_file_is_corrupt_data_and_a_damaged_audit_is_left_out(tmp_path):
    grown = runs.grow(tmp_path / "run")
    store = grown.record.store
    store.put(f"masks/{grown.elites[0].id}/audit.json", b"{")
    store.put("masks/i07-g0000-000/mask.glb", b"of a mask that is not shown")
    assert "masks/i07-g0000-000/mask.glb" not in Chronicle(grown.record).plan().facts["files"]
    assert Chronicle(grown.record).plan().facts["masks"][0]["audit"] is None
    store.put("evaluations/e00001.parquet", b"not parquet")
    with pytest.raises(CorruptData, match="e00001"):
        Chronicle(grown.record).plan()


def births(*entries):
    return Births([Birth(n, int(n[1:3]), int(n[5:9]), f, tuple(p)) for n, f, p in entries])


def test_a_bred_masks_line_follows_the_fitter_parent_back_to_noise():
    table = births(
        ("i00-g0000-000", 0.1, []),
        ("i00-g0000-001", 0.5, []),
        ("i00-g0001-000", 0.7, ["i00-g0000-000", "i00-g0000-001"]),
    )
    tree = family_tree(table, "i00-g0001-000")
    assert [(n.id, n.edge, n.child, n.trunk, n.noise) for n in tree] == [
        ("i00-g0001-000", "elite", "", True, False),
        ("i00-g0000-001", "bred", "i00-g0001-000", True, True),
        ("i00-g0000-000", "bred", "i00-g0001-000", False, False),
    ]
    assert family_tree(table, "i00-g0009-000") == []


def test_the_fittest_stands_in_for_a_distribution_and_migrants_branch_off():
    table = births(
        ("i00-g0000-000", 0.1, []),
        ("i00-g0000-001", 0.5, []),
        ("i01-g0000-000", 0.9, []),
        ("i00-g0001-000", 0.6, ["i00-g0000"]),
        ("i00-g0001-001", 0.2, ["i01-g0000-000"]),
        ("i00-g0002-000", 0.8, ["i00-g0001"]),
    )
    tree = family_tree(table, "i00-g0002-000")
    line = [(n.id, n.edge, n.noise) for n in tree if n.trunk]
    assert line == [
        ("i00-g0002-000", "elite", False),
        ("i00-g0001-000", "drawn", False),
        ("i00-g0000-001", "drawn", True),
    ]
    (branch,) = [n for n in tree if not n.trunk]
    assert (branch.id, branch.edge, branch.child) == ("i01-g0000-000", "migrated", "i00-g0001-000")
    assert moves(table.by_id) == [(1, 0, 1, "i01-g0000-000")]
    assert origin(table.by_id["i00-g0001-001"]) == "i01-g0000-000"
    # A migrant's own line goes on at home.
    assert [n.id for n in family_tree(table, "i00-g0001-001")] == ["i00-g0001-001", "i01-g0000-000"]


def test_a_long_line_is_thinned_and_says_by_how_much():
    entries = [("i00-g0000-000", 0.0, [])]
    entries += [(f"i00-g{g:04d}-000", g / 100, [f"i00-g{g - 1:04d}"]) for g in range(1, 200)]
    line = [n for n in family_tree(births(*entries), "i00-g0199-000") if n.trunk]
    assert len(line) == LONGEST_LINE
    assert line[-1].noise
    assert sum(n.skipped for n in line) + len(line) == 200


def test_curves_on_the_ranking_views_hold_each_islands_best_so_far(tmp_path):
    run = runs.grow(tmp_path, islands=2, generations=12)
    assert Chronicle(run.record).plan().facts["curves"]["ranked"] is None  # as earlier versions left it
    told = {0: [(0, 0.1), (0, 0.4), (1, -0.5)], 1: [(0, 0.3), (1, -0.2)], 2: [(1, -0.3)]}
    for epoch, rows in told.items():
        masks = [
            Mask(f"i{island:02d}-g{epoch:04d}-{k:03d}", island, epoch, GENOME, f, np.float32([f, -f]), 0.0)
            for k, (island, f) in enumerate(rows)
        ]
        assert Chronicle(run.record).plan().facts["views_ranked"] is None  # while any epoch's is missing
        run.record.store.put(ranking_key(epoch), encode_ranking(masks, 10 * len(rows)))
    facts = Chronicle(run.record).plan().facts
    ranked = facts["curves"]["ranked"]
    assert ranked["generations"] == [4, 9, 11]
    assert ranked["best"] == [[0.4, 0.4, 0.4], [-0.5, -0.2, -0.2]]
    assert ranked["values"]["dlib-mmod"] == [[-0.4, -0.4, -0.4], [0.5, 0.2, 0.2]]
    assert facts["views_ranked"] == 60
    assert facts["views_scored"] == 2 * len(run.rows) + 60
    assert not [key for key in facts["files"] if key.startswith("rankings/")]
