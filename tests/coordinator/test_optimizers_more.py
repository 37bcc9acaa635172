"""What is particular to full CMA, SNES and DE; what holds for every optimizer is in test_optimizers."""

from __future__ import annotations

import math

import cmaes
import numpy as np
import pytest

from coordinator.search.optimizers.base import Setup
from coordinator.search.optimizers.cma import Cma
from coordinator.search.optimizers.de import De
from coordinator.search.optimizers.sep_cma import SepCma
from coordinator.search.optimizers.snes import Snes

D, N = 10, 14


def make(kind, seed=1, population=N, dimension=D, **options):
    return kind(Setup.checked(dimension, population, **options), np.random.SeedSequence(seed))


def test_the_update_of_cma_is_that_of_cmaes():
    mine = make(Cma, start="neutral", sigma=0.5, limit=None)
    plain = cmaes.CMA(mean=np.zeros(D), sigma=0.5, population_size=N - 1)
    rng = np.random.default_rng(0)
    for _ in range(30):
        genomes = mine.ask()
        plain._eigen_decomposition()
        fitness = -((genomes - 1) ** 2).sum(axis=1) + rng.normal(0, 0.1, N)
        drawn = zip(genomes[1:], fitness[1:], strict=True)
        plain.tell([(x.astype(np.float64), -f) for x, f in drawn])
        mine.tell(genomes, fitness)
        assert mine.mean.tobytes() == plain.mean.tobytes()
        assert mine._covariance.tobytes() == plain._C.tobytes()


def test_four_draws_are_too_few_for_the_ranks_and_none_is_divided_by():
    with np.errstate(all="raise"):
        one = make(Cma, population=4, dimension=6)
        for _ in range(3):
            genomes = one.ask()
            one.tell(genomes, -np.square(genomes).sum(axis=1))
    assert np.isfinite(one.ask()).all()


def test_cma_draws_from_its_distribution():
    wide = make(Cma, population=20_000, start="neutral", sigma=0.7, limit=None)
    covariance = np.diag(np.linspace(1, 3, D)) + 0.5
    wide._covariance = covariance
    drawn = np.cov(wide.ask().T)
    assert np.abs(drawn / 0.49 - covariance).max() < 0.15


def test_full_cma_learns_what_moves_together():
    # A valley across all genes: its own axes are no gene's axes.
    rng = np.random.default_rng(3)
    basis, _ = np.linalg.qr(rng.normal(size=(D, D)))
    stiffness = np.logspace(0, 3, D)
    optimizer = make(Cma, start="neutral", sigma=0.5, limit=None)
    ratios = []
    for _ in range(150):
        genomes = optimizer.ask()
        lengths = optimizer.deviations
        ratios.append(lengths.max() / lengths.min())
        optimizer.tell(genomes, -(((genomes.astype(np.float64) - 1) @ basis) ** 2 @ stiffness))
    assert max(ratios) > 10
    assert abs((optimizer.mean - 1) @ basis)[-3:].max() < 0.05


@pytest.mark.parametrize("kind", [Cma, Snes])
def test_a_far_migrant_is_cut_to_length_in_its_own_direction(kind):
    optimizer = make(kind, limit=None)
    for _ in range(6):
        genomes = optimizer.ask()
        optimizer.tell(genomes, genomes @ np.arange(D))
    mean = optimizer.mean
    far = np.float32(mean + 50 * np.linspace(-1, 1, D))
    optimizer.inject(far[None])
    cut = optimizer.ask()[-1].astype(np.float64) - mean
    cut_along = cut @ optimizer.axes if kind is Cma else cut
    length = np.linalg.norm(cut_along / optimizer.deviations)
    assert length == pytest.approx(math.sqrt(D) + 2 * D / (D + 2), rel=1e-5)
    way = far - mean
    assert way @ cut == pytest.approx(np.linalg.norm(way) * np.linalg.norm(cut), rel=1e-6)


