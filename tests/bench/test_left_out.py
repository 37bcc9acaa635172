"""What masks bred for several detectors are to the one that was left out: a small one."""

import json

import numpy as np
import pytest

from bench import left_out
from bench.left_out import ALL, BRED, QUICK, WHOLE, findings, picture, table
from bench.noise_proof.settings import cost


@pytest.mark.parametrize("machine", ALL)
def test_whoever_is_left_out_has_no_say(machine):
    spec = WHOLE.spec(machine, 201)
    models = [objective.model for objective in spec.objective]
    assert models == [each for each in BRED if each != machine]
    assert machine not in spec.verify.critics
    assert cost(spec, spec.search.generations) <= WHOLE.scored_views
    assert cost(spec, spec.search.generations + 1) > WHOLE.scored_views


def test_no_seed_is_one_of_the_noise_proof():
    from bench.noise_proof.settings import PROOF

    assert not set(WHOLE.seeds) & {*PROOF.seeds, *range(1, 16)}


def test_other_settings_are_other_cells():
    assert WHOLE.digest() != QUICK.digest()


def test_a_table_of_nothing_says_so(tmp_path):
    assert "Nothing of this has been run" in table(findings(WHOLE, tmp_path))


@pytest.mark.slow
def test_the_whole_of_it_quickly(tmp_path, capsys):
    words = ["--quick", "--store", str(tmp_path), "--jobs", "1"]
    assert left_out.main(words) == 0
    said = capsys.readouterr().out
    rows = [line for line in said.splitlines() if line.startswith("| ")][1:]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == list(ALL)
    assert {row.count(" | ") for row in rows} == {7}  # eight columns, as the head has
    found = findings(QUICK, tmp_path)
    assert found["complete"]
    assert all(len(row["by_seed"]) == 1 for row in found["rows"])
    again = json.loads(json.dumps(found))  # as its file has it
    assert np.array_equal(picture(QUICK, again, 600), picture(QUICK, found, 600))
    # What is done is never made anew, and cells of other settings are refused.
    assert left_out.main([*words, "--tables"]) == 0
    assert capsys.readouterr().out == said
    cell = tmp_path / "look" / "plain.json"
    cell.write_text(json.dumps({**json.loads(cell.read_text()), "settings": "others"}))
    assert left_out.main([*words, "--tables"]) == 1
    assert "other settings" in capsys.readouterr().err
