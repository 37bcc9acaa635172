"""What drawing costs: every basis is there, and the head is one of the head."""

import json

import pytest

from bench.drawing import main
from services.shape.catalog import BASES, DEFAULT_BASIS


def test_every_basis_is_drawn_beside_the_head(tmp_path, capsys):
    assert main(["--rounds", "1", "--out", str(tmp_path / "drawing.json")]) == 0
    found = json.loads((tmp_path / "drawing.json").read_text())["bases"]
    assert set(found) == set(BASES)
    assert found[DEFAULT_BASIS]["ratio"]["median"] == 1.0
    assert all(row["ms_a_view"]["min"] > 0 for row in found.values())
    assert capsys.readouterr().out.count("| `") == len(BASES)


def test_no_rounds_is_a_line(capsys):
    with pytest.raises(SystemExit):
        main(["--rounds", "0"])
    assert "at least 1" in capsys.readouterr().err
