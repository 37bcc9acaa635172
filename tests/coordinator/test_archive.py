"""The run's archive and the dial."""

from __future__ import annotations

import numpy as np
import pytest

from coordinator.cli.show import read_run
from coordinator.record.chronicle import Chronicle
from coordinator.search import dial
from coordinator.search.archive import Archive, coverage, decoded, grid_of
from coordinator.search.grid import Grid
from coordinator.search.optimizers.map_elites import grid_archive
from coordinator.spec.diversity import ArchiveSpec, archive_as_usual
from coordinator.spec.spec import parse_spec
from services.errors import BadInput, CorruptData
from services.shape.catalog import basis_info, facts_of
from tests.support.runs import grow

BASIS = "makehuman-mask-1"
GENES = len(basis_info(BASIS).gene_names)
GRID = ArchiveSpec(**archive_as_usual({}, facts_of(BASIS).measures)).grid(BASIS)
OBJECTIVE = {"objective": [{"kind": "detect", "model": "dlib-hog"}]}


def masks(count, seed=0):
    rng = np.random.default_rng(seed)
    strength = rng.random((count, 1)) * 1.2
    genomes = (strength * rng.standard_normal((count, GENES))).astype(np.float32)
    values = rng.normal(0, 1, (count, 2)).astype(np.float32)
    ids = [f"i00-g{seed:04d}-{k:03d}" for k in range(count)]
    return ids, 0, seed, genomes, values.mean(axis=1), values, np.zeros(count, np.float32)


def test_cells_are_those_of_ribs():
    measures = np.random.default_rng(1).uniform(-0.2, 1.2, (500, 3)) * [24, 15, 0.6]
    measures[:4] = [[0, 0, 0], [24, 15, 0.6], [3.0, 2.5, 0.2], [21.0, 12.5, 0.4]]  # boundaries
    theirs = grid_archive(GRID.cells, GRID.ranges, GENES).index_of(measures)
    assert GRID.index(measures).tolist() == theirs.tolist()
    assert GRID.place(GRID.count - 1) == [7, 5, 2]


def test_each_cell_keeps_accepted_masks_first_and_then_the_fittest():
    archive = Archive(GRID)
    shown = [masks(60, seed) for seed in range(3)]
    for part in shown:
        archive.add(*part)
    ids = [name for part in shown for name in part[0]]
    genomes = np.concatenate([part[3] for part in shown])
    fitness = np.concatenate([part[4] for part in shown])
    accepted = (np.concatenate([part[5] for part in shown]) > 0).all(axis=1)
    cells = GRID.index(GRID.measure(genomes))
    assert [mask.cell for mask in archive.kept] == sorted(set(cells.tolist()))
    assert any(mask.accepted for mask in archive.kept)
    for mask in archive.kept:
        rivals = np.flatnonzero(cells == mask.cell)
        best = max(rivals, key=lambda k: (accepted[k], fitness[k], -k))
        assert mask.id == ids[best]
    only = Archive(GRID, "accepted")
    for part in shown:
        only.add(*part)
    assert [m.id for m in only.kept] == [m.id for m in archive.kept if m.accepted]


def test_it_comes_back_from_its_bytes_to_the_byte():
    archive, labels = Archive(GRID), ["dlib-hog", "dlib-mmod"]
    archive.add(*masks(80))
    data = archive.encoded(labels)
    again = Archive(GRID)
    again.restore(data, "here")
    assert again.encoded(labels) == data
    for other in (archive, again):
        other.add(*masks(80, 1))
    assert again.encoded(labels) == archive.encoded(labels) != data
    with pytest.raises(CorruptData, match="here"):
        decoded(data[:-40], GRID, "here")


def test_what_cannot_be_scored_stays_out():
    archive = Archive(GRID)
    ids, island, number, genomes, fitness, values, flipped = masks(3)
    genomes[0, 0], fitness[1:] = np.nan, -np.inf
    archive.add(ids, island, number, genomes, fitness, values, flipped)
    assert archive.kept == []
    assert coverage([], GRID) == {"cells": 144, "filled": 0, "accepted": 0, "qd_score": 0}


def test_its_table_of_a_spec():
    spec = parse_spec({**OBJECTIVE, "archive": {"measures": ["asymmetry"]}}, "spec")
    assert grid_of(spec.table()) == Grid(BASIS, ("asymmetry",), (6,), ((0.0, 15.0),))
    assert grid_of(parse_spec({**OBJECTIVE, "archive": False}, "spec").table()) is None
    assert grid_of(parse_spec(OBJECTIVE, "spec").table()) is None
    for table, message in (
        ({"measures": ["beauty"]}, "'abstraction', 'asymmetry' or 'expression'"),
        ({"measures": ["asymmetry", "asymmetry"]}, "names one twice"),
        ({"cells": [3]}, "one for each of 3 measures"),
        ({"measures": ["asymmetry"], "ranges": [[2, 1]]}, "low < high"),
        ({"cells": [100, 100, 100]}, "at most 10000"),
        ({"cell": [3]}, "did you mean 'cells'"),
    ):
        with pytest.raises(BadInput, match=message):
            parse_spec({**OBJECTIVE, "archive": table}, "spec")
    with pytest.raises(BadInput, match="needs an archive"):
        parse_spec({**OBJECTIVE, "search": {"optimizers": ["map-elites"]}}, "spec")


def test_the_dial_takes_most_at_the_head_and_nothing_beyond_its_mark():
    noise = np.random.default_rng(0).normal(0, 1.2, (1, GENES))
    ladder = np.concatenate([noise * strength for strength in (0.0, 0.05, 0.2, 0.4, 3.0)]).astype(np.float32)
    lost = dial.loss(0.8, BASIS, 1.2, 3.0, ladder)
    assert lost[0] == dial.FULL
    assert (np.diff(lost) <= 0).all()
    assert lost[1] > lost[3]
    assert lost[-1] == 0.0
    assert not dial.loss(0.0, BASIS, 1.2, 3.0, ladder).any()
    assert 15 < dial.noise_mm(BASIS, 1.2, 3.0) < 18


def test_show_and_the_page_s_facts_say_how_full_it_is(tmp_path):
    grown = grow(tmp_path / "run", population=8, archive={"on": True})
    full = coverage(grown.archive.kept, grown.archive.grid)
    assert 0 < full["accepted"] < full["filled"] < full["cells"]
    shown = read_run(grown.record)["archive"]
    assert shown == {"measures": ["abstraction", "asymmetry", "expression"], "shape": [8, 6, 3], **full}
    plan = Chronicle(grown.record).plan()
    facts = plan.facts["archive"]
    assert {key: facts[key] for key in full} == full
    places = [tuple(mask["place"]) for mask in facts["masks"]]
    assert len(set(places)) == len(places) <= full["filled"]
    kept = {mask.id: mask for mask in grown.archive.kept}
    for mask in facts["masks"]:
        held = kept[mask["id"]]
        assert mask["place"] == grown.archive.grid.place(held.cell)[:2]
        assert np.array_equal(plan.genomes[mask["id"]], held.genome)
        rivals = [k for k in kept.values() if grown.archive.grid.place(k.cell)[:2] == mask["place"]]
        assert held.rank == max(k.rank for k in rivals)
    plain = grow(tmp_path / "plain", generations=5)
    assert read_run(plain.record)["archive"] is None
    assert Chronicle(plain.record).plan().facts["archive"] is None
