"""A gallery of machines: what is bred for whom, and what its record says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coordinator.gallery import begin, each_alone, finish, read_gallery, run_name
from coordinator.spec.spec import parse_spec
from coordinator.spec.spec_file import load_spec
from services.errors import BadInput, CorruptData
from services.storage.open import open_store

EXAMPLE = Path(__file__).parents[2] / "examples" / "gallery.toml"
HOG, YUNET = ({"kind": "detect", "model": name} for name in ("dlib-hog", "yunet"))


def test_each_machine_has_the_same_run_for_itself_and_the_others_as_critics() -> None:
    whole = load_spec(EXAMPLE)
    alone = each_alone(whole, "here")
    assert list(alone) == ["dlib-hog", "dlib-mmod", "yunet", "centerface", "blazeface-full"]
    for name, spec in alone.items():
        assert [o.model for o in spec.objective] == [name]
        assert spec.verify.critics == [*(n for n in alone if n != name), "viola-jones"]
        same = {key: value for key, value in spec.table().items() if key not in ("objective", "verify")}
        assert same == {k: v for k, v in whole.table().items() if k not in ("objective", "verify")}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"objective": [HOG]}, "two detectors or more.*has dlib-hog"),
        ({"objective": [HOG, YUNET, HOG]}, "each once"),
        ({"objective": [HOG, {"kind": "refuse", "model": "yunet"}]}, "one is of kind 'refuse'"),
        ({"objective": [HOG, YUNET], "archive": True}, r"take \[archive\] out"),
        ({"objective": [HOG, YUNET], "pareto": {}}, r"take \[pareto\] out"),
    ],
)
def test_what_is_no_gallery_is_refused_in_one_line(table: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=f"here: .*{words}") as refused:
        each_alone(parse_spec(table, "here"), "here")
    assert "\n" not in str(refused.value)


def test_its_record_says_which_run_is_whose_and_goes_on_as_it_was_begun(tmp_path: Path) -> None:
    spec = parse_spec({"objective": [HOG, YUNET], "seed": 4}, "here")
    place = open_store(tmp_path, write=True).sub("gallery-001")
    runs = {name: run_name("gallery-001", name) for name in ("dlib-hog", "onnx:faces/a.onnx")}
    assert list(runs.values()) == ["gallery-001-dlib-hog", "gallery-001-onnx-faces-a.onnx"]
    begin(place, spec, runs, resume=False)
    with pytest.raises(BadInput, match="add --resume to go on"):
        begin(place, spec, runs, resume=False)
    with pytest.raises(BadInput, match="begun for other machines"):
        begin(place, spec, {"yunet": "gallery-001-yunet"}, resume=True)
    begin(place, spec, runs, resume=True)
    told = finish(place, {"views": 20})
    assert told == read_gallery(place)
    assert (told["runs"], told["seed"], told["views"]) == (runs, 4, 20)
    place.put("gallery.json", b"{}")
    with pytest.raises(CorruptData, match=r"gallery\.json: damaged"):
        read_gallery(place)
