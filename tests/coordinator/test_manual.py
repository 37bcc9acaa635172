"""The cross-check by hand: blind pictures out, answers in."""

from __future__ import annotations

import csv
import datetime
import json

import pytest

from coordinator.record.manual import Picture, import_answers, write_test
from services.errors import BadInput
from services.storage import open_store

DAY = datetime.date(2026, 5, 31)
PICTURES = [
    Picture(f"mask-{k % 2}", "elite", b"\x89PNG mask" + bytes([k]), f"mask-{k % 2}") for k in range(4)
]
PICTURES += [Picture("noise", "noise", b"\x89PNG noise" + bytes([k]), "noise, 1") for k in range(2)]


@pytest.fixture
def made(tmp_path):
    run, folder = open_store(tmp_path / "run"), tmp_path / "test"
    test = write_test(run, folder, PICTURES, 7, DAY)
    return run, folder, test


def answer(folder, says):
    """Fill in answers.csv: says(picture) -> (face, person)."""
    path = folder / "answers.csv"
    rows = list(csv.DictReader(path.open()))
    for row in rows:
        row["face"], row["person"] = says(int(row["picture"]))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_the_folder_does_not_say_which_picture_is_which(made):
    run, folder, test = made
    names = sorted(path.name for path in folder.iterdir())
    assert names == [*(f"{k:03d}.png" for k in range(1, 7)), "README.txt", "answers.csv"]
    said = (folder / "README.txt").read_text() + (folder / "answers.csv").read_text()
    assert "mask-" not in said
    assert "noise" not in said
    assert test in said
    key = json.loads(run.get(f"verify/manual/{test}/key.json"))
    files = {p["picture"]: (folder / f"{p['picture']:03d}.png").read_bytes() for p in key["pictures"]}
    shown = [Picture(p["subject"], p["kind"], files[p["picture"]], p["mask"]) for p in key["pictures"]]
    assert sorted(shown) == sorted(PICTURES)
    assert shown != PICTURES  # the order is drawn


def test_answers_are_counted_by_class_and_kept_as_they_are(made):
    run, folder, test = made
    key = json.loads(run.get(f"verify/manual/{test}/key.json"))
    kinds = {p["picture"]: p["kind"] for p in key["pictures"]}

    def says(picture):
        return ("yes", "Ann" if picture == 1 else "") if kinds[picture] == "elite" else ("no", "")

    path = answer(folder, says)
    found = import_answers(run, path, "me", DAY, "phone, version 1", "0.1.0")
    rates = {(row["by"], row["of"]): row for row in found["rates"]}
    assert rates["kind", "elite"]["face"]["share"] == 1.0
    assert rates["kind", "noise"]["face"]["share"] == 0.0
    assert rates["kind", "elite"]["face"]["low"] < 0.6  # four pictures say little
    assert rates["subject", "mask-0"]["face"]["trials"] == 2
    (stored,) = [k for k in run.list(f"verify/manual/{test}/") if "answers-" in k]
    kept = json.loads(run.get(stored))
    assert kept == found
    assert kept["raw"] == path.read_text()
    assert (kept["tester"], kept["date"], kept["service"]) == ("me", "2026-05-31", "phone, version 1")


def test_pictures_without_an_answer_do_not_count(made):
    run, folder, _ = made
    path = answer(folder, lambda picture: ("yes", "") if picture <= 2 else ("", ""))
    assert import_answers(run, path, "me", DAY, "phone", "0")["answered"] == 2
    with pytest.raises(BadInput, match="no picture is answered"):
        import_answers(run, answer(folder, lambda picture: ("", "")), "me", DAY, "phone", "0")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace(",1,,", ",1,perhaps,"), "line 2.*yes or no"),
        (lambda text: text.replace(",1,,", ",one,yes,"), "line 2.*number"),
        (lambda text: text.replace(",1,,", ",2,yes,").replace(",2,,,", ",2,yes,,"), "twice"),
        (lambda text: text.replace(",1,,", ",99,yes,"), "picture 99"),
        (lambda text: text.replace("face", "fase"), "columns"),
        (lambda t: t.replace(",1,,", ",1,yes,").replace(t.splitlines()[1][:12], "0" * 12), "not of"),
    ],
)
def test_answers_to_something_else_are_refused_with_their_line(made, change, says):
    run, folder, _ = made
    path = folder / "answers.csv"
    path.write_text(change(path.read_text()))
    with pytest.raises(BadInput, match=says) as caught:
        import_answers(run, path, "me", DAY, "phone", "0")
    assert "\n" not in str(caught.value)


def test_a_test_is_never_written_over_another(made):
    run, folder, _ = made
    with pytest.raises(BadInput, match="not empty"):
        write_test(run, folder, PICTURES, 8, DAY)
    with pytest.raises(BadInput, match="tester"):
        import_answers(run, answer(folder, lambda p: ("yes", "")), " ", DAY, "phone", "0")
    with pytest.raises(BadInput, match=r"^--tester: expected one line of text in UTF-8$"):
        import_answers(run, answer(folder, lambda picture: ("face", "")), "M\udcfcller", DAY, "phone", "0")
