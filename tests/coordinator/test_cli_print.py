"""``datamask print``: what is refused before anything heavy starts, and which masks are chosen."""

from __future__ import annotations

import datetime
import os

import numpy as np
import pytest

from coordinator.cli.print import (
    _job,
    _models,
    _Wish,
    _write_all,
    check_consent,
    control_of,
    most_different,
    print_,
)
from coordinator.record.record import Record, checkpoint_key
from coordinator.spec.spec import parse_spec
from services.errors import BadInput, CorruptData
from services.printing.catalog import make_order
from services.recognition.fitness import Objective
from services.shape.catalog import facts_of
from services.storage.open import open_store
from services.wire.mask import Mask, encode_masks
from tests.support import runs
from worker.printing import Printed, Scored

SPEC = {"objective": [{"kind": "detect", "model": "dlib-hog"}]}
PERSON = {"subject": "A", "granted_by": "A", "purpose": "a mask", "covers": ["evolve"]}


def ask(run, **wish):
    given = {
        "mask": None, "count": 1, "process": "sls", "mount": "wall", "width_mm": None, "size": None,
        "wall_mm": None, "color": None, "edition": None, "bed_mm": None, "out": None, "force": False,
        "voxel_mm": 0.5, "as_json": False,
    }  # fmt: skip
    print_(str(run), **{**given, **wish})


@pytest.fixture
def run(tmp_path):
    record = Record(open_store(tmp_path / "run", write=True))
    spec = parse_spec(SPEC, "test")
    record.write_spec(spec.table(), spec.toml())
    record.take_over()
    elite = Mask("i00-g0003-000", 0, 3, np.zeros(3, np.float32), 1.0, np.ones(1, np.float32), 0.1)
    record.commit(0, {checkpoint_key(0, "elites"): encode_masks([elite])}, {})
    record.close()
    return tmp_path / "run"


def test_what_is_not_there_is_refused(run, tmp_path):
    with pytest.raises(BadInput, match="no run here"):
        ask(tmp_path / "nothing")
    with pytest.raises(BadInput, match="no mask 'i09-g0000-000'"):
        ask(run, mask="i09-g0000-000")
    with pytest.raises(BadInput, match="has 1 elites"):
        ask(run, count=2)
    with pytest.raises(BadInput, match="one of them"):
        ask(run, count=2, mask="i00-g0003-000")
    with pytest.raises(BadInput, match="unknown"):
        ask(run, process="cast")
    with pytest.raises(BadInput, match="expected 40"):
        ask(run, width_mm=5.0)
    with pytest.raises(BadInput, match="--gaze and --color"):
        ask(run, gaze="dlib-hog", color="own")
    with pytest.raises(BadInput, match="prints in one color"):
        ask(run, gaze="dlib-hog", process="sls")
    with pytest.raises(BadInput, match="--gaze and --control"):
        ask(run, gaze="dlib-hog", control="twin")
    for color in ("blue", "#zzz", "gazes"):
        with pytest.raises(BadInput, match=f"--color {color}: expected own, #rrggbb"):
            ask(run, color=color, mask="i09-g0000-000")
    for color in ("own", "gaze", "gaze:dlib-hog", "#102030"):
        with pytest.raises(BadInput, match="no mask"):
            ask(run, color=color, mask="i09-g0000-000")


def test_a_gaze_that_the_run_has_no_map_of_is_looked_at_first(run, monkeypatch):
    class Looked(Exception):
        pass

    def look(store, claim, model, progress):
        raise Looked(claim, model)

    # A claim reads a whole run; what it is asked for is all that counts here.
    monkeypatch.setattr("coordinator.cli.print.claim_of", lambda opened, masks: list(masks))
    monkeypatch.setattr("worker.examination.gaze.look", look)
    with pytest.raises(Looked) as caught:
        ask(run, gaze="yunet", process=None)
    assert caught.value.args == (["i00-g0003-000"], "yunet")
    # With a map there is nothing to look at: it goes on to what this run has no manifest for.
    open_store(run, write=True).put("masks/i00-g0003-000/gaze-yunet.glb", b"")
    with pytest.raises(CorruptData, match="manifest"):
        ask(run, gaze="yunet", process=None)


