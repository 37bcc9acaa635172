"""Kinds of masks beside pyribs on a tiny budget: what is charged, who fills what, what counts as held."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.quality_diversity import CONTENDERS, HELD, Settings, Shown, main, measured, summary, table
from coordinator.search.grid import Grid
from services.errors import BadInput

ROOT = Path(__file__).parents[2]
SMALL = ["views.count=1", "views.size_px=96", "elites.ranking_views=1"]
BUDGET = 120


def settings_of(example, *more):
    return Settings(str(ROOT / "examples" / example), (*SMALL, *more), BUDGET, 2)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    return [measured(settings_of("kinds.toml"), folder, f"{name}-5") for name in CONTENDERS]


def test_nobody_spends_more_than_the_budget(kinds):
    assert all(BUDGET // 2 <= cell["views"] <= BUDGET for cell in kinds)


def test_each_mask_lies_in_its_cell_and_is_held_by_what_every_machine_says(kinds):
    grid = settings_of("kinds.toml").spec(5).cells()
    assert isinstance(grid, Grid)
    for cell in kinds:
        assert cell["filled"] == len(cell["masks"]) <= grid.count == cell["cells"]
        assert cell["held"] == sum(mask["held"] for mask in cell["masks"])
        for mask in cell["masks"]:
            place = grid.place(mask["cell"])
            for value, k, count, (low, high) in zip(
                mask["measures"], place, grid.cells, grid.ranges, strict=True
            ):
                width = (high - low) / count
                assert k == 0 or value >= low + k * width - 0.001
                assert k == count - 1 or value <= low + (k + 1) * width + 0.001
            assert mask["held"] == (min(mask["shares"]) >= HELD)


def test_a_set_of_machines_is_held_where_the_others_see_nothing(tmp_path):
    machines = 'archive.machines=["dlib-hog","dlib-mmod"]'
    settings = settings_of("noise.toml", machines, "search.islands=1")
    cell = measured(settings, tmp_path, "cma-mae-5")
    # A blank's noise is a face to nobody: the empty set is filled, and kept where the shares are 0.
    nobody = next(mask for mask in cell["masks"] if not mask["sees"])
    assert nobody["shares"] == [0.0, 0.0]
    assert nobody["held"]


def test_the_table_has_a_line_for_each_contender_and_a_value_for_each_seed(kinds):
    again = [{**cell, "seed": 6} for cell in kinds]
    found = summary([*kinds, *again])
    lines = table(found).splitlines()
    assert len(lines) == 2 + len(CONTENDERS)
    assert [line.count("|") for line in lines] == [6] * len(lines)
    assert all("| 5, 6 |" in line for line in lines[2:])
    assert found["contenders"]["cma-me"]["filled"] == [kinds[2]["filled"]] * 2
    surest = max(min(mask["shares"]) for mask in kinds[0]["masks"])
    assert found["contenders"]["datamask"]["surest"] == [surest] * 2


def test_a_spec_without_an_archive_is_refused():
    with pytest.raises(BadInput, match="keeps no archive"):
        Shown(settings_of("noise.toml").spec(5), 10)


def test_other_settings_are_other_cells():
    assert settings_of("kinds.toml").digest() != settings_of("noise.toml").digest()


def test_the_command_goes_on_where_it_was(tmp_path, capsys):
    words = [str(ROOT / "examples" / "kinds.toml"), "--views", "80", "--held-out", "2", "--seeds", "5"]
    words += [word for change in SMALL for word in ("--set", change)]
    words += ["--contenders", "random", "--jobs", "1", "--store", str(tmp_path)]
    assert main(words) == 0
    first = capsys.readouterr().out
    assert main([*words, "--estimate"]) == 0
    assert capsys.readouterr().out.startswith("in all")  # nothing is missing
    assert main(words) == 0
    assert capsys.readouterr().out == first
    assert main([*words, "--held-out", "3"]) == 1  # cells of other settings are refused, in a line
