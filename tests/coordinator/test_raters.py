"""Many raters' answers: read with care, counted, no claim before there are enough. All raters are made up."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from typer.testing import CliRunner

import coordinator.cli
from coordinator.record.raters import LEAST_RATERS, counted, gathered, read_answers
from services.errors import BadInput
from services.exhibition.raters_form import raters_form, raters_pages, raters_sheets
from services.recognition.statistics.people import Counts, sensitivity

TEST = "ab12cd34ef56"
KINDS = ("elite", "twin", "noise", "head")
PICTURES = [
    {"picture": 4 * (3 * k + m) + p + 1, "kind": kind, "subject": f"{kind}s", "mask": f"{kind} {m}"}
    for k, kind in enumerate(KINDS)
    for m in range(3)
    for p in range(4)
]
MANY = [
    p | {"picture": p["picture"] + 48 * n, "mask": f"{p['mask']} {n}"} for n in range(4) for p in PICTURES
]
KEY = {"format": 1, "test": TEST, "pictures": PICTURES}


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "key.json"
    path.write_text(json.dumps(KEY))
    return path


def rater(folder, name, rng, says, eyes="H8 M8", until=None, pictures=PICTURES):
    """A made-up rater, who says face with a probability by kind."""
    lines = ["test,picture,face,person,notes,eyes,rater"]
    for p in pictures[:until]:
        face = rng.random() < says[p["kind"]]
        lines.append(f"{TEST},{p['picture']},{'yes' if face else 'no'},,,{eyes if face else ''},{name}")
    path = folder / f"{name}.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


SEEING = {"elite": 0.8, "twin": 0.2, "noise": 0.1, "head": 0.95}


def test_of_nineteen_raters_nothing_is_claimed_and_of_twenty_it_is(tmp_path, key):
    rng = np.random.default_rng(1)
    paths = [rater(tmp_path, f"r{k}", rng, SEEING) for k in range(LEAST_RATERS)]
    few = counted(*gathered(paths[:-1], str(key))[:2])
    assert len(few["says"]) == 1
    assert "19 raters have answered. Nothing is claimed" in few["says"][0]
    many = counted(*gathered(paths, str(key))[:2])
    assert "more often than in their twins with scrambled signs: d' +" in many["says"][0]
    assert "20 raters, of these 3 and 3 masks alone." in many["says"][0]
    assert many["says"][-1].startswith("Nothing is claimed of other masks like these before 10 of a kind")
    rates = many["kinds"]
    assert rates["elite"]["face"]["value"] == pytest.approx(0.8, abs=0.06)
    assert rates["twin"]["face"]["low"] < 0.2 < rates["twin"]["face"]["high"]
    assert rates["elite"] | {"face": None} == {"pictures": 12, "masks": 3, "answers": 240, "face": None}
    assert "Hautus 1995" in many["note"]
    assert "Zhou and Firestone 2019" in many["note"]
    assert many["eyes"]["elite"]["same"]["value"] == 0.0


def test_of_twelve_masks_of_a_kind_something_is_claimed_of_others_like_them(tmp_path):
    (tmp_path / "key.json").write_text(json.dumps({"format": 1, "test": TEST, "pictures": MANY}))
    rng = np.random.default_rng(4)
    paths = [rater(tmp_path, f"r{k}", rng, SEEING, pictures=MANY) for k in range(LEAST_RATERS)]
    told = counted(*gathered(paths, str(tmp_path / "key.json"))[:2])
    assert told["says"][0].endswith("20 raters.")
    assert not any("Nothing is claimed" in line for line in told["says"])


def test_an_interval_over_few_masks_is_said_of_these_alone():
    """Masks that differ, and no difference between the kinds: two against four look surer than they are."""
    sure = 0
    for k in range(60):
        rng = np.random.default_rng(k)
        kinds = []
        for count in (2, 4):
            seen = 1 / (1 + np.exp(-rng.normal(0, 1.5, count)))
            kinds.append(Counts(rng.binomial(4, seen, (20, count)).astype(float), np.full((20, count), 4.0)))
        found = sensitivity(*kinds)
        sure += found.d_prime.low > 0 or found.d_prime.high < 0
        assert found.of_these.high - found.of_these.low <= found.d_prime.high - found.d_prime.low
    assert sure > 3  # a twentieth of them is what 95% would allow


def test_raters_who_tell_nothing_apart_make_no_claim(tmp_path, key):
    rng = np.random.default_rng(2)
    paths = [rater(tmp_path, f"r{k}", rng, dict.fromkeys(KINDS, 0.5)) for k in range(24)]
    says = counted(*gathered(paths, str(key))[:2])["says"]
    assert says[0].startswith("Whether people tell masks that machines accept from their twins")


def test_each_bad_file_is_one_line_and_the_others_count(tmp_path, key):
    rng = np.random.default_rng(3)
    good = [rater(tmp_path, f"r{k}", rng, SEEING) for k in range(2)]
    first = good[0].read_text()
    bad = {
        "missing.csv": None,
        "other.csv": first.replace(TEST, "0" * 12).replace(",r0", ",o"),
        "strange.csv": first.replace(f"{TEST},1,", f"{TEST},99,").replace(",r0", ",s"),
        "twice.csv": first,
        "again.csv": first.replace(f"{TEST},1,", f"{TEST},2,").replace(",r0", ",a"),
        "perhaps.csv": first.replace(",no,", ",perhaps,").replace(",r0", ",p"),
        "eyes.csv": first.replace("H8 M8", "Z99").replace(",r0", ",e"),
        "three.csv": first.replace("H8 M8", "H8 M8 K9").replace(",r0", ",t"),
        "two.csv": first.replace(",r0\n", ",b\n", 1).replace(",r0", ",c"),
        "photo.csv": b"\x89PNG\r\n\x1a\n\x00\x00",
        "empty.csv": "",
        "cut.json": '{"test": "ab12cd34ef56", "answers": [',
        "list.json": '{"test": 5, "answers": 7}',
    }
    for name, content in bad.items():
        if content is not None:
            (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    few = rater(tmp_path, "few", rng, SEEING, until=20)
    paths = [*good, *(tmp_path / name for name in bad), few]
    _, told, left_out = gathered(paths, str(key))
    assert [t.rater for t in told] == ["r0", "r1"]
    assert len(left_out) == len(bad) + 1
    assert all("\n" not in line for line in left_out)
    for name, line in zip([*bad, "few.csv"], left_out, strict=True):
        assert line.startswith(str(tmp_path / name)), line
    words = dict(zip([*bad, "few"], left_out, strict=True))
    assert "answers test 000000000000" in words["other.csv"]
    assert "picture 99 is not in test" in words["strange.csv"]
    assert "'r0' has answered" in words["twice.csv"]
    assert "answered twice" in words["again.csv"]
    assert "yes or no" in words["perhaps.csv"]
    assert "cells of the grid" in words["eyes.csv"]
    assert "two places at most" in words["three.csv"]
    assert "several raters" in words["two.csv"]
    assert "20 of 48" in words["few"]


def test_without_a_usable_file_or_key_there_is_one_line(tmp_path, key):
    rng = np.random.default_rng(4)
    one = rater(tmp_path, "r", rng, SEEING)
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**KEY, "test": "f" * 12}))
    for where, says in (
        (tmp_path / "nothing", "no such key"),
        (one, "not the key of a test"),
        (other, "is of test ffff"),
    ):
        done = CliRunner().invoke(coordinator.cli.app, ["raters", str(one), "--key", str(where)])
        assert isinstance(done.exception, BadInput), where
        assert says in str(done.exception)
        assert "\n" not in str(done.exception)


def test_the_command_prints_what_was_counted(tmp_path, key):
    rng = np.random.default_rng(5)
    paths = [rater(tmp_path, f"r{k}", rng, SEEING) for k in range(3)]
    said = CliRunner().invoke(coordinator.cli.app, ["raters", *map(str, paths), "--key", str(key)])
    assert said.exit_code == 0, said.output
    assert "Nothing is claimed of people before 20 have" in said.output
    as_json = CliRunner().invoke(
        coordinator.cli.app, ["raters", *map(str, paths), "--key", str(key), "--json"]
    )
    assert json.loads(as_json.stdout)["raters"] == 3


def test_eyes_are_cells_or_hundredths(tmp_path):
    rng = np.random.default_rng(6)
    says = dict.fromkeys(KINDS, 1.0)
    cells = read_answers(rater(tmp_path, "cells", rng, says, eyes="m8 H8"))
    assert cells.eyes[1] == ((0.375, 0.375), (0.625, 0.375))
    spots = read_answers(rater(tmp_path, "spots", rng, says, eyes="62.5/37.5 37.5/37.5"))
    assert spots.eyes == cells.eyes
    assert read_answers(rater(tmp_path, "one", rng, says, eyes="K7")).eyes[1] == ((0.525, 0.325),)
    assert read_answers(rater(tmp_path, "none", rng, says, eyes="")).eyes[1] == ()


def pictures(count, side=80):
    rng = np.random.default_rng(7)
    return [rng.integers(0, 255, (side, side, 3), dtype=np.uint8) for _ in range(count)]


def test_form_and_sheets_hold_all_pictures_and_say_nothing_of_them():
    form = raters_form(TEST, pictures(7)).decode()
    assert form.count("data:image/webp;base64,") == 7
    assert "http" not in form.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
    assert len(raters_pages(TEST, pictures(7))) == 2
    assert raters_sheets(TEST, pictures(7)).startswith(b"%PDF")


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_damaged_files_are_read_or_refused_in_one_line(tmp_path, kind):
    rng = np.random.default_rng(8)
    path = rater(tmp_path, "whole", rng, SEEING)
    if kind == "json":
        answers = [{"picture": p, "face": "yes", "eyes": "40.0/41.5", "shown": p} for p in range(1, 5)]
        path.write_text(json.dumps({"format": 1, "test": TEST, "rater": "r", "answers": answers}))
    whole, refused = path.read_bytes(), []
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(int(rng.integers(1, 6))):
            at = int(rng.integers(len(data)))
            data[at : at + int(rng.integers(0, 9))] = rng.bytes(int(rng.integers(0, 5)))
        path.write_bytes(data)
        try:
            read_answers(path)
        except BadInput as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert not [line for line in refused if "\n" in line or not line.startswith(str(path))]


def test_no_may_be_said_as_false_or_zero_in_json(tmp_path):
    path = tmp_path / "r.json"
    said = [True, False, 0, 1, "no", None]
    answers = [{"picture": number, "face": face} for number, face in enumerate(said, 1)]
    path.write_text(json.dumps({"test": TEST, "rater": "r", "answers": answers}))
    assert read_answers(path).face == {1: True, 2: False, 3: False, 4: True, 5: False}


def test_a_pipe_or_a_folder_is_no_file_of_answers(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(BadInput, match="no file"):
            read_answers(path)