def test_an_output_folder_that_cannot_be_written_to_is_refused(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        ask(run, out=tmp_path / "file")
    if os.geteuid():
        (tmp_path / "shut").mkdir(mode=0o500)
        with pytest.raises(BadInput, match="cannot be written"):
            ask(run, out=tmp_path / "shut")


def test_a_likeness_prints_only_with_consent():
    objective = {"kind": "identity", "model": "dlib-resnet", "images": ["a.jpg"]}
    today = datetime.date(2026, 1, 2)

    def spec(**consent):
        return parse_spec({"objective": [objective], "consent": {**PERSON, **consent}}, "test")

    with pytest.raises(BadInput, match='covers evolve, not "print"'):
        check_consent(spec(), "run", today)
    with pytest.raises(BadInput, match="expired on 2026-01-01"):
        check_consent(spec(covers=["evolve", "print"], expires=datetime.date(2026, 1, 1)), "run", today)
    check_consent(spec(covers=["evolve", "print"], expires=today), "run", today)
    check_consent(parse_spec(SPEC, "test"), "run", today)


def test_an_edition_takes_the_most_different():
    genomes = [np.array(g, np.float32) for g in ((0, 0), (0.1, 0), (9, 0), (0, 8), (9, 0.2))]
    assert most_different(genomes, 1) == [0]
    assert sorted(most_different(genomes, 3)[1:]) == [3, 4]
    assert sorted(most_different(genomes, 5)) == [0, 1, 2, 3, 4]


def test_an_edition_is_packed_only_when_every_print_was_made(run, tmp_path):
    def printed(name, made):
        report = f"{name}.print.json"
        files = {report: b"{}", f"{name}.stl": b"solid"} if made else {report: b"{}"}
        seen = Scored(0.0, {}, {}, 20)
        return Printed(name, [], made, seen, seen, None, None, files, {"files": [*files]} if made else {})

    record = Record(open_store(run))
    whole = [printed("a", True), printed("b", True)]
    assert _write_all(record, tmp_path, whole)[2:] == [str(tmp_path / "edition.zip")]
    packed = (tmp_path / "edition.zip").read_bytes()
    assert len(_write_all(record, tmp_path, [printed("a", True), printed("b", False)])) == 2
    assert (tmp_path / "edition.zip").read_bytes() == packed
    with pytest.raises(BadInput, match="--edition and --count"):
        ask(run, count=2, edition="1/5")


def test_a_control_is_asked_for_rightly(run, tmp_path):
    with pytest.raises(BadInput, match=r"--control nose: unknown.*'noise'"):
        ask(run, control="nose", out=tmp_path / "out")
    with pytest.raises(BadInput, match="give --out"):
        ask(run, control="twin")
    with pytest.raises(BadInput, match="one of them"):
        ask(run, control="twin", count=2, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("even", [True, False])
def test_a_twin_has_the_masks_genes_with_other_signs_and_its_symmetry(even):
    spec = parse_spec({**SPEC, "mask": {"basis": "blank-oval-1"}}, "test")
    symmetry = facts_of("blank-oval-1").symmetry
    rng = np.random.default_rng(3)
    genome = rng.normal(0, 1, len(symmetry.twin)).astype(np.float32)
    if even:
        genome = symmetry.unfolded(genome[symmetry.free]).astype(np.float32)
    name, twin = control_of("twin", spec, "i00-g0001-000", genome)
    assert name == "twin-of-i00-g0001-000"
    np.testing.assert_array_equal(np.abs(twin), np.abs(genome))
    changed = np.mean(twin != genome)
    assert 0.2 < changed < 0.8
    name, noise = control_of("noise", spec, "i00-g0001-000", genome)
    assert name == "noise-beside-i00-g0001-000"
    assert not np.array_equal(np.abs(noise), np.abs(genome))
    assert np.abs(noise).max() <= spec.mask.limit
    for genes in (twin, noise):
        assert np.allclose(symmetry.mirrored(genes), genes, atol=1e-6) == even
        again = control_of("twin" if genes is twin else "noise", spec, "i00-g0001-000", genome)[1]
        np.testing.assert_array_equal(genes, again)


def test_a_card_names_each_machine_once_with_the_licence_that_the_run_has():
    together = Objective("together", "mine", 1.0, 0.9)
    objectives = [Objective("detect", "mine", 1.0, 0.7), together, Objective("detect", "other", 1.0, 0.0)]
    manifest = {"models": {"mine": {"licence": "as its owner said"}, "other": {"licence": "MIT"}}}
    assert _models(objectives, manifest) == [
        {"name": "mine", "threshold": 0.7, "licence": "as its owner said"},
        {"name": "other", "threshold": 0.0, "licence": "MIT"},
    ]


def job_of(tmp_path, **more):
    grown = runs.grow(tmp_path, islands=1, generations=1, elites=1, **more)
    elite, wish = grown.elites[0], _Wish(make_order("sls"), None, 1.0, False)
    return _job(grown.record, grown.opened.spec, [(elite.id, elite.genome)], 0, wish)


def test_notes_name_all_who_consented_in_words(tmp_path):
    people = {**PERSON, "subject": ["A", "B"], "granted_by": ["A", "C"]}
    assert job_of(tmp_path, consent=people).notes["consent"] == "granted by A and C, for a mask"


def test_a_mask_that_no_machine_accepts_is_not_said_to_be_accepted(tmp_path):
    job = job_of(tmp_path)  # its one generation is noise
    assert job.notes["Description"] == "A mask from a search for what machines take for a face."
