"""The exhibition of a run: the files it promises, the record's numbers, one clear word where it cannot be."""

from __future__ import annotations

import io
import json
import re
from dataclasses import asdict, replace

import av
import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from typer.testing import CliRunner

from coordinator.cli import app
from coordinator.record.chronicle import Chronicle
from services.errors import BadInput, CorruptData
from services.exhibition.controls import controls_of_facts
from services.exhibition.facts import decoded, with_shapes
from services.exhibition.lineup import Caption, lineup
from services.exhibition.palette import png
from services.exhibition.press import plate_png
from services.progress import silent
from services.recognition.statistics.rates import wilson_rate
from services.shape.basis import load_basis
from services.shape.decode import Decoder
from services.shape.export import write_glb
from services.wire.page_plan import PagePlan
from tests.support import runs
from worker.exhibition.exhibit import Options, _Maker, caption, exhibit, front_captions, hog_mark, not_shown

BASIS = load_basis("makehuman-mask-1")


def rate(hits, trials, **more):
    return {**asdict(wilson_rate(hits, trials)), **more}


MORE = {"share": 0.0, "low": -0.1, "high": 0.1}
CONTROLS = {
    "elite": "i00-g0004-000",
    "subjects": {"noise": "noise, spread 1.2", "first": "best of generation 0, i00-g0000-001"},
    "rows": [
        {"machine": machine, "side": side, "what": "detect", "threshold": "", "elite": rate(3, 4)}
        | {"noise": rate(hits, 60, more=MORE), "first": rate(1, 4, more=MORE)}
        for machine, side, hits in (("audit", "audit", 2), ("viola-jones", "critic", 19))
    ],
}


def facts_in(data):
    text = re.search(rb'<script type="application/json" id="facts">(.*?)</script>', data, re.S)
    return json.loads(text[1])


@pytest.fixture(scope="module")
def exhibited(tmp_path_factory):
    """A run, exhibited by the command line with everything that it offers."""
    folder = tmp_path_factory.mktemp("exhibited")
    grown = runs.grow(
        folder / "run",
        generations=5,
        elites=1,
        islands=1,
        archive={"on": True},
        pareto={"aims": ["fitness", "abstraction"]},
    )
    audit = {"views": 4, "hog_rate": 0.75, "distance_median": None, "critics": {"viola-jones": 0.5}}
    grown.record.store.put(f"masks/{grown.elites[0].id}/audit.json", json.dumps(audit).encode())
    grown.record.store.put("audit.json", json.dumps({"views": 4, "controls": CONTROLS}).encode())
    colors = np.zeros((len(BASIS.neutral), 3), np.uint8)
    colors[:, 0] = 200
    gaze = write_glb(np.array(BASIS.neutral), BASIS.triangles, colors, name="gaze")
    grown.record.store.put(f"masks/{grown.elites[0].id}/gaze-dlib-hog.glb", gaze)
    told = CliRunner().invoke(
        app,
        [
            "exhibit",
            str(folder / "run"),
            "--pack",
            str(folder / "pack"),
            *("--dpi", "100"),
            "--kiosk",
            "--artist",
            "Ada Example",
            "--lineup-width",
            "640",
            "--film",
            "boxes",
            "--film-px",
            "96",
            "--material",
            "color",
        ],
    )
    assert told.exit_code == 0, told.output
    return grown, folder / "pack", told.output


def test_every_promised_file_is_there_and_opens(exhibited):
    grown, _, output = exhibited
    store = grown.record.store
    assert output.strip().splitlines()[-1] == store.url + "/report.html"
    for key in ("lineup.png", "composite.png", "before-after.png", "archive.png", "front.png", "film.webp"):
        with Pillow.open(io.BytesIO(store.get(key))) as picture:
            picture.load()
            assert picture.width == 640 or key != "lineup.png"
    for key in ("film.mp4", "turntable.mp4"):
        with av.open(io.BytesIO(store.get(key))) as film:
            assert film.streams.video[0].codec_context.name == "h264"


def test_the_page_carries_the_records_facts(exhibited):
    grown, _, _ = exhibited
    facts = facts_in(grown.record.store.get("report.html"))
    (mask,) = facts["masks"]
    assert mask["id"] == grown.elites[0].id
    assert mask["fitness"] == pytest.approx(grown.elites[0].fitness, abs=1e-4)
    assert mask["audit"]["hog_rate"] == 0.75
    assert set(mask["gaze"]) == {"dlib-hog"}
    assert {"film.mp4", "lineup.png", "turntable.mp4"} <= set(facts["files"])
    assert all(grown.record.store.exists(key) for key in facts["files"])
    views = mask["received"]
    assert len(views) == 3
    scores = [next(s["value"] for s in v["scores"] if s["machine"] == "dlib-hog") for v in views]
    assert scores == sorted(scores, reverse=True)
    shown = {n["id"] for n in mask["lineage"]}
    assert shown <= set(facts["thumbs"])


