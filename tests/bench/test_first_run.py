"""The first table of README, from the audit of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.first_run import EVIDENCE, README, SHORT, TITLES, read, table, write_tables

RATE = {"hits": 9, "trials": 20, "share": 0.45, "low": 0.258, "high": 0.658}
NONE = {"hits": 0, "trials": 20, "share": 0.0, "low": 0.0, "high": 0.161}


def run_with(folder: Path, controls: object) -> str:
    """A finished run's audit."""
    (folder / "run.toml").write_text("seed = 3\n")
    masks = [
        {"id": "i00-g0001-002", "hog_rate": 1.0, "critics": {"yunet": 0.45}, "judges": {"dlib-mmod": 0.5}}
    ]
    (folder / "audit.json").write_text(json.dumps({"views": 20, "masks": masks, "controls": controls}))
    return str(folder)


def test_a_run_is_read_and_its_machines_become_rows(tmp_path: Path) -> None:
    rates = {"elite": RATE, "noise": {**NONE, "more": {}}, "first": NONE, "neutral": NONE}
    rows = [{"machine": name, "what": "detect", "threshold": "", **rates} for name in TITLES]
    rows.append({"machine": "audit", "what": "match", "threshold": "0.6", "elite": RATE})
    found = read(run_with(tmp_path, {"elite": "i00-g0001-002", "rows": rows}))
    assert (found["seed"], found["views"], found["elite"]) == (3, 20, "i00-g0001-002")
    assert found["masks"]["i00-g0001-002"] == {"audit": 1.0, "dlib-mmod": 0.5, "yunet": 0.45}
    lines = table(found, SHORT).splitlines()
    assert len(lines) == 2 + len(SHORT)
    assert lines[3] == "| YuNet, threshold 0.9 (not bred for) | 45% (26 to 66) | 0% (0 to 16) | 0% | 0% |"
    pages = [tmp_path / page.name for page in (README, EVIDENCE)]
    for page in pages:
        page.write_text("before\n<!-- make evolve -->\nold\n<!-- end of make evolve -->\nafter\n")
    write_tables(found, *pages)
    assert "| CenterFace" in pages[1].read_text()
    assert "| CenterFace" not in pages[0].read_text()


def test_a_run_without_controls_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no controls"):
        read(run_with(tmp_path, None))
