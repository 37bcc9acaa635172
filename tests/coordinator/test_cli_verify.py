"""``datamask verify``, ``calibrate`` and ``gaze``: what they say, and what they refuse before any work."""

from __future__ import annotations

import datetime
import io
from pathlib import Path

import boto3
import numpy as np
import pytest
import typer
from botocore.stub import ANY, Stubber
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from coordinator.cli.calibrate import calibrate, show_calibration
from coordinator.cli.cross_check import _reference, check_consent
from coordinator.cli.gaze import gaze
from coordinator.cli.verify import gap_lines, show_verification, verify
from coordinator.record.record import Record, checkpoint_key
from coordinator.record.verification import claim_of, open_verified, printed_photos
from coordinator.spec.spec import parse_spec
from services.errors import BadInput
from services.recognition.catalog import model_info
from services.recognition.statistics.calibration import shipped
from services.recognition.statistics.plots import verification_plot
from services.recognition.statistics.rates import wilson_rate
from services.shape.catalog import basis_info
from services.storage.open import open_store
from services.wire.mask import Mask, encode_masks
from services.wire.objects import write_target
from worker.examination.rekognition import ask_rekognition

SPEC = {
    "name": "archetype",
    "seed": 7,
    "search": {"islands": 1, "population": 4, "generations": 2},
    "objective": [{"kind": "detect", "model": "dlib-hog"}],
}
PERSON = {
    **SPEC,
    "objective": [{"kind": "identity", "model": "dlib-resnet", "images": ["me.jpg"]}],
    "consent": {"subject": "me", "granted_by": "me", "purpose": "a mask"},
}
MASK = "i00-g0001-002"

app = typer.Typer()
for command in (verify, calibrate, gaze):
    app.command(command.__name__)(command)


def make(path, spec=SPEC, elites=True):
    """A finished run's record, without a search."""
    record = Record(open_store(path, write=True))
    parsed = parse_spec(spec, "test")
    record.write_spec(parsed.table(), parsed.toml())
    target = None
    if spec is PERSON:
        target = write_target(record.store, np.ones((2, 128), np.float32))
    record.write_manifest({"models": {}, "objectives": [{"label": "x", "target": target}]})
    record.take_over()
    genome = np.zeros(len(basis_info("makehuman-mask-1").gene_names), np.float32)
    mask = Mask(MASK, 0, 1, genome, 0.5, np.zeros(1, np.float32), 0.0)
    record.commit(0, {checkpoint_key(0, "elites"): encode_masks([mask] if elites else [])}, {}, done=True)
    record.close()
    return record


def refused(*arguments):
    answer = CliRunner().invoke(app, [str(a) for a in arguments])
    assert isinstance(answer.exception, BadInput), answer.output
    assert "\n" not in str(answer.exception)
    return str(answer.exception)


def test_a_claim_is_read_from_the_record(tmp_path):
    claim = claim_of(open_verified(make(tmp_path / "run")), ["dlib-mmod"])
    assert [name for name, _ in claim.elites] == [MASK]
    assert (claim.fitted, claim.critics) == (("dlib-hog",), ("viola-jones", "dlib-mmod"))
    assert claim.targets == {}
    person = claim_of(open_verified(make(tmp_path / "person", PERSON)))
    assert person.targets["dlib-resnet"].shape == (2, 128)


def test_critics_whose_weights_are_not_here_are_left_out_and_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DATAMASK_MODELS", raising=False)
    pack = "insightface:buffalo_l/det_10g"
    spec = {
        **SPEC,
        "verify": {"critics": ["viola-jones", "facenet", pack]},
        "licence": {"acknowledge": ["insightface"]},
    }
    run = open_verified(make(tmp_path / "run", spec))
    claim = claim_of(run, ["dlib-mmod"])
    assert claim.critics == ("viola-jones", "dlib-mmod")
    assert claim.absent["facenet"] == "datamask models --get facenet"
    assert "get a pack yourself" in claim.absent[pack]
    assert claim_of(run, ["facenet"]).critics == ("viola-jones", "facenet")  # who asks for it is told


def test_a_critic_may_not_be_an_objective_in_another_file(tmp_path, monkeypatch):
    make_file = pytest.importorskip("bench.onnx_models", reason='pip install "datamask[insightface]"').arcface
    monkeypatch.setenv("DATAMASK_MODELS", str(tmp_path))
    for name, width in (("one", 8), ("two", 8), ("three", 12)):
        make_file(tmp_path / f"{name}.onnx", width=width)
    spec = {
        **SPEC,
        "objective": [{"kind": "consistent", "model": "onnx:one.onnx", "threshold": 0.4}],
        "licence": {"acknowledge": ["onnx"]},
    }
    record = make(tmp_path / "run", spec)
    record.write_manifest(
        {
            "models": {"onnx:one.onnx": {"sha256": model_info("onnx:one.onnx").sha256}},
            "objectives": [{"label": "x", "target": None}],
        }
    )
    run = open_verified(record)
    with pytest.raises(BadInput, match=r"--critic onnx:two\.onnx: it has the weights of onnx:one\.onnx"):
        claim_of(run, ["onnx:two.onnx"])
    assert "onnx:three.onnx" in claim_of(run, ["onnx:three.onnx"]).critics


