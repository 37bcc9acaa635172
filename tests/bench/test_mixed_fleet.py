"""A fleet of unlike workers that are killed: as people measure it, in small."""

import numpy as np
import pytest

from bench import mixed_fleet
from bench.mixed_fleet import ARMS, QUICK, WHOLE, findings, main, table


def test_no_seed_is_one_of_another_proof():
    from bench.left_out import WHOLE as LEFT_OUT
    from bench.noise_proof.settings import PROOF

    assert not set(WHOLE.seeds) & {*PROOF.seeds, *LEFT_OUT.seeds, *range(1, 16)}


def test_a_table_of_nothing_says_so(tmp_path):
    assert findings(WHOLE, tmp_path) is None
    assert "Nothing of this has been run" in table({"unlike": None, "mortal": None})


def test_errors_are_as_wide_as_a_device_may_differ():
    from types import SimpleNamespace

    from services.wire.plan import Scores

    models = ("dlib-hog", "dlib-mmod")
    batch = SimpleNamespace(plan=SimpleNamespace(quantities=[SimpleNamespace(model=m) for m in models]))
    n = 500
    zero = Scores(
        np.zeros((2, n, 3), np.float32), np.zeros(n), np.zeros(n, np.uint8), np.zeros(n), np.ones((n, 3))
    )
    off = mixed_fleet._otherwise(zero, batch, np.random.default_rng(3)).raw
    for row, model in zip(off, models, strict=True):
        assert row.std() == pytest.approx(mixed_fleet.TOLERANCE[model], rel=0.1)


@pytest.mark.slow
def test_unlike_workers_quickly(tmp_path, capsys):
    words = ["unlike", "--quick", "--jobs", "1", "--store", str(tmp_path)]
    assert main(words) == 0
    found = findings(QUICK, tmp_path)
    assert found is not None
    assert found["seeds"] == list(QUICK.seeds)
    assert [len(row.split("|")) for row in capsys.readouterr().out.splitlines() if row.startswith("| ")] == [
        5
    ] * (1 + len(ARMS))
    assert main([*words, "--tables"]) == 0  # what is done is never made anew


@pytest.mark.slow
def test_workers_that_are_killed_are_replaced_and_their_work_is_done(tmp_path):
    found = mixed_fleet.fleet(QUICK)
    assert found["run"]["batches"] >= 5 * found["islands"]
    assert found["killed"] >= 1
    assert 0 < found["share"] <= 1


def test_a_part_that_is_none_is_a_line(capsys):
    with pytest.raises(SystemExit):
        main(["immortal"])
    assert "expected unlike or mortal" in capsys.readouterr().err
