from __future__ import annotations

import numpy as np

from coordinator.search.optimizers.base import Setup
from coordinator.search.optimizers.genetic import Genetic, polynomial_shift, spread_factor

D, N = 8, 40


def make(seed=1, **options):
    return Genetic(Setup.checked(D, N, **options), np.random.SeedSequence(seed))


def told(optimizer, fitness):
    genomes = optimizer.ask()
    optimizer.tell(genomes, fitness(genomes))
    return genomes


def test_the_spread_factor_has_its_papers_density():
    u = (np.arange(400_000) + 0.5) / 400_000
    for index in (2.0, 15.0):
        beta = spread_factor(u, index)
        # Half contract and half expand; a step from the density's integral on each side.
        assert np.mean(beta <= 1) == 0.5
        for at in (0.5, 0.9):
            assert abs(np.mean(beta <= at) - 0.5 * at ** (index + 1)) < 1e-5
            assert abs(np.mean(beta > 1 / at) - 0.5 * at ** (index + 1)) < 1e-5


def test_the_mutation_has_its_papers_density():
    u = (np.arange(400_000) + 0.5) / 400_000
    shift = polynomial_shift(u, 20.0)
    assert np.all(abs(shift) < 1)
    assert abs(shift.mean()) < 1e-6
    for at in (0.02, 0.1):
        assert abs(np.mean(abs(shift) > at) - (1 - at) ** 21) < 1e-5
    assert polynomial_shift(np.array([0.5]), 20.0)[0] == 0


def test_elites_stay_bit_for_bit_and_come_first():
    optimizer = make()
    genomes = told(optimizer, lambda x: x[:, 0])
    best = np.argsort(-genomes[:, 0], kind="stable")[:2]
    after = optimizer.ask()
    assert after[:2].tobytes() == genomes[best].tobytes()
    assert optimizer.last_parents[:2].tolist() == [[row, -1] for row in best]


def test_the_first_generation_has_no_parents():
    optimizer = make()
    optimizer.ask()
    assert np.all(optimizer.last_parents == -1)


def test_children_come_from_the_parents_that_are_named():
    optimizer = make(seed=2, limit=100.0)
    genomes = told(optimizer, lambda x: x[:, 0])
    children, parents = optimizer.ask()[2:], optimizer.last_parents[2:]
    assert np.all((parents[:, 0] >= 0) & (parents[:, 0] < N))
    assert 0.7 < np.mean(parents[:, 1] >= 0) < 1
    assert np.all(parents[:, 0] != parents[:, 1])
    # A child of one parent differs from it in mutated genes alone, one of eight.
    single = parents[:, 1] < 0
    same = children[single] == genomes[parents[single, 0]]
    assert same.mean() > 0.7
    # Half of the genes are crossed. A crossed one comes to lie near one parent or the other, equally often;
    # two of nine are mutated too, and may lie anywhere.
    crossed = ~single
    first, second = genomes[parents[crossed, 0]], genomes[parents[crossed, 1]]
    moved = children[crossed] != first
    assert 0.4 < moved.mean() < 0.7
    share = (children[crossed] - second)[moved] / (first - second)[moved]
    assert 0.25 < np.mean(abs(share) < 0.3) < 0.5
    assert 0.25 < np.mean(abs(share - 1) < 0.3) < 0.5


def test_the_fitter_breed_more():
    counts = np.zeros(N)
    for seed in range(30):
        optimizer = make(seed)
        told(optimizer, lambda x: np.arange(N))
        optimizer.ask()
        used = optimizer.last_parents[2:]
        counts += np.bincount(used[used >= 0], minlength=N)
    quarters = counts.reshape(4, -1).sum(axis=1) / counts.sum()
    # A tournament of three among 40: the best quarter wins 1 - (3/4)^3 = 58% and the worst (1/4)^3 = 1.6%.
    assert abs(quarters[3] - 0.58) < 0.04
    assert abs(quarters[0] - 0.016) < 0.015


def test_the_worst_do_not_breed_where_migrants_come_in():
    fathers = set()
    for seed in range(30):
        optimizer = make(seed)
        told(optimizer, lambda x: np.arange(N))
        optimizer.inject(np.zeros((20, D), np.float32))
        genomes = optimizer.ask()
        assert np.all(genomes[-20:] == 0)
        fathers |= set(optimizer.last_parents.ravel().tolist())
    assert set(range(25, 40)) <= fathers - {-1} <= set(range(20, 40))


def test_a_start_genome_is_in_the_first_population():
    start = np.linspace(-1, 1, D)
    genomes = make(start=start, sigma=0.2).ask()
    assert genomes[0].tobytes() == start.astype(np.float32).tobytes()
    assert abs((genomes[1:] - start).std() - 0.2) < 0.03