def test_verify_refuses_before_it_loads_a_network(tmp_path):
    run = make(tmp_path / "run").url
    assert "--critic dlib-hog" in refused("verify", run, "--critic", "dlib-hog")
    assert MASK in refused("verify", run, "--mask", "i09-g0000-000")
    assert "no identity objective" in refused("verify", run, "--target", tmp_path / "me.jpg")
    assert "no such folder" in refused("verify", run, "--photos", tmp_path / "nowhere")
    assert "no such folder" in refused("verify", run, "--gallery-photos", tmp_path / "nowhere")
    assert "even" in refused("verify", run, "--views", 3)
    assert "no run here" in refused("verify", tmp_path / "nothing")
    assert "max-cost-usd" in refused("verify", run, "--aws")
    assert "nothing was sent" in refused("verify", run, "--aws", "--max-cost-usd", 0.1, "--views", 100)
    assert "--date" in refused("verify", run, "--import", tmp_path / "a.csv", "--date", "soon")
    empty = make(tmp_path / "empty", elites=False).url
    assert "no elite" in refused("verify", empty)
    assert "dlib-landmarks-5" in refused("gaze", run, "--model", "dlib-landmarks-5")
    assert "no gradients" in refused("gaze", run, "--method", "gradient")
    assert "too few" in refused("calibrate", "--pairs", 10, "--out", tmp_path / "out")
    assert "viola-jones" in refused("calibrate", "viola-jones", "--out", tmp_path / "out")
    assert "did you mean" in refused("calibrate", "dlib-resnt", "--out", tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--import a.csv --manual new", "--import and --manual: give one of them"),
        ("--import a.csv --aws --max-cost-usd 1", "--import and --aws: give one of them"),
        ("--tester me", "--tester: give it with --import"),
        ("--date 2026-05-31 --manual new", "--date: has no say in --manual"),
        ("--service phone", "--service: give it with --import"),
        ("--max-cost-usd 0", "--max-cost-usd: give it with --aws"),
        ("--manual new --json", "--json: has no say in --manual"),
        ("--manual new --critic yunet", "--critic: has no say in --manual"),
    ],
)
def test_options_that_would_have_no_say_are_refused(options, words, tmp_path):
    assert words in refused("verify", make(tmp_path / "run").url, *options.split())


def test_printed_photos_lie_under_their_mask(tmp_path):
    opened = open_verified(make(tmp_path / "run"))
    (tmp_path / "prints" / MASK).mkdir(parents=True)
    photo = tmp_path / "prints" / MASK / "1.jpg"
    photo.write_bytes(b"")
    assert printed_photos(tmp_path / "prints", opened) == {MASK: [photo]}
    (tmp_path / "prints" / "other").mkdir()
    (tmp_path / "prints" / "other" / "1.jpg").write_bytes(b"")
    with pytest.raises(BadInput, match=MASK):
        printed_photos(tmp_path / "prints", opened)


def test_a_likeness_leaves_only_where_the_consent_says_so(tmp_path):
    today = datetime.date(2026, 5, 31)
    check_consent(parse_spec(SPEC, "test"), today)
    with pytest.raises(BadInput, match="cloud"):
        check_consent(parse_spec(PERSON, "test"), today)
    wide = {**PERSON["consent"], "covers": ["evolve", "cloud"]}
    check_consent(parse_spec({**PERSON, "consent": wide}, "test"), today)
    ended = {**wide, "expires": datetime.date(2026, 5, 30)}
    with pytest.raises(BadInput, match="2026-05-30"):
        check_consent(parse_spec({**PERSON, "consent": ended}, "test"), today)
    assert "cloud" in refused("verify", make(tmp_path / "run", PERSON).url, "--aws", "--max-cost-usd", 9)


def test_rekognition_is_asked_about_all_and_its_answers_are_kept(tmp_path):
    """Plumbing only: the answers are made up."""
    record = make(tmp_path / "run")
    keys = {"aws_access_key_id": "-", "aws_secret_access_key": "-"}
    client = boto3.client("rekognition", region_name="us-east-1", **keys)
    with Stubber(client) as stub:
        for k in range(8):  # one mask and three controls, two pictures each
            faces = [{"Confidence": 99.0}] if k < 2 else []
            stub.add_response("detect_faces", {"FaceDetails": faces}, {"Image": ANY, "Attributes": ANY})
        for k in range(4):
            pair = {"SourceImage": ANY, "TargetImage": ANY, "SimilarityThreshold": 0.0}
            found = {"FaceMatches": [{"Similarity": 90.0 if k == 0 else 10.0}], "UnmatchedFaces": []}
            stub.add_response("compare_faces", found, pair)
        said = ask_rekognition(record.store, claim_of(open_verified(record)), 2, 5, client, 0.012)
        stub.assert_no_pending_responses()
    assert (said["calls"], said["cost_usd"]) == (12, 0.012)
    first, *controls = said["rates"]
    assert (first["subject"], first["face"]["share"], first["match"]["share"]) == (MASK, 1.0, 1.0)
    assert {(c["face"]["share"], c["match"]["share"]) for c in controls} == {(0.0, 0.0)}
    (key,) = record.store.list("verify/aws/")
    assert b"2016-06-27" in record.store.get(key)
    assert len(said["raw"]) == 12