def test_the_pack_says_what_the_record_says_and_its_page_has_no_dead_link(exhibited):
    grown, pack, _ = exhibited
    mask = grown.elites[0]
    year = grown.record.manifest()["started"][:4]
    lines = (pack / "labels.txt").read_text().splitlines()
    assert lines[:4] == [
        "Ada Example",
        f"Untitled (HOG, MMOD), {year}",
        "Digital model",
        "Dimensions variable",
    ]
    texts = (pack / "texts.txt").read_text().replace("\u00a0", " ")
    assert f"{len(grown.rows)} masks" in texts
    assert "HOG in 3, and of machines that took no part to Viola–Jones in 2" in texts
    assert "Noise is a face to HOG in 2 of 60 and Viola–Jones in 19 of 60." in texts
    for name in ("labels.pdf", "wall-text.pdf", "poster.pdf", "press.pdf"):
        data = (pack / name).read_bytes()
        assert data.startswith(b"%PDF-")
        assert b"/FontFile2" in data  # embedded
    with Pillow.open(pack / "plates" / f"{mask.id}.png") as plate:
        assert plate.info["dpi"] == pytest.approx((100, 100), abs=0.1)
        assert plate.size == (709, 1024)  # 18 x 26 cm
    with Pillow.open(pack / "poster.png") as sheet:
        assert sheet.info["dpi"] == pytest.approx((100, 100), abs=0.1)
        assert sheet.size == (1169, 1654)  # A3
    assert Options().dpi == 300  # what is not said is for print
    facts = facts_in((pack / "index.html").read_bytes())
    assert [name for name in facts["files"] if not (pack / name).is_file()] == []
    assert {"film.mp4", "labels.pdf"} <= {path.name for path in pack.iterdir()}
    assert (pack / "kiosk.html").read_bytes() == grown.record.store.get("kiosk.html")
    stand = facts_in(grown.record.store.get("kiosk.html"))
    assert [m["id"] for m in stand["masks"]] == [mask.id]
    assert stand["idle_ms"] == 60_000


def test_captions_say_what_the_same_machine_says_of_noise(exhibited):
    grown, _, _ = exhibited
    facts = Chronicle(grown.record).plan().facts
    rows = dict(caption(facts["masks"][0], (), controls_of_facts(facts)).rows)
    assert rows["a face in"] == "views, of noise"
    assert rows["audit: HOG"] == "3 of 4, 3%"
    assert rows["viola-jones"] == "2 of 4, 32%"
    assert controls_of_facts(facts)["dlib-hog"] == controls_of_facts(facts)["audit"]


def test_a_caption_says_on_which_views_a_mask_has_its_fitness(exhibited):
    grown, _, _ = exhibited
    (elite,) = Chronicle(grown.record).plan().facts["masks"]
    (other,) = Chronicle(grown.record).plan(ids=["i00-g0000-000"]).facts["masks"]
    assert [caption(mask).rows[0][0] for mask in (elite, other)] == ["fitness", "fitness on its own views"]


def test_a_painted_mask_can_be_had_in_a_material_without_its_paint(tmp_path):
    run = runs.grow(tmp_path, generations=1, elites=1, islands=1, mask={"color": True})
    store, plan = run.record.store, Chronicle(run.record).plan()
    shown = {name: _Maker(store, plan, Options(material=name)) for name in (None, "color", "nylon", "mirror")}
    assert [maker.material.name for maker in shown.values()] == ["color", "color", "nylon", "mirror"]
    painted = {name: maker.lit_masks[0].colors is not None for name, maker in shown.items()}
    assert painted == {None: True, "color": True, "nylon": False, "mirror": False}
    plain = runs.grow(tmp_path / "plain", generations=1, elites=1, islands=1)
    maker = _Maker(plain.record.store, Chronicle(plain.record).plan(), Options())
    assert (maker.material.name, maker.lit_masks[0].colors) == ("nylon", None)


def test_an_archives_sheet_says_what_it_leaves_out():
    measures = [{"name": name} for name in ("relief", "asymmetry", "roughness")]
    assert not_shown({"measures": measures[:2], "masks": [{}] * 3, "filled_in_sight": 3}) == ""
    assert not_shown({"measures": measures, "masks": [{}] * 3, "filled_in_sight": 5}) == (
        "Of cells that differ in roughness only, the best is shown. Shown are the 3 best of 5."
    )


