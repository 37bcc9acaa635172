"""The tables of verified masks in docs/evidence.md."""

from __future__ import annotations

import pytest

from bench.verification import FIRST_MARK, LAST_MARK, every_critic, page, write_page

RATE = {"hits": 9, "trials": 10, "share": 0.9, "low": 0.6, "high": 0.98}
ROW = {"subject": "i00-g0001-002", "kind": "elite", "machine": "dlib-hog", "side": "fitted"}
SAID = {
    "views": 10,
    "question": "target",
    "gap": {
        "detect": {"fitted": 0.9, "critic": 0.5, "gap": 0.4},
        "match": dict.fromkeys(("fitted", "critic", "gap")),
    },
    "warnings": [],
    "rows": [
        {**ROW, "what": "detect", "rate": RATE},
        {**ROW, "what": "detect", "machine": "viola-jones", "side": "critic", "rate": {**RATE, "share": 0.5}},
        {
            **ROW,
            "machine": "dlib-resnet",
            "what": "match",
            "matches": [{"name": "FAR 0.01", "far": 0.01, "threshold": 0.43, "rate": RATE}],
        },
    ],
}


def test_the_gap_stands_above_the_tables():
    text = page({"Verified: portrait": SAID})
    assert text.index("a gap of +40 points") < text.index("| i00-g0001-002 |")
    assert "| | dlib-hog, fitted | viola-jones, critic |" in text
    assert "| i00-g0001-002 | 90% (60% to 98%) | 50% (60% to 98%) |" in text
    assert "dlib-resnet, fitted: FAR 0.01 (0.430)" in text


def test_only_what_is_between_the_marks_is_written(tmp_path):
    written = tmp_path / "evidence.md"
    written.write_text(f"before\n{FIRST_MARK}\nold\n{LAST_MARK}\nafter\n")
    write_page(written, "new\n")
    assert written.read_text() == f"before\n{FIRST_MARK}\n\nnew\n\n{LAST_MARK}\nafter\n"
    written.write_text("no marks")
    with pytest.raises(SystemExit, match="marks"):
        write_page(written, "new\n")


def test_objectives_are_no_critics():
    everyone = every_critic([])
    assert {"dlib-hog", "dlib-mmod", "viola-jones"} <= set(everyone)
    assert "dlib-hog" not in every_critic(["dlib-hog"])
