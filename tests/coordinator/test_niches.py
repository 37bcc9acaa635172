"""Cells that are sets of machines: who belongs where, and what a mask is worth elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from coordinator.search.archive import Archive, coverage, grid_of
from coordinator.search.niches import Niches, niches_of
from coordinator.search.optimizers import make_optimizer
from coordinator.spec.spec import parse_spec
from services.recognition.fitness import Objective, fitness

NAMES = ("dlib-hog", "yunet", "centerface")
OBJECTIVES = [
    {"kind": "detect", "model": "dlib-mmod"},  # no cell asks it
    {"kind": "detect", "model": "dlib-hog"},
    {"kind": "refuse", "model": "yunet"},
    {"kind": "detect", "model": "centerface"},
]
NICHES = niches_of(NAMES, OBJECTIVES)


def said(*rows):
    """Margins (n, objectives, 2) as a run has them, of what each of NAMES says in two views."""
    given = np.array(rows, np.float64)
    return np.stack([np.full_like(given[:, 0], 9.0), given[:, 0], -given[:, 1], given[:, 2]], axis=1)


def masks(margins, seed=0):
    n = len(margins)
    genomes = np.random.default_rng(seed).normal(size=(n, 4)).astype(np.float32)
    flat = np.zeros(n, np.float32)
    return (
        [f"i00-g{seed:04d}-{k:03d}" for k in range(n)],
        0,
        seed,
        genomes,
        flat,
        margins[:, :, 0],
        flat,
        margins,
    )


def test_a_mask_belongs_to_those_that_see_a_face_in_every_view_while_no_other_does_in_any():
    margins = said(
        [[0.2, 0.7], [-0.1, -0.3], [-2.0, -1.0]],  # hog alone
        [[0.2, 0.7], [0.1, 0.3], [2.0, 1.0]],  # all
        [[-0.2, -0.7], [-0.1, -0.3], [-2.0, 0.0]],  # nobody: at its threshold no machine says yes
        [[0.2, 0.7], [0.1, -0.3], [-2.0, -1.0]],  # yunet now and then
    )
    cells, measures = NICHES.locate(np.zeros((4, 4)), margins)
    assert cells.tolist() == [0b100, 0b111, 0, -1]
    assert [NICHES.members(cell) for cell in cells[:3]] == [("dlib-hog",), NAMES, ()]
    assert NICHES.place(0b100) == [1, 0, 0]
    np.testing.assert_allclose(measures[:2], [[0.2, -0.1, -1.0], [0.2, 0.1, 1.0]])
    np.testing.assert_allclose(NICHES.shares(margins)[3], [1.0, 0.5, 0.0])
    fits = NICHES.fits(margins)
    assert fits.shape == (4, 8)
    assert fits[0, 0b100] == pytest.approx(0.1)  # its least clear verdict
    assert fits[0, 0b111] == pytest.approx(-0.2 - 1.5)  # what yunet and centerface lack
    assert fits[0, 0b000] == pytest.approx(-0.45)  # what hog has too much
    assert fits[3].max() < 0  # belongs nowhere, and is nearest to two sets
    assert {int(k) for k in np.argsort(fits[3])[-2:]} == {0b100, 0b110}


def test_worth_grows_toward_a_cell_and_through_its_border():
    way = np.linspace(-1.0, 1.0, 41)
    margins = said(*([[m, m], [-0.4, -0.4], [-0.9, -0.9]] for m in way))
    worth = NICHES.fits(margins)[:, 0b100]
    assert (np.diff(worth[: 20 + 8]) > 0).all()
    assert worth[20:].max() == pytest.approx(0.4)  # then yunet's verdict is the least clear


def test_an_objective_that_asks_for_no_face_tells_the_same():
    raw = [np.array([[0.3, 0.8], [-0.4, -0.2]], np.float32)] * 2
    detect, refuse = (Objective(kind, "dlib-hog", 1.0, 0.0) for kind in ("detect", "refuse"))
    found = fitness([detect, refuse], raw, np.full(2, np.nan, np.float32), np.ones(2, bool))
    for column, turned in ((0, False), (1, True)):
        niches = Niches(("dlib-hog",), (column,), (turned,))
        assert niches.locate(np.zeros((2, 3)), found.margins)[0].tolist() == [1, 0]


def test_the_archive_keeps_the_clearest_of_each_set_and_nothing_between():
    archive, rng = Archive(NICHES), np.random.default_rng(3)
    shown = [masks(rng.normal(0, 1, (60, 4, 2)), seed) for seed in range(3)]
    for part in shown:
        archive.add(*part)
    margins = np.concatenate([part[-1] for part in shown])
    ids = [name for part in shown for name in part[0]]
    cells, measures = NICHES.locate(np.zeros((180, 4)), margins)
    assert (cells < 0).any()
    assert [mask.cell for mask in archive.kept] == sorted(set(cells[cells >= 0].tolist()))
    for mask in archive.kept:
        rivals = np.flatnonzero(cells == mask.cell)
        clear = np.abs(measures[rivals]).min(axis=1)
        assert mask.id == ids[rivals[int(np.argmax(clear))]]
    told = coverage(archive.kept, NICHES)
    assert (told["cells"], told["filled"]) == (8, len(archive.kept))
    assert told["qd_score"] == pytest.approx(sum(np.abs(m.measures).min() for m in archive.kept), abs=1e-4)
    labels = ["dlib-mmod", "dlib-hog", "refuse:yunet", "centerface"]
    data, again = archive.encoded(labels), Archive(NICHES)
    again.restore(data, "here")
    assert again.encoded(labels) == data


def test_map_elites_holds_the_nearest_of_each_set_and_breeds_from_it():
    def made():
        seed = np.random.SeedSequence(1)
        return make_optimizer("map-elites", 4, "neutral", 12, seed, grid=NICHES)

    def tell(optimizer):
        """Each machine sees a face where its gene is above 1; from zero nobody does."""
        genomes = optimizer.ask()
        margins = said(*(np.repeat(g[:3, None] - 1.0, 2, axis=1) for g in genomes.astype(np.float64)))
        optimizer.tell(genomes, np.zeros(12), fits=NICHES.fits(margins))
        return margins

    optimizer, filled = made(), set()
    for _ in range(60):
        filled |= set(NICHES.locate(np.zeros((12, 4)), tell(optimizer))[0].tolist())
    assert filled == set(range(8)) | ({-1} & filled)
    rows = optimizer.elites()
    assert rows["index"].tolist() == list(range(8))
    assert (rows["objective"] > 0).all()
    for cell, genome in zip(rows["index"], rows["solution"], strict=True):
        assert [int(gene > 1) for gene in genome[:3]] == NICHES.place(cell)
    other = made()
    other.restore(optimizer.state())
    for one in (optimizer, other):
        tell(one)
    assert all(
        np.array_equal(a, b) for a, b in zip(*(o.state().values() for o in (optimizer, other)), strict=True)
    )
    genomes = other.ask()
    with pytest.raises(ValueError, match=r"fits: expected shape \(12, 8\), got None"):
        other.tell(genomes, np.zeros(12))


def test_its_table_of_a_spec():
    spec = parse_spec({"objective": OBJECTIVES, "archive": {"machines": list(NAMES)}}, "spec")
    assert spec.cells() == grid_of(spec.table()) == NICHES
    assert parse_spec(spec.table(), "again") == spec
    assert spec.table()["archive"]["machines"] == list(NAMES)
    assert (
        "machines"
        not in parse_spec({"objective": OBJECTIVES[:2], "archive": True}, "spec").table()["archive"]
    )
