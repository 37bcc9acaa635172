"""Kinds of masks beside pyribs on a tiny budget: what is charged, who fills what, what counts as held."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from bench.quality_diversity import (
    CONTENDERS,
    HELD,
    SEEN,
    Settings,
    Shown,
    chart,
    joined,
    main,
    measured,
    summary,
    table,
)
from coordinator.search.grid import Grid
from services.errors import BadInput
from services.shape.catalog import DEFAULT_BASIS

ROOT = Path(__file__).parents[2]
SMALL = ["views.count=1", "views.size_px=96", "elites.ranking_views=1"]
BUDGET = 120
OF_KINDS = ("datamask", "map-elites", "cma-me", "random")  # the others are asked for sets of machines
OF_SETS = ("cma-mae", "islands-1", "islands-64")


def settings_of(example, *more):
    return Settings(str(ROOT / "examples" / example), (*SMALL, *more), BUDGET, 2)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    return [measured(settings_of("kinds.toml"), folder, f"{name}-5") for name in OF_KINDS]


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """What contenders fill of the sets of two machines, and what a third one says of it."""
    machines = 'archive.machines=["dlib-hog","dlib-mmod"]'
    settings = replace(settings_of("noise.toml", machines), critic="mtcnn")
    folder = tmp_path_factory.mktemp("sets")
    return [measured(settings, folder, f"{name}-5") for name in OF_SETS]


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


def test_a_set_of_machines_is_held_where_the_others_see_nothing(sets):
    # A blank's noise is a face to nobody: the empty set is filled, and kept where the shares are 0.
    nobody = next(mask for mask in sets[0]["masks"] if not mask["sees"])
    assert nobody["shares"] == [0.0, 0.0]
    assert nobody["held"]


def test_a_mask_is_held_by_what_every_machine_of_its_cell_and_every_other_says(sets):
    axes = sets[0]["axes"]
    seen = {"sees": ["dlib-mmod"], "quality": 0.1}
    rows = [{**seen, "shares": shares} for shares in ([0.05, 0.95], [0.0, 0.1], [0.5, 1.0])]
    found = summary([{**sets[0], "masks": rows}])["contenders"]["cma-mae"]
    assert found["held"] == [1]
    assert found["surest"] == [0.95]
    assert axes == ["sees dlib-hog", "sees dlib-mmod"]


def test_a_critic_is_asked_about_masks_that_are_a_face_to_somebody(sets):
    for cell in sets:
        faces = [mask["critic"] for mask in cell["masks"] if mask["sees"]]
        assert cell["transferred"] == sum(share >= SEEN for share in faces)
        assert cell["curve"][0]["transferred"] == 0  # of noise
    changes = [f'mask.basis="{DEFAULT_BASIS}"', "search.symmetric=[false]", "views.count=1"]
    changes.append('archive.machines=["dlib-hog","dlib-mmod"]')
    head = Settings(str(ROOT / "examples" / "noise.toml"), tuple(changes), BUDGET, 2)
    shown = Shown(head.spec(5), BUDGET, "mtcnn", 2)
    shown.evaluate(np.zeros((1, shown.dimension)))  # the head itself, a face to all
    assert shown.transferred == 1


def test_every_contender_is_tried():
    assert set(CONTENDERS) == {*OF_KINDS, *OF_SETS}


def test_so_many_islands_as_its_name_says_share_the_budget(sets):
    one, many = (cell["masks"] for cell in sets[1:])
    assert one != many


def test_curves_lead_to_what_is_told(sets, kinds):
    agreed = [{**point, "transferred": 1} for point in sets[0]["curve"]]
    agreeing = [{**sets[0], "curve": agreed}, *sets[1:]]
    for cells, keys in (
        (agreeing, ("filled", "qd_score", "transferred")),
        (kinds, ("filled", "qd_score")),  # nobody was asked
    ):
        drawn = chart({**summary(cells), "critic": "mtcnn"})
        assert drawn.header == ("contender", "seed", "views", *keys)
        assert drawn.file("png").startswith(b"\x89PNG")
        for cell in cells:
            last = [row for row in drawn.rows if row[0] == cell["contender"]][-1]
            assert last[2] <= cell["views"]
            assert last[3] <= cell["filled"]


def test_the_table_has_a_line_for_each_contender_and_a_value_for_each_seed(kinds):
    again = [{**cell, "seed": 6} for cell in kinds]
    found = summary([*kinds, *again])
    lines = table(found).splitlines()
    assert len(lines) == 2 + len(OF_KINDS)
    assert [line.count("|") for line in lines] == [6] * len(lines)
    assert all("| 5, 6 |" in line for line in lines[2:])
    assert found["contenders"]["cma-me"]["filled"] == [kinds[2]["filled"]] * 2
    surest = max(min(mask["shares"]) for mask in kinds[0]["masks"])
    assert found["contenders"]["datamask"]["surest"] == [surest] * 2


def test_rows_of_others_stay_where_the_settings_are_the_same(sets):
    ours, theirs = (
        {**asdict(settings_of("noise.toml")), "spec": "noise", **summary(cells)}
        for cells in (sets[1:], sets[:1])
    )
    whole = joined(ours, {**theirs, "written": {"when": "before"}})
    assert list(whole["contenders"]) == ["islands-1", "islands-64", "cma-mae"]
    assert whole["contenders"]["cma-mae"]["written"] == {"when": "before"}
    assert joined(ours, {**theirs, "budget": 1}) == ours


def test_a_spec_without_an_archive_is_refused():
    with pytest.raises(BadInput, match="keeps no archive"):
        Shown(settings_of("noise.toml").spec(5), 10)


def test_other_settings_are_other_cells():
    assert settings_of("kinds.toml").digest() != settings_of("noise.toml").digest()


def test_the_command_goes_on_where_it_was(tmp_path, capsys):
    words = [str(ROOT / "examples" / "kinds.toml"), "--views", "80", "--held-out", "2", "--seeds", "5"]
    words += [word for change in SMALL for word in ("--set", change)]
    words += ["--contenders", "random", "--jobs", "2", "--store", str(tmp_path)]
    assert main(words) == 0
    first = capsys.readouterr().out
    assert main([*words, "--estimate"]) == 0
    assert capsys.readouterr().out.startswith("in all")  # nothing is missing
    assert main(words) == 0
    assert capsys.readouterr().out == first
    assert main([*words, "--held-out", "3"]) == 1  # cells of other settings are refused, in a line