def test_a_front_has_a_row_for_each_aim_and_counts_from_what_lies_at_the_origin(tmp_path):
    aims = {"pareto": {"aims": ["fitness", "asymmetry"]}, "mask": {"basis": "blank-oval-1"}}
    run = runs.grow(tmp_path, generations=1, elites=1, islands=1, **aims)
    store, plan = run.record.store, Chronicle(run.record).plan()
    front = plan.facts["front"]
    captions = front_captions(front)
    for mask, told in zip(front["masks"], captions, strict=True):
        fitness, away = mask["aims"]
        rows = (
            ("fitness", f"{fitness:.2f}"),
            ("asymmetry", f"{away:.2f} {front['aims'][1]['unit']}".strip()),
        )
        assert told == Caption(mask["id"], rows)
    (first, *_) = front_captions({**front, "masks": front["masks"][:1] * 7})  # they hang as a wall
    assert first.rows == (("fitness", f"{captions[0].rows[0][1]} · asymmetry {captions[0].rows[1][1]}"),)
    maker = _Maker(store, plan, Options(sheets=True))
    assert maker.front(silent) == ["front.png"]
    lit = maker._lit_plainly("front", front["masks"], silent)
    title = "What fitness and asymmetry cost each other"
    assert store.get("front.png") == png(lineup(lit, captions, title, level="the center"))


def test_numpy_decodes_as_the_decoder_does():
    genome = np.random.default_rng(1).normal(0, 1.0, len(BASIS.gene_names)).astype(np.float32)
    exact = Decoder(BASIS).decode(torch.from_numpy(genome[None]))[0].numpy()
    np.testing.assert_allclose(decoded(BASIS, genome), exact, atol=1e-6)


def test_bad_input_is_one_line(tmp_path):
    empty = runs.grow(tmp_path / "empty", until=0)
    with pytest.raises(BadInput, match="no elites yet"):
        exhibit(empty.record.store, Chronicle(empty.record).plan())
    grown = runs.grow(tmp_path / "run", generations=5, elites=1, islands=1)
    plan = Chronicle(grown.record).plan()
    with pytest.raises(BadInput, match="no colors"):
        exhibit(grown.record.store, plan, Options(film_px=96, sheets=True, lineup_px=640, material="color"))
    with pytest.raises(BadInput, match="even"):
        exhibit(grown.record.store, plan, Options(film_px=97, sheets=True, lineup_px=640))
    assert not grown.record.store.exists("lineup.png")
    with pytest.raises(CorruptData, match="no usable genome"):
        exhibit(grown.record.store, PagePlan(plan.facts, {}, plan.work), Options(film_px=96))
    assert not grown.record.store.exists("report.html")
    for arguments, word in (
        (["exhibit", str(tmp_path / "nowhere")], "run.toml"),
        (["exhibit", str(tmp_path / "run"), "--mask", "i00-g0000-99"], "no mask"),
        (["exhibit", str(tmp_path / "nowhere"), "--film-px", "721"], "--film-px 721: expected an even"),
        (["watch", str(tmp_path / "run"), "--host", "0.0.0.0"], "--token"),
    ):
        told = CliRunner().invoke(app, arguments)
        assert isinstance(told.exception, BadInput)
        assert word in str(told.exception)


def test_pictures_and_packs_of_other_masks_do_not_stay(tmp_path):
    run = runs.grow(tmp_path / "run", generations=2, elites=1, islands=1)
    store, pack = run.record.store, tmp_path / "pack"
    store.put("before-after.png", b"of another mask")
    options, packed = Options(film_px=96, pack=pack, dpi=60), []
    for name, sheets in (("i00-g0001-000", False), ("i00-g0000-000", True)):
        given = replace(options, sheets=sheets, lineup_px=640)
        keys = exhibit(store, Chronicle(run.record).plan(ids=[name]), given)
        packed.append({p.relative_to(pack).as_posix() for p in pack.rglob("*") if p.is_file()})
        (pack / "mine.txt").write_text("somebody's own")
    assert {"plates/i00-g0001-000.png", "before-after.png"} <= packed[0]
    assert "before-after.png" not in keys
    assert not store.exists("before-after.png")  # a mask of generation 0 has no before
    assert "before-after.png" not in facts_in(store.get("report.html"))["files"]
    assert {"plates/i00-g0000-000.png", "mine.txt", "pack.json"} <= packed[1]
    assert not {"plates/i00-g0001-000.png", "before-after.png"} & packed[1]
    listed = json.loads((pack / "pack.json").read_bytes())["files"]
    assert set(listed) == packed[1] - {"mine.txt", "pack.json"}
    assert not [name for name in facts_in((pack / "index.html").read_bytes())["files"] if "before" in name]


def test_missing_pictures_are_left_out_and_the_page_still_stands(tmp_path):
    grown = runs.grow(tmp_path / "run", generations=5)
    facts = with_shapes(Chronicle(grown.record).plan(), grown.record.store, {})
    assert facts["film"] is None
    assert all(mask["front"] is None and mask["received"] == [] for mask in facts["masks"])
    assert all(mask["mesh"] for mask in facts["masks"])


def test_the_mark_says_what_dlib_says():
    assert hog_mark(np.full((96, 96, 3), 90, np.uint8)).box is None
    assert plate_png(np.zeros((4, 4, 3), np.uint8))[:4] == b"\x89PNG"
