"""Which machines a spec may name, on whose behalf and on what terms."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from coordinator.run import objectives_of, plan_of, recorded_table
from coordinator.spec.machines import machines
from coordinator.spec.spec import Spec, parse_spec
from coordinator.spec.spec_file import load_spec
from services.errors import BadInput, Unavailable
from services.recognition import files
from services.recognition.statistics.calibration import shipped

DETECT = '[[objective]]\nkind = "detect"\nmodel = "dlib-hog"\n'
TOGETHER = DETECT.replace("detect", "together") + DETECT.replace("detect", "together").replace("hog", "mmod")
CONSENT = '[consent]\nsubject = ["A", "B"]\ngranted_by = ["A", "B"]\npurpose = "art"\n'
PACK = '[[objective]]\nkind = "detect"\nmodel = "insightface:buffalo_l/det_10g"\n'


def parsed(text: str) -> Spec:
    return parse_spec(tomllib.loads(text), "spec.toml")


def identity(more: str, model: str = "dlib-resnet", kind: str = "identity") -> str:
    return f'[[objective]]\nkind = "{kind}"\nmodel = "{model}"\n{more}\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder of models that is searched."""
    monkeypatch.setenv(files.VARIABLE, str(tmp_path / "models"))
    monkeypatch.setattr(files, "insightface_folder", lambda: tmp_path / "none")
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (DETECT.replace("detect", "together"), ["two such objectives or more", "given: dlib-hog"]),
        (TOGETHER + TOGETHER, ["of different models"]),
        (TOGETHER.replace("dlib-mmod", "viola-jones"), ["'viola-jones' does not say", "dlib-mmod", "yunet"]),
        (TOGETHER.replace("dlib-mmod", "dlib-resnet"), ["is a recognize model"]),
        (TOGETHER + "gate = true", ["takes no gate"]),
        (identity('images = ["a.jpg"]\nsaturate = 0.5') + CONSENT, ["takes no saturate"]),
        (DETECT + "saturate = 0", ["saturate", "greater than 0"]),
        (identity('images = ["a.jpg"]\nsubject = "C"') + CONSENT, ["does not cover 'C'"]),
        (identity('images = ["a.jpg"]') + CONSENT, ["lists 2 subjects", "subject = ..."]),
        (identity('images = ["a.jpg", "b.jpg"]', kind="composite"), ["[consent]"]),
        (identity('images = ["a.jpg"]', kind="composite") + CONSENT, ["two people or more"]),
        (
            identity('images = ["a.jpg", "b.jpg"]\nsubject = ["A"]', kind="composite") + CONSENT,
            ["1 people for 2 images"],
        ),
        (identity('images = ["a.jpg"]\ncombine = "worst"'), ["combine", "centroid or best"]),
        (identity('combine = "best"', kind="consistent"), ["combine", "takes none"]),
        (DETECT + "gate = true", ["no gate"]),
        (DETECT + 'aggregate = "worst"', ["'mean-min', 'worst-k' or 'quantile'"]),
        (DETECT + 'images = ["a.jpg"]', ["takes no images"]),
        (identity("", model="otsdf", kind="identity"), ["otsdf", "correlate"]),
        (identity("", kind="correlate"), ["dlib-resnet", "recognize", "needs one to correlate"]),
        (identity("", kind="consistent") + identity("", "lbp", "consistent"), ["only one", "consistent"]),
        (identity('images = ["a.jpg"]', model="otsdf", kind="correlate"), ["[consent]"]),
        (PACK, ["insightface:buffalo_l/det_10g", "non-commercial", "[licence]", "acknowledge"]),
        (DETECT + '[verify]\ncritics = ["insightface:buffalo_l/det_10g"]', ["non-commercial"]),
        (identity("threshold = 0.3", "onnx:mine.onnx", "consistent"), ["onnx:mine.onnx", "not known"]),
        (DETECT + '[licence]\nacknowledge = ["insightfase"]', ["insightfase"]),
        (DETECT + '[models."dlib-hog"]\nlicence = "mine"', ["dlib-hog", "not an onnx: file"]),
        (
            identity("", "onnx:mine.onnx", "consistent") + '[models."onnx:mine.onnx"]\nlicense = "MIT"',
            ["unknown key 'license'", "'licence'"],
        ),
        (DETECT + '[views]\npreset = "corridor"', ["'corridor-camera'"]),
    ],
)
def test_refusals_say_what_where_and_what_instead(text: str, words: list[str]) -> None:
    with pytest.raises(BadInput) as refused:
        parsed(text)
    message = str(refused.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


OVAL = '[mask]\nbasis = "blank-oval-1"\n'
ONE = CONSENT.replace('["A", "B"]', '"A"')


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            identity('images = ["a.jpg"]') + OVAL + ONE,
            ["'dlib-resnet'", "eye corners", "detector", "dlib-hog"],
        ),
        (
            DETECT + identity('images = ["a.jpg"]', model="lbp") + OVAL + ONE,
            ["'lbp'", "five points", "blank-oval-1", "blazeface-full", "yunet"],
        ),
        (identity("", model="otsdf", kind="correlate") + OVAL, ["without images", "blank-oval-1"]),
        (
            DETECT + identity("", kind="consistent") + OVAL + '[run]\nprecision = "half"',
            ["precision", "'dlib-resnet'", "leave it out"],
        ),
    ],
)
def test_a_blank_needs_a_detector_that_says_where_faces_are(text: str, words: list[str]) -> None:
    with pytest.raises(BadInput) as error:
        parsed(text)
    message = str(error.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_workers_know_what_a_view_without_a_face_counts_on_a_blank_only() -> None:
    text = DETECT + identity("threshold = 0.5", kind="consistent")
    for basis, extra in (("", {}), (OVAL, {"threshold": 0.5, "scale": 0.1})):
        spec = parsed(text + basis)
        measures = plan_of(spec, objectives_of(spec, [None, None])).meta()["measures"]
        plain = {"target": None, "combine": "centroid"}
        assert measures[0] == {"kind": "detect", "model": "dlib-hog", **plain}
        assert measures[1] == {"kind": "consistent", "model": "dlib-resnet", **plain, **extra}


def test_workers_know_how_detectors_read_that_agree_and_no_other_plan_changes() -> None:
    spec = parsed(TOGETHER + "threshold = 0.5\nscale = 2.0\n" + DETECT + "saturate = 0.25\n")
    assert [o.get("saturate") for o in recorded_table(spec)["objective"]] == [0.25, 0.25, 0.25]
    objectives = objectives_of(spec, [None] * 3)
    measures = plan_of(spec, objectives).meta()["measures"]
    reading = [{k: m[k] for k in ("threshold", "scale", "slope")} for m in measures[:2]]
    assert reading[0] == {"threshold": 0.0, "scale": 1.0, "slope": 0.25}
    assert reading[1] == {"threshold": 0.5, "scale": 2.0, "slope": 0.25}
    assert measures[2] == {"kind": "detect", "model": "dlib-hog", "target": None, "combine": "centroid"}
    assert "saturate" not in recorded_table(parsed(DETECT))["objective"][0]


def test_terms_can_be_acknowledged_by_model_or_by_family() -> None:
    for name in ("insightface:buffalo_l/det_10g", "insightface"):
        assert parsed(PACK + f'[licence]\nacknowledge = ["{name}"]').licence.acknowledge == [name]


def test_several_people_are_covered_by_one_consent() -> None:
    spec = parsed(
        identity('images = ["a.jpg", "a2.jpg"]\nsubject = "A"\ncombine = "best"')
        + identity('images = ["b.jpg"]\nsubject = "B"')
        + identity('images = ["a.jpg", "b.jpg"]\nsubject = ["A", "B"]\ncombine = "worst"', kind="composite")
        + CONSENT
    )
    labels = [o.label for o in objectives_of(spec, ["x", "y", "z"])]
    assert labels == ["identity:dlib-resnet", "identity:dlib-resnet#2", "composite:dlib-resnet"]
    quantities = plan_of(spec, objectives_of(spec, ["x", "y", "z"])).quantities
    assert [q.combine for q in quantities] == ["best", "centroid", "worst"]


def test_a_preset_gives_the_ranges_that_are_not_set() -> None:
    spec = parsed(DETECT + '[views]\npreset = "passport"\nyaw_deg = [-12, 12]')
    ranges = spec.views.ranges()
    assert ranges.yaw_deg == (-12.0, 12.0)
    assert ranges.pitch_deg == (-4.0, 4.0)
    assert ranges.jpeg_quality == (85.0, 95.0)
    assert parse_spec(tomllib.loads(spec.toml()), "again") == spec


def test_a_missing_file_says_how_to_get_it_and_on_what_terms(folder: Path) -> None:
    spec = parsed(PACK + '[licence]\nacknowledge = ["insightface"]')
    with pytest.raises(Unavailable) as missing:
        machines(spec)
    assert "insightface:buffalo_l/det_10g" in str(missing.value)
    assert "non-commercial" in str(missing.value)
    assert "never downloads" in str(missing.value)


def test_a_file_beside_the_spec_is_found_and_pinned(folder: Path, tmp_path: Path) -> None:
    make = pytest.importorskip("bench.onnx_models", reason='pip install "datamask[insightface]"')
    make.arcface(tmp_path / "nets" / "mine.onnx")
    said = '[models."onnx:nets/mine.onnx"]\nlicence = "MIT"\n'
    objective = identity("threshold = 0.4", "onnx:nets/mine.onnx", "consistent")
    path = tmp_path / "spec.toml"
    path.write_text(objective + said)
    spec = load_spec(path)
    assert spec.model_names == ("onnx:mine.onnx", "viola-jones")
    info = machines(spec)["onnx:mine.onnx"]
    assert (info.licence, info.research_only, info.measure) == ("MIT", False, "similarity")
    plan = plan_of(spec, objectives_of(spec, [None]))
    assert plan.models["onnx:mine.onnx"] == info.sha256
    assert plan.runtimes["onnxruntime"].startswith("onnxruntime")
    assert str(tmp_path) not in str(plan.meta())
    path.write_text(identity("", "onnx:nets/mine.onnx", "consistent") + said)
    with pytest.raises(BadInput, match="comes without a threshold"):
        machines(load_spec(path))
    path.write_text(identity("", "onnx:nets/mine.onnx", "detect") + said)
    with pytest.raises(BadInput, match="needs one to detect"):
        load_spec(path)


def test_a_critic_may_not_be_an_objective_under_another_name(folder: Path) -> None:
    make = pytest.importorskip("bench.onnx_models", reason='pip install "datamask[insightface]"')
    for name in ("one.onnx", "two.onnx"):
        make.arcface(folder / name)
    spec = parsed(
        identity("threshold = 0.4", "onnx:one.onnx", "consistent")
        + '[verify]\ncritics = ["onnx:two.onnx"]\n[licence]\nacknowledge = ["onnx"]'
    )
    with pytest.raises(BadInput, match=r"two\.onnx.*weights of objective.*one\.onnx"):
        machines(spec)


def test_a_run_without_exact_takes_every_version() -> None:
    text = '[[objective]]\nkind = "detect"\nmodel = "viola-jones"\n[verify]\ncritics = []\n'
    exact, loose = parsed(text), parsed(text + "[run]\nexact = false\n")
    assert "opencv-python-headless" in plan_of(exact, objectives_of(exact, [None])).runtimes
    assert not plan_of(loose, objectives_of(loose, [None])).runtimes


FAR = '[[objective]]\nkind = "consistent"\nmodel = "dlib-resnet"\nfar = 0.01\n'


def spec_file(folder: Path, text: str) -> Path:
    path = folder / "far.toml"
    path.write_text(DETECT + text)
    return path


def test_a_false_accept_rate_gives_threshold_and_scale(tmp_path: Path) -> None:
    calibration = shipped("dlib-resnet")
    assert calibration is not None
    pairs = calibration.nearest("render-render", 0.4)
    assert pairs is not None
    (threshold,) = [t.threshold for t in pairs.thresholds if t.far == 0.01]
    spec = load_spec(spec_file(tmp_path, FAR))
    objective = objectives_of(spec, [None, None])[1]
    assert objective.threshold == threshold
    assert threshold + objective.scale * 1.0 == pytest.approx(pairs.median_impostor)  # a margin of -1
    again = parse_spec(recorded_table(spec), "run.toml")  # what a run keeps says the same by itself
    assert objectives_of(again, [None, None])[1] == objective


def test_a_calibration_of_ones_own_is_taken(tmp_path: Path) -> None:
    calibration = shipped("dlib-resnet")
    assert calibration is not None
    moved = json.loads(calibration.encoded())
    for pairs in moved["sets"]:
        pairs["thresholds"][0]["threshold"] = 0.25
    (tmp_path / "mine.json").write_text(json.dumps(moved))
    spec = load_spec(spec_file(tmp_path, FAR + 'calibration = "mine.json"\n'))
    assert objectives_of(spec, [None, None])[1].threshold == 0.25
    assert recorded_table(spec)["objective"][1]["calibration"] == "mine.json"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (FAR.replace("0.01", "1e-9"), ["far = 1e-09", "it carries 0.01", "--pairs"]),
        (FAR + "threshold = 0.5\n", ["far and threshold", "leave one of them out"]),
        (FAR + 'calibration = "none.json"\n', ["none.json", "cannot be read"]),
        (
            FAR.replace("dlib-resnet", "onnx:mine.onnx"),
            ["ships no calibration of 'onnx:mine.onnx'", "datamask calibrate onnx:mine.onnx"],
        ),
        (FAR.replace("consistent", "detect").replace("dlib-resnet", "dlib-mmod"), ["far", "recognizer"]),
        (FAR.replace("far = 0.01", 'calibration = "a.json"'), ["calibration", "far = 0.01"]),
    ],
)
def test_a_rate_that_cannot_be_had_says_why(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(BadInput) as caught:
        load_spec(spec_file(tmp_path, text))
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_a_distance_below_nothing_is_refused(tmp_path: Path) -> None:
    spec = load_spec(spec_file(tmp_path, FAR.replace("far = 0.01", "threshold = 0.0")))
    with pytest.raises(BadInput, match="threshold = 0, but its answers are distances"):
        machines(spec)


def test_a_calibration_of_other_weights_is_refused(tmp_path: Path) -> None:
    calibration = shipped("dlib-resnet")
    assert calibration is not None
    (tmp_path / "mine.json").write_bytes(calibration.encoded())
    text = FAR.replace("dlib-resnet", "lbp") + 'calibration = "mine.json"\n'
    with pytest.raises(BadInput, match=r"of dlib-resnet .*not of lbp"):
        load_spec(spec_file(tmp_path, text))