@pytest.mark.parametrize("kind", [Cma, Snes, De])
def test_migrants_do_not_shift_the_draws_of_others(kind):
    with_migrants, without = make(kind), make(kind)
    for optimizer in (with_migrants, without):
        optimizer.tell(optimizer.ask(), np.arange(N))
    with_migrants.inject(np.zeros((3, D), np.float32))
    assert with_migrants.ask()[:-3].tobytes() == without.ask()[:-3].tobytes()


def test_one_update_of_snes_is_that_of_the_paper():
    optimizer = make(Snes, start="neutral", sigma=0.5, limit=None)
    genomes = optimizer.ask()
    fitness = np.random.default_rng(0).normal(size=N)
    optimizer.tell(genomes, fitness)
    draws = N - 1
    utilities = [max(0.0, math.log(draws / 2 + 1) - math.log(k)) for k in range(1, draws + 1)]
    utilities = [u / sum(utilities) - 1 / draws for u in utilities]
    mean, log_step = np.zeros(D), np.zeros(D)
    for u, row in zip(utilities, np.argsort(-fitness[1:]), strict=True):
        s = genomes[1:][row].astype(np.float64) / 0.5
        mean += 0.5 * u * s
        log_step += (3 + math.log(D)) / (5 * math.sqrt(D)) / 2 * u * (s * s - 1)
    assert optimizer.mean == pytest.approx(mean)
    assert optimizer.deviations == pytest.approx(0.5 * np.exp(log_step))


@pytest.mark.parametrize("kind", [Cma, Snes])
@pytest.mark.parametrize("case", ["plateau", "chance", "pressed against the bounds", "converged"])
def test_steps_neither_vanish_nor_explode(kind, case):
    optimizer, rng = make(kind, start="neutral", limit=3.0), np.random.default_rng(0)
    for _ in range(500):
        genomes = optimizer.ask()
        fitness = {
            "plateau": np.zeros(N),
            "chance": rng.normal(size=N),
            "pressed against the bounds": abs(genomes).sum(axis=1),
            "converged": -(genomes.astype(np.float64) ** 2).sum(axis=1),
        }[case]
        optimizer.tell(genomes, fitness)
        if kind is Cma:
            optimizer._decompose()
        steps = optimizer.deviations
        assert np.all(steps >= 0.99e-3 * 0.5)
        assert np.all(np.isfinite(steps))
        assert np.all(np.isfinite(optimizer.mean))


def test_a_member_of_de_stays_until_a_fitter_challenger_comes():
    optimizer = make(De)
    first = optimizer.ask()
    optimizer.tell(first, np.arange(N, dtype=float))
    second = optimizer.ask()
    fitness = np.where(np.arange(N) % 2 == 0, 1000.0, -1000.0)
    optimizer.tell(second, fitness)
    members = optimizer.state()["members"]
    assert members[::2].tobytes() == second[::2].tobytes()
    assert members[1::2].tobytes() == first[1::2].tobytes()


def test_luck_of_a_member_of_de_pales():
    optimizer = make(De)
    lucky = np.zeros(N)
    lucky[3] = 1.0
    optimizer.tell(optimizer.ask(), lucky)
    for _ in range(30):
        optimizer.tell(optimizer.ask(), np.full(N, -1.0))
    assert -1 < optimizer.state()["fitness"][3] < -0.9


@pytest.mark.parametrize("kind", [SepCma, Cma, Snes])
def test_the_mean_leads_every_generation_and_teaches_nothing(kind):
    one, other = make(kind, seed=7), make(kind, seed=7)
    for _ in range(3):
        genomes = one.ask()
        other.ask()
        assert genomes[0].tobytes() == np.clip(one.mean, -3, 3).astype(np.float32).tobytes()
        fitness = -np.square(genomes).sum(axis=1)
        flattered = fitness.copy()
        flattered[0] = 1e6
        one.tell(genomes, fitness)
        other.tell(genomes, flattered)
        assert one.mean.tobytes() == other.mean.tobytes()
