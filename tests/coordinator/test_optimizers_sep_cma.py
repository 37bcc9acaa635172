from __future__ import annotations

import math

import cmaes
import numpy as np
import pytest

from coordinator.search.optimizers.base import Setup
from coordinator.search.optimizers.sep_cma import SepCma

D, N = 10, 14


def make(seed=1, population=N, dimension=D, **options):
    return SepCma(Setup.checked(dimension, population, **options), np.random.SeedSequence(seed))


def test_the_update_is_that_of_cmaes():
    mine = make(start="neutral", sigma=0.5, limit=None)
    plain = cmaes.SepCMA(mean=np.zeros(D), sigma=0.5, population_size=N - 1)
    rng = np.random.default_rng(0)
    for _ in range(50):
        genomes = mine.ask()
        fitness = -((genomes - 1) ** 2).sum(axis=1) + rng.normal(0, 0.1, N)
        drawn = zip(genomes[1:], fitness[1:], strict=True)
        plain.tell([(x.astype(np.float64), -f) for x, f in drawn])
        mine.tell(genomes, fitness)
        assert mine.mean.tobytes() == plain.mean.tobytes()
        assert mine.deviations.tobytes() == (plain._sigma * np.sqrt(plain._C)).tobytes()


def test_it_draws_from_its_distribution():
    wide = make(population=20_000, start="neutral", sigma=0.7, limit=None)
    genomes = wide.ask()
    assert np.all(abs(genomes.mean(axis=0)) < 5 * 0.7 / math.sqrt(20_000))
    assert np.all(abs(genomes.std(axis=0) / 0.7 - 1) < 5 / math.sqrt(2 * 20_000))


def test_a_noise_start_is_one_noise_genome():
    one = make(seed=3)
    assert np.all(abs(one.ask() - one.mean) < 0.5 * 6)
    assert not np.allclose(one.mean, make(seed=4).mean, atol=0.1)


def test_a_far_migrant_is_cut_to_length_in_its_own_direction():
    optimizer = make(limit=None)
    for _ in range(6):
        genomes = optimizer.ask()
        optimizer.tell(genomes, genomes @ np.arange(D))
    far = np.float32(optimizer.mean + 50 * np.linspace(-1, 1, D))
    mean, deviations = optimizer.mean, optimizer.deviations
    optimizer.inject(far[None])
    last = optimizer.ask()[-1].astype(np.float64)
    length = np.linalg.norm((last - mean) / deviations)
    assert length == pytest.approx(math.sqrt(D) + 2 * D / (D + 2), rel=1e-5)
    way, cut = far - mean, last - mean
    assert way @ cut == pytest.approx(np.linalg.norm(way) * np.linalg.norm(cut), rel=1e-6)


def test_migrants_do_not_shift_the_draws_of_others():
    with_migrants, without = make(), make()
    with_migrants.inject(np.zeros((3, D), np.float32))
    assert with_migrants.ask()[:-3].tobytes() == without.ask()[:-3].tobytes()


def test_the_step_size_grows_at_most_by_e_whatever_comes_in():
    optimizer = make(limit=None)
    before = optimizer.step_size
    for _ in range(30):
        optimizer.inject(np.full((N // 2, D), 1e6, np.float32))
        genomes = optimizer.ask()
        # The migrants win every time.
        optimizer.tell(genomes, np.arange(N))
        assert optimizer.step_size <= before * math.e * (1 + 1e-12)
        before = optimizer.step_size
    assert np.all(np.isfinite(optimizer.mean))


@pytest.mark.parametrize(
    "fitness",
    [
        lambda x, rng: np.zeros(N),
        lambda x, rng: rng.normal(size=N),
        lambda x, rng: abs(x).sum(axis=1),
        lambda x, rng: -(x.astype(np.float64) ** 2).sum(axis=1),
    ],
    ids=["plateau", "chance", "pressed against the bounds", "converged"],
)
def test_steps_neither_vanish_nor_explode(fitness):
    optimizer, rng = make(start="neutral", limit=3.0), np.random.default_rng(0)
    for _ in range(2000):
        genomes = optimizer.ask()
        optimizer.tell(genomes, fitness(genomes, rng))
        assert np.all(optimizer.deviations >= 0.99e-3 * 0.5)
        assert np.all(optimizer.deviations <= 3.0)
        assert 0.99e-3 * 0.5 <= optimizer.step_size <= 1e3
        assert np.all(abs(optimizer.mean) <= 3.0 * (1 + 1e-9))


def test_it_converges_to_its_smallest_step():
    optimizer = make(start="noise")
    for _ in range(600):
        genomes = optimizer.ask()
        optimizer.tell(genomes, -((genomes.astype(np.float64) - 1) ** 2).sum(axis=1))
    assert abs(genomes - 1).max() < 0.01


def test_a_large_population_of_short_genomes_keeps_its_variances_positive():
    # cmaes alone: the learning rate comes to 1.7 here and variances turn negative.
    assert cmaes.SepCMA(mean=np.zeros(6), sigma=1, population_size=400)._cmu > 1
    optimizer = make(population=400, dimension=6)
    for _ in range(20):
        genomes = optimizer.ask()
        optimizer.tell(genomes, -(genomes.astype(np.float64) ** 2).sum(axis=1))
        assert np.all(optimizer.deviations > 0)
    assert abs(optimizer.mean).max() < 0.2