def test_of_a_photo_its_pixels_alone_are_sent(tmp_path):
    told = Image.Exif()
    told[274], told[0x8825] = 6, {1: "N", 2: (46.0, 30.0, 0.0)}  # turned, and taken somewhere
    Image.new("RGB", (2000, 1000)).save(tmp_path / "me.jpg", exif=told)
    sent = _reference(parse_spec(PERSON, "test"), [tmp_path / "me.jpg"])
    with Image.open(io.BytesIO(sent)) as opened:
        assert (opened.format, opened.size, dict(opened.getexif())) == ("JPEG", (800, 1600), {})
    (tmp_path / "me.heic").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(BadInput, match=r"me\.heic: HEIC"):
        _reference(parse_spec(PERSON, "test"), [tmp_path / "me.heic"])


def printed(show, *arguments):
    out = io.StringIO()
    show(Console(file=out, width=140), *arguments)
    return out.getvalue()


def test_a_verification_says_the_gap_first():
    rate = {"hits": 9, "trials": 10, "share": 0.9, "low": 0.6, "high": 0.98}
    head = {"subject": MASK, "kind": "elite", "machine": "dlib-hog", "side": "fitted"}
    told = {"size": 3, "rate": rate}
    further = {"fpir": 0.5, "size": 52_000_000, "formula": "1 - (1 - FAR)^n"}
    search = {"far": 0.01, "strangers": [told], "masks": [told], "extrapolated": further}
    found = {
        "views": 10,
        "question": "itself",
        "gap": {
            "detect": {"fitted": 0.9, "critic": 0.6, "gap": 0.3},
            "match": {"fitted": 0.5, "critic": None, "gap": None},
        },
        "warnings": ["dlib-resnet: not calibrated"],
        "rows": [
            {**head, "what": "detect", "rate": rate},
            {
                **head,
                "machine": "dlib-resnet",
                "what": "match",
                "median": 0.41,
                "matches": [{"name": "FAR 0.01", "far": 0.01, "threshold": 0.43, "rate": rate}],
            },
            {**head, "machine": "facenet", "side": "critic", "what": "not run"},
        ],
        "calibration": {"dlib-resnet": {"pairs": ""}},
        "identification": {"enrolled": 3, "rates": [search], "left_out": ["photo 2: HEIC is not read"]},
        "photographs": [
            {"mask": MASK, "photographs": 3, "left_out": ["a.jpg: bad"], "detected": {"audit": rate}}
        ],
        "note": "simulated match rates",
    }
    text = printed(show_verification, found, [Path("people/a.jpg"), Path("people/b.heic")])
    assert "left out: people/b.heic: HEIC is not read" in text
    assert text.splitlines()[0].startswith("Fitted models see a face in 90%")
    assert "+30 points" in text.splitlines()[0]
    assert "no critic was asked" in gap_lines(found)[1]
    for word in (MASK, "90% (60-98)", "FAR 0.01", "0.430", "photographs of", "a.jpg", "simulated", "not run"):
        assert word in text
    assert wilson_rate(9, 10).share == 0.9


def test_where_no_view_has_a_face_there_is_no_rate():
    nothing = {"hits": 0, "trials": 10, "share": 0.0, "low": 0.0, "high": 0.28}
    head = {"subject": MASK, "kind": "elite", "side": "critic", "compared": 0}
    cut = {"name": "FAR 0.01", "far": 0.01, "threshold": 0.43, "rate": nothing}
    search = {"far": 0.01, "strangers": [{"size": 3, "rate": nothing}], "masks": []}
    found = {
        "views": 10,
        "question": "itself",
        "gap": {},
        "warnings": [],
        "rows": [
            {**head, "machine": "otsdf", "what": "correlate", "rate": nothing},
            {**head, "machine": "lbp", "what": "match", "median": None, "matches": [cut]},
        ],
        "calibration": {"lbp": {"pairs": "renders"}},
        "impostors": "random heads of makehuman-mask-1",
        "identification": {
            "enrolled": 3,
            "rates": [{**search, "extrapolated": {"fpir": 0.5, "size": 9, "formula": "f"}}],
        },
        "photographs": None,
        "note": "simulated match rates",
    }
    text = printed(show_verification, found)
    assert text.count("no face") == 3
    assert text.count("0% (0-28)") == 1  # of strangers, who were searched for
    assert "Impostors, and the people searched among, are random heads of makehuman-mask-1." in text
    assert verification_plot(found) != verification_plot(
        {**found, "rows": [{**r, "compared": 9} for r in found["rows"]]}
    )


def test_a_calibration_shows_what_it_refuses():
    found = shipped("dlib-resnet")
    text = printed(show_calibration, found)
    assert "0.6 (published)" in text
    for pairs in found.sets:
        for refused_rate in pairs.refused:
            assert f"FAR {refused_rate.far:g} is not stated" in text
