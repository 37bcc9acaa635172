"""The comparison of searches on a tiny budget: what is charged, what is kept, what the summary says."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.search import __main__ as command
from bench.search.cell import run_cell
from bench.search.contenders import CONTENDERS, Contender, contender
from bench.search.problem import BudgetSpent, Problem, Seen
from bench.search.summary import FIRST_MARK, LAST_MARK, on_grid, page, rows_of, summarize, verdict
from coordinator.spec.spec_file import load_spec

ROOT = Path(__file__).parents[2]


def cell(contender: str, variant: str, after: int | None, **more: Any) -> dict[str, Any]:
    """A cell as the command writes it."""
    curve = [
        {"views": 300, "fitness": 0.1, "accepted": 0.2, "hog": 0.5, "mmod": 0.2, "distance": None},
        {"views": 600, "fitness": 0.4, "accepted": 0.9, "hog": 0.9, "mmod": 0.9, "distance": None},
    ]
    made = {
        "format": 1, "contender": contender, "settings": "as in its manual", "task": "archetype",
        "variant": variant, "budget": 1000, "scored_views": 990, "held_out_views": 40, "share": 0.9,
        "curve": curve, "best_seen": [[48, 0.0]], "accepted_after": after,
        "final": {"accepted": 0.9, "hog": 0.9, "mmod": 0.9, "distance": None},
        "genome": [0.0], "seconds": 3.0, "scoring_s": 2.0, "peak_mb": 500.0,
    }  # fmt: skip
    return made | more


class Hill(Problem):
    """A problem whose fitness is a formula, so that every contender can run it in a moment."""

    def __init__(self, budget: int) -> None:
        vars(self).update(
            budget=budget, seed=1, dimension=12, limit=3.0, sigma=0.5, spread=1.2, from_noise=True,
            population=16, spent=0, scoring_s=0.0, best_seen=[], curve=[], incumbent=None, _calls=0,
            _unranked=[], _since_ranking=0, favorite=None, _held_out_views=2,
            opened=SimpleNamespace(spec=load_spec(ROOT / "examples" / "archetype.toml")),
        )  # fmt: skip

    def _fitness(self, genomes: Any, seed: int, views: int) -> Any:
        if self.spent + len(genomes) * views > self.budget:
            raise BudgetSpent
        self.spent += len(genomes) * views
        return -((genomes.astype(np.float64) - 0.5) ** 2).sum(axis=1)

    def held_out(self, genome: Any, count: int) -> Seen:
        return Seen(0.0, 0.0, 0.0, None)


@pytest.mark.parametrize("name", [name for name in CONTENDERS if not name.startswith("datamask")])
@pytest.mark.filterwarnings("ignore")
def test_every_contender_climbs_and_spends_its_budget(name: str) -> None:
    contender = CONTENDERS[name]
    if contender.missing is not None:
        pytest.skip(contender.missing)
    problem = Hill(12_000)
    with pytest.raises(BudgetSpent):
        contender.run(problem)
    assert 12_000 - 5 * 18 * 3 - 20 < problem.spent <= 12_000
    start = -((problem.start_population(problem.rng(), 200) - 0.5) ** 2).sum(axis=1)
    assert problem.incumbent is not None
    # Chance reaches the first, and so does who looks for variety; who only climbs goes well beyond it.
    wide = name in ("random", "ribs-cma-me")
    assert problem.incumbent[0] > (start.max() * 2 if wide else start.max() / 2)
    assert len(problem.curve) >= 10
    assert [p.fitness for p in problem.curve] == sorted(p.fitness for p in problem.curve)


@pytest.mark.slow  # loads the networks and scores 350 views
def test_two_contenders_spend_the_budget_and_are_ranked_alike() -> None:
    for name, budget in (("random", 265), ("datamask", 100)):
        done = run_cell(name, "archetype", "1", budget, 2)
        assert budget - 48 < done["scored_views"] <= budget
        assert done["seconds"] >= done["scoring_s"] > 0
        fitness = [f for _, f in done["best_seen"]]
        assert fitness == sorted(fitness)
        assert all(math.isfinite(f) for f in fitness)
        if name == "random":
            # 240 views, then two masks under ten ranking views each.
            assert [p["views"] for p in done["curve"]] == [260]
            assert len(done["genome"]) == 138
            assert 0 <= done["final"]["accepted"] <= 1


def test_a_rerun_skips_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run(job: command.Job, folder: Path) -> None:
        asked.append(job.contender)
        job.path(folder).write_text(json.dumps(cell(job.contender, job.variant, 600)))

    monkeypatch.setattr(command, "run_job", run)
    words = ["--tasks", "archetype", "--contenders", "random", "datamask", "--variants", "1"]
    words += ["--budget", "1000", "--cells", str(tmp_path / "cells"), "--out", str(tmp_path / "search.json")]
    words += ["--images", str(tmp_path)]
    assert command.main(words) == 0
    assert command.main(words) == 0
    assert asked == ["random", "datamask"]
    (tmp_path / "cells" / "archetype-1-random-1000-40.json").unlink()
    assert command.main(words) == 0
    assert asked == ["random", "datamask", "random"]
    assert len(json.loads((tmp_path / "search.json").read_text())["rows"]) == 2
    assert (tmp_path / "search-archetype.png").stat().st_size > 10_000


def test_a_contender_that_is_not_installed_is_left_out_with_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = Contender("pycma", "", lambda problem: None, "no_such_package_anywhere")
    monkeypatch.setitem(CONTENDERS, "pycma", gone)
    assert command.main(["--contenders", "pycma", "--cells", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "left out: pycma" in said
    assert "make contenders" in said


def test_a_cell_that_fails_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    job = command.Job("random", "archetype", "1", 100, 2)
    with pytest.raises(RuntimeError, match="while watching"):
        command.run_job(job, tmp_path)
    assert not list(tmp_path.iterdir())


def test_medians_count_what_was_never_accepted_as_infinite() -> None:
    cells = [cell("random", v, a) for v, a in (("1", 600), ("2", None), ("3", None))]
    cells += [cell("datamask", v, a) for v, a in (("1", 300), ("2", 500), ("3", None))]
    cells += [cell("pycma", v, a) for v, a in (("1", 900), ("2", 1000), ("3", 950))]
    rows = {row["contender"]: row for row in rows_of(cells)}
    assert rows["random"]["median_views"] is None
    assert rows["random"]["accepted"] == 1
    assert rows["datamask"]["median_views"] == 500
    said = verdict(list(rows.values()), "archetype")
    assert "pycma: 950 views; ratio 0.53; on the worst start not accepted (3 starts)" in said
    cells += [cell("datamask-1", v, a) for v, a in (("1", 300), ("2", 1500))]
    said = verdict(rows_of(cells), "archetype", "datamask-1")
    assert "datamask-1: 900 views; best other, pycma: 950 views; ratio 0.95; on the worst start 1.50" in said
    assert "| random | 1 of 3 | - | 90% | 0.40 | 3 | 1.0 | 500 |" in page(list(rows.values()))


def test_cells_of_unlike_budgets_are_not_one_row() -> None:
    longer = {**cell("random", "2", 600), "budget": 9_000}
    with pytest.raises(SystemExit, match=r"archetype, random: cells of .* and 9,000 scored, .*--cells"):
        rows_of([cell("random", "1", 600), longer])
    other = {**longer, "contender": "pycma"}
    assert len(rows_of([cell("random", "1", 600), other])) == 2


def test_any_seed_is_a_variant_and_an_unknown_one_is_named(tmp_path: Path) -> None:
    words = ["--tasks", "archetype", "identity", "--contenders", "random", "--cells", str(tmp_path)]
    options = command._arguments([*words, "--variants", "77", "group-1"])
    assert [(job.task, job.variant) for job in command.jobs_of(options)] == [
        ("archetype", "77"),
        ("identity", "group-1"),
    ]
    options = command._arguments([*words, "--variants", "group-9"])
    with pytest.raises(
        SystemExit, match=r"--variants group-9: expected one of archetype: 1, 2, .* astronaut"
    ):
        command.jobs_of(options)


def test_a_variant_changes_datamask_s_values_and_no_one_else_s() -> None:
    assert "search.sigma=0.8" in contender("datamask-1+search.sigma=0.8+views.count=1").settings
    for name in ("pycma+search.sigma=0.8", "nobody", "datamask-1+search.sigma=", "datamask-1+sigma 3"):
        with pytest.raises(SystemExit, match="expected"):
            contender(name)


def test_curves_hold_their_last_value_and_begin_unknown() -> None:
    curves = on_grid([cell("random", "1", None)], "fitness", np.array([0.0, 299.0, 300.0, 599.0, 5000.0]))
    assert np.isnan(curves[0, :2]).all()
    assert curves[0, 2:].tolist() == [0.1, 0.1, 0.4]


def test_the_page_is_written_between_its_marks(tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "a.json").write_text(json.dumps(cell("random", "1", 600)))
    document = tmp_path / "search.md"
    document.write_text((ROOT / "docs" / "search.md").read_text())
    summarize(tmp_path / "cells", tmp_path / "search.json", tmp_path, document)
    text = document.read_text()
    assert text.startswith("# Search")
    assert "| random | 1 of 1 | 600 |" in text[text.index(FIRST_MARK) : text.index(LAST_MARK)]


def test_what_was_found_of_other_tasks_stays(tmp_path: Path) -> None:
    document = tmp_path / "search.md"
    document.write_text((ROOT / "docs" / "search.md").read_text())
    for folder, made in (("old", cell("pycma", "1", 300)), ("new", cell("random", "11", None, task="noise"))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.json").write_text(json.dumps(made))
        rows = summarize(tmp_path / folder, tmp_path / "search.json", tmp_path, document)
    assert [(row["task"], row["contender"]) for row in rows] == [("archetype", "pycma"), ("noise", "random")]
    assert "| pycma | 1 of 1 | 300 |" in document.read_text()
    assert "| random | 0 of 1 | - |" in document.read_text()
    again = summarize(tmp_path / "old", tmp_path / "search.json", tmp_path, document)
    assert again == rows


def test_every_contender_has_its_exact_version_and_its_settings() -> None:
    pinned = re.findall(r"^([a-z-]+)==[\d.]+$", (ROOT / "infra" / "contenders.txt").read_text(), re.M)
    locked = re.findall(r"^([a-z-]+)==[\d.]+", (ROOT / "requirements.lock").read_text(), re.M)
    assert {c.package for c in CONTENDERS.values() if c.package} <= {*pinned, *locked}
    assert not {"torch", "numpy", "opencv-python"} & set(pinned)
    assert all(len(c.settings) > 20 for c in CONTENDERS.values())
