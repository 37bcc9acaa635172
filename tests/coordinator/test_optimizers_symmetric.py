"""Searches that change left and right alike."""

from __future__ import annotations

import numpy as np
import pytest

from coordinator.search.optimizers import make_optimizer
from coordinator.search.optimizers.mirror import FADING
from services.shape.catalog import DEFAULT_BASIS, facts_of
from services.shape.symmetry import Symmetry
from services.storage.codec import decode, encode

FACE = facts_of(DEFAULT_BASIS).symmetry
D = len(FACE.twin)
FOLDING = ("sep-cma", "genetic", "cma", "snes", "de")
MOVING_ALL = ("random", "map-elites", "nsga2")


def make(name="sep-cma", *, start="noise", seed=1, population=16, sides=FACE, dimension=D, **options):
    root = np.random.SeedSequence(seed)
    return make_optimizer(name, dimension, start, population, root, symmetry=sides, **options)


def apart(genomes, sides=FACE):
    """What masks lack of their mirror images."""
    return genomes - sides.unfolded(sides.folded(genomes))


def sphere(genomes):
    return -((genomes.astype(np.float64) - 0.7) ** 2).sum(axis=1)


@pytest.mark.parametrize("name", FOLDING)
def test_all_masks_share_one_asymmetry_and_it_fades(name):
    optimizer = make(name, limit=None)
    genomes = optimizer.ask()
    first = apart(genomes)
    assert np.abs(first).max() > 1
    for generation in range(6):
        assert np.allclose(apart(genomes), FADING**generation * first[0], atol=1e-5)
        optimizer.tell(genomes, sphere(genomes))
        genomes = optimizer.ask()


def test_a_start_from_noise_is_noise():
    starts = np.concatenate([make(seed=seed, limit=None).ask()[:1] for seed in range(600)])
    deviations = starts.std(axis=0)
    assert np.allclose(deviations.mean(), 1.2, atol=0.01)
    assert deviations.min() > 1.0
    assert deviations.max() < 1.4
    left = FACE.free[FACE.twin[FACE.free] != FACE.free]
    both = [np.corrcoef(starts[:, gene], starts[:, FACE.twin[gene]])[0, 1] for gene in left]
    assert abs(np.mean(both)) < 0.03  # the two sides of noise have nothing in common


@pytest.mark.parametrize("name", FOLDING)
def test_chosen_masks_come_first_as_they_are_and_their_asymmetry_stays(name):
    chosen = np.random.default_rng(3).uniform(-1, 1, (2, D)).astype(np.float32)
    optimizer = make(name, start=chosen, limit=None)
    genomes = optimizer.ask()
    lead = 0 if optimizer.mean is None else 1
    assert np.array_equal(genomes[lead : lead + 2], chosen)
    for _ in range(3):
        optimizer.tell(genomes, sphere(genomes))
        genomes = optimizer.ask()
    assert np.allclose(apart(genomes), apart(chosen.mean(axis=0)), atol=0.02)


@pytest.mark.parametrize("name", FOLDING)
def test_migrants_bring_what_both_sides_have_in_common(name):
    optimizer = make(name, start="neutral")
    genomes = optimizer.ask()
    optimizer.tell(genomes, sphere(genomes))
    migrant = genomes[3:4] + np.float32(0.05)
    optimizer.inject(migrant)
    genomes = optimizer.ask()
    row = int(np.flatnonzero(optimizer.last_migrants == 0)[0])
    assert np.allclose(FACE.folded(genomes[row]), FACE.folded(migrant[0]), atol=1e-6)
    assert np.allclose(apart(genomes[row]), 0, atol=1e-6)


@pytest.mark.parametrize("name", FOLDING)
def test_goes_on_bit_for_bit_from_its_state(name):
    def live(optimizer, rng, generations):
        seen = []
        for _ in range(generations):
            if optimizer.generation % 3 == 2:
                optimizer.inject(rng.normal(0, 2, (2, D)).astype(np.float32))
            genomes = optimizer.ask()
            optimizer.tell(genomes, sphere(genomes) + rng.normal(0, 0.5, len(genomes)))
            seen.append(genomes.tobytes())
        return b"".join(seen)

    optimizer, rng = make(name), np.random.default_rng(4)
    live(optimizer, rng, 5)
    arrays, _ = decode(encode(optimizer.state(), {}), "state")
    again, rng_again = make(name, seed=9), np.random.default_rng()
    again.restore(arrays)
    rng_again.bit_generator.state = rng.bit_generator.state
    assert live(again, rng_again, 5) == live(optimizer, rng, 5)


def test_the_state_of_a_search_that_moves_all_genes_is_refused():
    everything = make(sides=None)
    with pytest.raises(ValueError, match="asymmetry"):
        make().restore(everything.state())
    with pytest.raises(ValueError, match="asymmetry"):
        everything.restore(make().state())


def test_what_does_not_fit_is_refused():
    optimizer = make()
    with pytest.raises(ValueError, match="call ask first"):
        optimizer.tell(np.zeros((16, D), np.float32), np.zeros(16))
    with pytest.raises(ValueError, match="expected shape"):
        optimizer.inject(np.zeros((1, D - 1), np.float32))
    genomes = optimizer.ask()
    changed = genomes.copy()
    changed[5, 0] += 1
    with pytest.raises(ValueError, match="row 5"):
        optimizer.tell(changed, np.zeros(16))
    optimizer.tell(genomes, np.zeros(16))


@pytest.mark.parametrize("name", MOVING_ALL)
def test_searches_for_many_kinds_of_masks_move_all_genes(name):
    from coordinator.search.grid import Grid

    grid = Grid(DEFAULT_BASIS, ("abstraction", "asymmetry"), (4, 4), ((0.0, 30.0), (0.0, 15.0)))
    options = {"grid": grid, "aims": 2 if name == "nsga2" else 0}
    assert np.array_equal(make(name, **options).ask(), make(name, sides=None, **options).ask())


def test_fewer_genes_take_fewer_generations():
    dimension = 60
    half = np.arange(dimension) % (dimension // 2)
    sides = Symmetry(
        twin=(np.arange(dimension) + dimension // 2) % dimension,
        sign=np.ones(dimension),
        free=np.unique(half),
    )

    def generations(seed, given):
        optimizer = make("sep-cma", seed=seed, sides=given, dimension=dimension)
        for number in range(1000):
            genomes = optimizer.ask()
            fitness = sphere(genomes)
            if fitness[0] > -1:
                return number
            optimizer.tell(genomes, fitness)
        return 1000

    ratios = [generations(seed, sides) / generations(seed, None) for seed in range(5)]
    assert np.median(ratios) < 0.75
