"""A mask from genome to files, by the real parts, at a coarse resolution."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import trimesh

from services.errors import BadInput
from services.printing import solid
from services.printing.catalog import make_order
from services.printing.checks import BED, built, check
from services.recognition.fitness import Objective
from services.rendering.views import ViewRanges
from services.shape.basis import load_basis
from services.shape.export import write_glb
from services.storage.open import open_store
from worker import printing
from worker.examination.rescore import Scored, lost
from worker.printing import PrintJob, make_solid, print_mask

BASIS = load_basis("makehuman-mask-1")
MASK = "i00-g0002-001"


def job(**changes):
    given = {
        "id": MASK,
        "basis": BASIS.id,
        "basis_sha256": BASIS.sha256,
        "genome": np.zeros(len(BASIS.gene_names), np.float32),
        "order": make_order(width_mm=140.0, wall_mm=3.0, mount="wear", edition="2/5"),
        "objectives": (Objective("detect", "dlib-hog", 1.0, 0.0),),
        "targets": {},
        "ranges": ViewRanges(),
        "view_seed": 5,
        "view_count": 4,
        "notes": {"Title": "test", "LicenseTerms": "CC0-1.0"},
        "title": "test",
        "date": "2026-01-02",
        "voxel_mm": 1.0,
        "models": [{"name": "dlib-hog", "threshold": 0.0, "licence": "Boost"}],
    }
    return PrintJob(**{**given, **changes})


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    run = open_store(tmp_path_factory.mktemp("run"))
    colors = np.random.default_rng(1).integers(0, 256, (len(BASIS.neutral), 3)).astype(np.uint8)
    run.put(f"masks/{MASK}/gaze-dlib-hog.glb", write_glb(BASIS.neutral, BASIS.triangles, colors))
    told = {"model": "dlib-hog", "views": 6, "reach": 0.25}
    run.put(f"masks/{MASK}/gaze-dlib-hog.json", json.dumps(told).encode())
    order = make_order(
        width_mm=140.0, wall_mm=3.0, mount="wear", edition="2/5", parts=True, bed_mm="125x150x130"
    )
    return print_mask(run, job(color="gaze", order=order))


def test_the_neutral_mask_prints_to_wear(printed):
    assert printed.passed, [line for line in printed.checks if line.passed is False]
    assert printed.report["not_made"] == []
    assert len(printed.report["openings"]) == 7  # pupils, nostrils, slots, mark
    assert printed.report["size_mm"][0] == pytest.approx(140.0, abs=0.2)


def test_every_file_is_there_and_opens(printed):
    endings = ("3mf", "stl", "obj", "mtl", "ply", "glb", "sheet.pdf", "caption.pdf", "print.json")
    parts = {
        f"{MASK}.part-{part['name']}.{e}" for part in printed.report["parts"] for e in ("3mf", "stl", "ply")
    }
    assert set(printed.files) == {f"{MASK}.{ending}" for ending in endings} | parts
    solid = trimesh.load(io.BytesIO(printed.files[f"{MASK}.stl"]), file_type="stl")
    assert solid.is_watertight
    assert len(solid.faces) == printed.report["triangles"]
    assert solid.volume / 1000 == pytest.approx(printed.report["volume_cm3"], rel=1e-3)
    glb = trimesh.load(io.BytesIO(printed.files[f"{MASK}.glb"]), file_type="glb", process=False)
    assert np.ptp(glb.bounds[:, 0]) == pytest.approx(0.14, abs=0.0002)
    for name in ("sheet", "caption"):
        assert printed.files[f"{MASK}.{name}.pdf"].startswith(b"%PDF-")
    assert json.loads(printed.files[f"{MASK}.print.json"])["checks"]


def test_parts_are_closed_and_told_of_and_the_bed_is_held_against_them(printed):
    parts = printed.report["parts"]
    assert len(parts) > 1
    for part in parts:
        mesh = trimesh.load(io.BytesIO(printed.files[f"{MASK}.part-{part['name']}.stl"]), file_type="stl")
        assert mesh.is_watertight
        assert mesh.volume / 1000 == pytest.approx(part["volume_cm3"], rel=1e-2)
        np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), part["size_mm"], atol=0.1)
        assert sorted(part["size_mm"])[2] <= 150
    bed = next(line for line in printed.checks if line.name == BED)
    assert bed.passed
    assert bed.figure.startswith(f"{len(parts)} parts")
    weight = sum(part["weight_g"] for part in parts)
    assert 1.0 < weight / printed.report["weight_g"] < 1.3  # the bosses
    assert printed.report["parts_weight_g"] == pytest.approx(weight, abs=0.05 * len(parts) + 0.05)


def test_the_card_knows_whose_gaze_the_colors_are(printed):
    gaze = printed.report["gaze"]
    assert (gaze["machine"], gaze["views"], gaze["ends"]) == ("dlib-hog", 6, ["gains 0.25", "costs 0.25"])
    assert gaze["ramp"][0] == [40, 90, 190]
    assert gaze["ramp"][-1] == [196, 40, 20]


def test_the_machines_saw_mask_and_solid_under_the_same_views(printed):
    assert len(printed.before.views["dlib-hog"]) == len(printed.after.views["dlib-hog"]) == 4
    assert printed.before.values["dlib-hog"] > 0
    assert printed.after.fitness != printed.before.fitness


@pytest.fixture(scope="module")
def stood(tmp_path_factory):
    """A small one on a stand in one color, and the boxes that its cuts were to keep clear of."""
    told, real = [], printing.apart
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(printing, "apart", lambda *given: told.append(given[2]) or real(*given))
        order = make_order("sls", width_mm=60.0, mount="stand", parts=True)
        return print_mask(open_store(tmp_path_factory.mktemp("stood")), job(order=order)), told


def test_the_report_has_the_voxels_that_were_used(stood, printed):
    assert stood[0].report["voxel_mm"] == pytest.approx(2.0 / 3, abs=1e-3)  # 1 mm would not resolve its wall
    assert printed.report["voxel_mm"] == 1.0
    assert stood[0].report["parts_weight_g"] is None


def test_cuts_are_told_of_the_fittings(stood):
    made, ((box,),) = stood
    assert "socket" in made.report["openings"][0]
    assert box[3] - box[0] == pytest.approx(14.2, abs=0.1)


def test_the_solid_is_scored_in_the_material_that_it_is_printed_in(printed, stood):
    assert printed.report["made_of"] is None  # in several colors, of which none is bred
    plain = stood[0]
    said = plain.report["made_of"]
    assert (said["material"], said["color"]) == ("nylon PA12", "#eceae4")
    assert said["values"] == plain.made_of.values != plain.after.values
    assert len(said["views"]["dlib-hog"]) == 4


def test_a_loss_is_told_from_noise():
    def scored(value):
        return Scored(value, {"dlib-hog": value}, {}, {})

    assert lost(scored(1.0), scored(0.95)) == []
    assert lost(scored(1.0), scored(0.85)) == ["dlib-hog"]
    assert lost(scored(0.01), scored(0.0)) == []


def test_a_genome_of_another_basis_version_is_refused(tmp_path):
    with pytest.raises(BadInput, match="another version"):
        print_mask(open_store(tmp_path), job(basis_sha256="0" * 64))
    with pytest.raises(BadInput, match="another version"):
        print_mask(open_store(tmp_path), job(genome=np.zeros(3, np.float32)))


def test_a_wall_that_came_out_too_thin_is_built_again_thicker(monkeypatch):
    order = make_order("sls", width_mm=60.0, mount="none")
    # As if nothing were allowed for what flat faces cut off.
    monkeypatch.setattr(solid, "_CUT_CORNERS", 0.0)
    thin = solid.make_wall(BASIS.neutral, BASIS.triangles, order, 1.0)
    checks, thick = check(thin.body, order, built(thin))
    assert [line.name for line in checks if line.passed is False] == ["wall"]
    made = make_solid(BASIS.neutral, BASIS, order, 1.0)
    assert made.thick.least_mm >= 0.95 * order.wall_mm > thick.least_mm
    # What grows is the inside: the face stays where it evolved.
    assert made.wall.deviation.median_mm == pytest.approx(thin.deviation.median_mm, abs=0.02)
