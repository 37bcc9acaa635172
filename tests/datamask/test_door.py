"""`import datamask`: light to load, true to the record, stopped and resumed to the same bytes."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import datamask
from coordinator.record.chronicle import Chronicle
from coordinator.record.record import Record
from services.storage.open import open_store
from tests.support.runs import Grown, grow

SPEC: dict[str, Any] = {
    "search": {"islands": 2, "population": 4, "generations": 6},
    "migration": {"every": 2, "count": 1},
    "views": {"count": 2},
    "verify": {"views": 2},
    "elites": {"count": 1, "ranking_views": 2},
    "objective": [{"kind": "detect", "model": "dlib-hog"}],
}


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Grown:
    return grow(tmp_path_factory.mktemp("grown"))


@pytest.fixture(scope="module")
def run(grown: Grown) -> datamask.Run:
    return datamask.open(grown.record.url)


def test_importing_it_loads_next_to_nothing() -> None:
    code = (
        "import sys; before = set(sys.modules); import datamask; new = set(sys.modules) - before; "
        "print(sorted({n.split('.')[0] for n in new if not n.startswith('_')} - {'datamask'})); "
        "datamask.open; datamask.machines; datamask.evolve; datamask.look; datamask.Basis; "
        "print(sorted({'torch', 'pandas', 'cv2', 'dlib', 'trimesh'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    alone, heavy = map(json.loads, done.stdout.replace("'", '"').splitlines())
    assert set(alone) <= {"importlib", "typing", "collections", "contextlib", "types", "re", "functools"}
    assert heavy == []


def test_an_interruption_while_modules_load_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from datamask.command import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "datamask: interrupted\n")


def test_its_names_are_there_and_no_others() -> None:
    assert set(datamask.__all__) <= set(dir(datamask))
    assert datamask.__version__[0].isdigit()
    with pytest.raises(AttributeError, match="no attribute 'opne'"):
        getattr(datamask, "opne")  # noqa: B009


def test_a_run_says_what_its_record_says(run: datamask.Run, grown: Grown) -> None:
    assert (run.done, run.generation, run.objectives) == (True, 10, ("dlib-hog", "dlib-mmod"))
    assert run.spec["seed"] == 3
    assert "versions" not in run.spec
    assert [mask.id for mask in run.elites] == [mask.id for mask in grown.elites]
    assert list(run.masks) == [row["id"] for row in grown.rows]
    row = grown.rows[5]
    mask = run.masks[row["id"]]
    assert (mask.island, mask.generation) == (row["island"], row["generation"])
    assert mask.values == {"dlib-hog": row["value dlib-hog"], "dlib-mmod": row["value dlib-mmod"]}
    np.testing.assert_array_equal(mask.genome, row["genome"])
    table = run.evaluations
    assert list(table["id"]) == list(run.masks)
    best = table.groupby(["island", "generation"])["fitness"].max().to_numpy().reshape(2, 10)
    np.testing.assert_allclose(run.curves.best, best, atol=1e-4)
    assert run.curves.values["dlib-mmod"].shape == (2, 10)
    assert run.verification is None
    assert run.controls is None
    assert b"grown" in run.read("run.toml")


def test_controls_are_those_of_the_newest_look(tmp_path: Path) -> None:
    run = datamask.open(grow(tmp_path, generations=5).record.url)
    assert run.controls is None
    found = {"elite": "i00-g0004-000", "machines": []}
    for key, by in (("audit.json", "datamask evolve"), ("verify/verify.json", "datamask verify")):
        run.record.store.put(key, json.dumps({"controls": found, "views": 20, "question": "target"}).encode())
        assert run.controls == {"by": by, "views": 20, "question": "target", **found}


def test_a_run_that_grows_is_read_anew(tmp_path: Path) -> None:
    grown = grow(tmp_path, generations=10, until=5)
    run = datamask.open(grown.record.url)
    assert (run.done, run.generation, len(run.masks)) == (False, 5, 40)
    assert run.curves.best.shape == (2, 5)


def test_a_mask_has_a_shape_a_past_and_shows_itself(run: datamask.Run) -> None:
    mask = run.elites[0]
    mesh = mask.mesh
    basis = datamask.Basis()
    assert mesh.vertices.shape == (2292, 3)
    np.testing.assert_array_equal(mesh.faces, basis.triangles)
    np.testing.assert_allclose(mesh.vertices, basis.decode(mask.genome[None])[0], atol=1e-7)
    assert mask.lineage[0].id == mask.id
    assert mask.lineage[0].generation >= mask.lineage[-1].generation
    shown = mask._repr_mimebundle_()
    picture = Image.open(io.BytesIO(base64.b64decode(shown["image/png"])))
    assert picture.size == (360, 360)
    assert np.asarray(picture).std() > 5
    assert "srcdoc" in shown["text/html"]
    assert "http" not in shown["text/html"].replace("http://www.w3.org", "").split("const told")[1]
    assert mask.id in run._repr_html_()


def test_pictures_and_scores_are_the_searchs_own(run: datamask.Run) -> None:
    mask = run.elites[0]
    pictures = mask.render(views=3, seed=4)
    assert (pictures.shape, pictures.dtype) == ((3, 160, 160, 3), np.uint8)
    assert mask.render().shape == (1, 160, 160, 3)
    np.testing.assert_array_equal(mask.render(views=np.int64(3), seed=4), pictures)
    answers = mask.scores(["dlib-hog", "dlib-resnet"], views=3, seed=4)
    assert {name: a.asked for name, a in answers.items()} == {
        "dlib-hog": "detect",
        "dlib-resnet": "consistent",
    }
    import torch

    from services.recognition import catalog

    own = catalog.detector("dlib-hog").score(torch.from_numpy(pictures)).score.numpy()
    seen = answers["dlib-hog"].raw
    assert (seen <= own + 1e-5).all()  # there anywhere in the picture, here over the mask
    np.testing.assert_allclose(answers["dlib-hog"].margins, seen)
    assert list(mask.scores(views=2)) == ["dlib-hog", "dlib-mmod"]


def test_an_evolution_is_left_and_taken_up_to_the_same_bytes(tmp_path: Path) -> None:
    seen = []
    for generation in datamask.evolve(SPEC, store=tmp_path, run="paused", seed=5, pictures=False):
        seen.append(generation.number)
        assert len(generation.islands) == 2
        assert max(generation.islands) == generation.fitness
        if generation.number == 3:
            break
    assert seen == [0, 1, 2, 3]
    held = datamask.open(tmp_path / "paused")
    assert held.generation == generation.committed == 2
    with datamask.evolve(SPEC, store=tmp_path, run="paused", seed=5, pictures=False, resume=True) as evolving:
        assert [generation.number for generation in evolving] == [2, 3, 4, 5]
    whole = datamask.evolve(SPEC, store=tmp_path, run="whole", seed=5, pictures=False).finish()
    assert _parts(tmp_path / "paused") == _parts(tmp_path / "whole")
    best = whole.masks[generation.best]
    assert best.fitness == pytest.approx(generation.fitness)


def test_one_evolution_may_be_asked_for_the_next_generation_by_hand(tmp_path: Path) -> None:
    evolving = datamask.evolve({**SPEC, "name": "by-hand"}, store=tmp_path, pictures=False)
    assert [next(evolving).number, next(evolving).number] == [0, 1]
    evolving.close()
    assert list(evolving) == []
    assert evolving.run.name == "by-hand-001"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda run: datamask.open("nowhere"), "no run here"),
        (lambda run: datamask.evolve({**SPEC, "serch": {}}), "did you mean 'search'?"),
        (lambda run: datamask.evolve({}), "'objective' is missing"),
        (lambda run: datamask.evolve("no.toml"), "no such spec file"),
        (lambda run: datamask.evolve(SPEC, executor="cloud"), "expected one of local, celery"),
        (lambda run: datamask.evolve(SPEC, store="none", coordinators=0), "expected 1 or more"),
        (lambda run: run.masks["i00-g0000-0000"], "no mask 'i00-g0000-0000' among 80"),
        (lambda run: run.read("lineup.pgn"), "there is no file 'lineup.pgn'"),
        (lambda run: run.elites[0].scores(["dlib-hogg"]), "did you mean 'dlib-hog'?"),
        (lambda run: run.elites[0].scores([]), "name at least one machine"),
        (lambda run: run.elites[0].scores(["dlib-resnet"], views=1), "ask for 2 or more"),
        (lambda run: run.elites[0].scores(views=0), "expected 1 view or more"),
        (lambda run: run.elites[0].scores(["dlib-landmarks-5"]), "gives no scores of its own"),
        (lambda run: run.elites[0].render(0), "expected at least 1"),
        (lambda run: run.elites[0].picture(0), "expected a size of 1 pixel or more"),
        (lambda run: datamask.Basis("makehuman"), "did you mean 'makehuman-mask-1'?"),
        (lambda run: datamask.Basis().decode(np.zeros(138)), r"expected finite numbers of shape \(n, 138\)"),
        (lambda run: datamask.Basis().decode([["a"]]), "got words, or rows of several lengths"),
        (lambda run: datamask.Basis().mesh([[1.0, 2.0], [1.0]]), "got words, or rows of several lengths"),
        (lambda run: datamask.compare(run.url), "expected two runs or more, got 1"),
        (lambda run: datamask.machines["dlib-hogg"], "^unknown model 'dlib-hogg'; did you mean 'dlib-hog'"),
        (lambda run: datamask.look([1, 2]), "expected a file, a Pillow image or pixels .* got list"),
        (
            lambda run: datamask.look(np.zeros((9, 9))),
            r"expected pixels uint8 \(H, W, 3\), got float64 \(9, 9\)",
        ),
        (lambda run: datamask.look("no.jpg"), "no such file"),
        (lambda run: datamask.look("skimage:astronaut", ["otsdf"]), "ask detectors and recognizers"),
    ],
)
def test_bad_input_is_one_line(call: Any, words: str, run: datamask.Run, tmp_path: Path) -> None:
    with pytest.raises(datamask.BadInput, match=words) as caught:
        call(run)
    assert "\n" not in str(caught.value)


def test_an_unknown_mask_is_a_missing_key(run: datamask.Run) -> None:
    assert run.masks.get("i00-g0000-0000") is None
    assert "i00-g0000-000" in run.masks
    assert datamask.machines.get("nope") is None


def test_masks_that_were_not_scored_are_none_of_a_runs(tmp_path: Path) -> None:
    grown = grow(tmp_path, generations=5)
    record = grown.record
    ((key, sha256),) = record.evaluations(record.head()).items()
    table = pq.read_table(io.BytesIO(record.part(key, sha256)))
    statuses = ["invisible", *table["status"].to_pylist()[1:]]
    kept = io.BytesIO()
    place = table.schema.get_field_index("status")
    pq.write_table(table.set_column(place, table.schema.field(place), pa.array(statuses)), kept)
    record.take_over()
    record.commit(0, {}, {key: kept.getvalue()})
    record.close()
    masks = datamask.open(record.url).masks
    unseen = grown.rows[0]["id"]
    assert unseen not in masks
    assert masks.get(unseen) is None
    assert [mask.id for mask in masks.values()] == list(masks) == [row["id"] for row in grown.rows[1:]]
    assert len(masks) == len(grown.rows) - 1


def test_machines_see_the_face_of_a_photograph() -> None:
    seen = datamask.look("skimage:astronaut", ["dlib-hog", "yunet", "dlib-resnet"])
    for name in ("dlib-hog", "yunet"):
        assert seen[name].face
        left, top, right, bottom = seen[name].box_px or (0.0, 0.0, 0.0, 0.0)
        assert left < 224 < right
        assert top < 118 < bottom
    from coordinator.run import photo_path
    from services.recognition.dlib.audit import embed_photo

    own, _ = embed_photo(photo_path("skimage:astronaut"))
    assert np.linalg.norm(seen["dlib-resnet"].embedding - own) < 0.05  # dlib's own, of the same photo
    face = seen["dlib-resnet"].faces[0]
    assert seen["dlib-resnet"].against(face, face).same
    with pytest.raises(datamask.BadInput, match="ask a recognizer"):
        seen["yunet"].against(seen["yunet"].faces[0], face)
    assert seen.drawn("portrait").shape[1] > 3 * 480
    nothing = datamask.look(np.full((64, 90, 3), 90, np.uint8), ["dlib-hog", "dlib-resnet"])
    assert not nothing["dlib-hog"].face
    assert not nothing["dlib-resnet"].face


def test_the_machines_are_the_catalogs() -> None:
    assert {"dlib-hog", "lbp"} <= set(datamask.machines)
    assert len(datamask.machines) == len(list(datamask.machines))
    assert datamask.machines.here("dlib-hog")
    assert "yunet" in datamask.machines._repr_html_()


def _parts(folder: Path) -> dict[str, str]:
    record = Record(open_store(folder))
    assert Chronicle(record).ids()
    return dict(record.head().parts)
