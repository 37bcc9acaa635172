"""Several aims: who beats whom, what an island of NSGA-II spreads along, and what the record tells of it."""

from __future__ import annotations

import numpy as np
import pytest

from coordinator.cli.show import read_run
from coordinator.record.chronicle import Chronicle
from coordinator.search import pareto
from coordinator.search.optimizers import make_optimizer
from coordinator.spec.spec import parse_spec
from services.errors import BadInput
from tests.support.runs import grow


def test_ranks_peel_fronts_off():
    aims = np.array([[3, 0], [2, 2], [0, 3], [1, 1], [0, 0], [2, 2]], np.float64)
    assert pareto.ranks(aims).tolist() == [0, 0, 0, 1, 2, 0]
    assert pareto.front(aims) == [0, 1, 2]


def test_ranks_are_those_of_pymoo():
    sorting = pytest.importorskip(
        "pymoo.util.nds.non_dominated_sorting", reason="pymoo is not installed; get it with: make contenders"
    )
    rng = np.random.default_rng(4)
    for m in (2, 3):
        aims = rng.normal(size=(60, m)).round(1)
        theirs = np.empty(60, np.int64)
        for rank, rows in enumerate(sorting.NonDominatedSorting().do(-aims)):
            theirs[rows] = rank
        assert pareto.ranks(aims).tolist() == theirs.tolist()
        beaten = {k for k in range(60) if any((a >= aims[k]).all() and (a > aims[k]).any() for a in aims)}
        kept = pareto.front(aims)
        assert not beaten & set(kept)
        assert {tuple(aims[k]) for k in set(range(60)) - beaten} == {tuple(aims[k]) for k in kept}


def test_crowding_is_room_along_a_front():
    aims = np.array([[0.0, 10.0], [1.0, 9.0], [6.0, 4.0], [10.0, 0.0]])
    room = pareto.crowding(aims, np.zeros(4, np.int64))
    assert np.isinf(room[[0, 3]]).all()
    assert room[1] == pytest.approx(0.6 + 0.6)
    assert room[2] == pytest.approx(0.9 + 0.9)


def test_what_cannot_be_scored_is_on_no_front():
    aims = np.array([[-np.inf, -np.inf], [1.0, 2.0], [np.nan, 3.0]])
    assert pareto.front(aims) == [1]
    assert pareto.front(aims[:1]) == []


def test_an_island_of_nsga2_spreads_along_the_front():
    # Near 1 and near -1 are both wanted: the front is the line of all equal genomes between them.
    optimizer = make_optimizer("nsga2", 4, "noise", 40, np.random.SeedSequence(2), aims=2)

    def aims(genomes):
        return np.stack([-((genomes - c) ** 2).sum(axis=1) for c in (1.0, -1.0)], axis=1)

    for _ in range(60):
        genomes = optimizer.ask()
        told = aims(genomes)
        optimizer.tell(genomes, told.sum(axis=1), told)
    last = aims(optimizer.ask()[:20])
    ideal = np.linspace(-1, 1, 201)[:, None] * np.ones(4)
    gaps = np.linalg.norm(aims(ideal)[:, None] - last[None], axis=2).min(axis=1)
    assert np.median(gaps) < 1.0
    assert (last.max(axis=0) > -1.5).all()


def test_aims_of_another_shape_are_refused():
    optimizer = make_optimizer("nsga2", 4, "noise", 8, np.random.SeedSequence(0), aims=2)
    genomes = optimizer.ask()
    with pytest.raises(ValueError, match="aims: expected shape"):
        optimizer.tell(genomes, np.zeros(8), np.zeros((8, 3)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"search": {"optimizers": ["nsga2"]}}, "needs aims to trade"),
        ({"pareto": {"aims": ["fitness", "abstracton"]}}, "did you mean 'abstraction'"),
        ({"pareto": {"aims": ["fitness", "fitness"]}}, "names one twice"),
        ({"pareto": {"aims": ["fitness"]}}, "aims"),
    ],
)
def test_a_spec_that_trades_nothing_is_refused(change, words):
    table = {"objective": [{"kind": "detect", "model": "dlib-hog"}], **change}
    with pytest.raises(BadInput, match=words):
        parse_spec(table, "spec")


def test_show_and_the_page_s_facts_tell_the_front(tmp_path):
    more = {"pareto": {"aims": ["dlib-hog", "abstraction"]}, "search": {"optimizers": ["nsga2"]}}
    run = grow(tmp_path, islands=2, generations=4, **more)
    shown = read_run(run.record)["front"]
    assert shown["aims"] == ["dlib-hog", "abstraction"]
    distances = [mask["aims"][1] for mask in shown["masks"]]
    assert distances
    assert distances == sorted(distances)
    values = [mask["aims"][0] for mask in shown["masks"]]
    assert values == sorted(values, reverse=True)  # who is farther off pays for it
    plan = Chronicle(run.record).plan()
    facts = plan.facts["front"]
    assert facts["count"] == len(shown["masks"])
    assert len(facts["cloud"]) == len(run.rows)
    assert {mask["id"] for mask in facts["masks"]} <= set(plan.genomes)
