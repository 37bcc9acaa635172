"""The search that is told which way masks miss."""

from __future__ import annotations

import numpy as np
import pytest

from coordinator.search.optimizers import make_optimizer
from coordinator.search.optimizers.gauss_newton import GaussNewton, Regression, within
from services.recognition.fitness import Residuals
from services.shape.catalog import facts_of

D, N, Q = 40, 16, 30


def problem(seed):
    """Residuals (n, Q) of genomes (n, D), curved a little, and with noise that a generation's masks share."""
    rng = np.random.default_rng(seed)
    slopes = rng.normal(0, 1 / np.sqrt(D), (D, Q))
    wanted = np.tanh(rng.uniform(-1, 1, D) @ slopes)

    def residuals(genomes, noise=0.1):
        shared, own = rng.normal(0, noise, Q), rng.normal(0, noise / 4, (len(genomes), Q))
        return np.tanh(genomes.astype(np.float64) @ slopes) - wanted + shared + own

    return residuals


def told_of(missed, rest=0.0):
    return Residuals(missed, np.full(len(missed), rest))


def searched(name, seed, generations, *, told):
    residuals = problem(seed)
    optimizer = make_optimizer(name, D, "neutral", N, np.random.SeedSequence(seed), sigma=0.3)
    for _ in range(generations):
        genomes = optimizer.ask()
        missed = residuals(genomes)
        fitness = 1 - np.square(missed).sum(axis=1) / 2
        optimizer.tell(genomes, fitness, residuals=told_of(missed) if told else None)
    return float(np.square(residuals(optimizer.mean[None], 0.0)).sum())


@pytest.mark.parametrize("seed", range(3))
def test_to_be_told_which_way_masks_miss_saves_masks(seed):
    at_first = float(np.square(problem(seed)(np.zeros((1, D)), 0.0)).sum())
    told, alone = (searched("gauss-newton", seed, 15, told=t) for t in (True, False))
    evolution = searched("sep-cma", seed, 15, told=False)
    # Measured: a fiftieth of what was there at first, a ninth of what the others leave.
    assert told < at_first / 20
    assert told < min(alone, evolution) / 4


def test_shrinkage_is_the_one_that_foretells_a_left_out_generation_best():
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, (36, 6)), rng.normal(0, 3, (36, 2))
    y += x @ rng.normal(0, 1, (6, 2))
    folds, weights = np.repeat(np.arange(9), 4), np.repeat(0.9 ** np.arange(9)[::-1], 4)
    found = Regression(x, weights, folds).fit(y).slopes

    def fitted(rows, shrinkage):
        w = weights[rows][:, None]
        return np.linalg.solve(x[rows].T @ (w * x[rows]) + shrinkage * np.eye(6), x[rows].T @ (w * y[rows]))

    def left_out(shrinkage):
        error = 0.0
        for fold in range(9):
            rows = folds == fold
            missed = y[rows] - x[rows] @ fitted(~rows, shrinkage)
            error += float((weights[rows][:, None] * missed**2).sum())
        return error

    unit = np.trace(x.T @ (weights[:, None] * x)) / 6
    best = min(np.geomspace(1e-2, 1e2, 17) * unit, key=left_out)
    np.testing.assert_allclose(found, fitted(np.ones(36, bool), best), rtol=1e-8)


def test_variance_falls_where_much_was_seen():
    rng = np.random.default_rng(1)
    x = rng.normal(0, [3.0, 0.1, 1.0], (60, 3))
    folds = np.repeat(np.arange(15), 4)
    y = x @ rng.normal(0, 1, (3, 4)) + rng.normal(0, 1, (60, 4))
    variance = Regression(x, np.ones(60), folds).fit(y).variance
    assert variance[0, 0] < variance[2, 2] < variance[1, 1]
    np.testing.assert_allclose(variance, variance.T)


def test_a_step_in_the_trust_region():
    rng = np.random.default_rng(2)
    a = rng.normal(size=(8, 5))
    curvature, gradient = a.T @ a, rng.normal(size=5)
    free = np.linalg.solve(curvature, gradient)
    length = float(np.linalg.norm(free))
    inside, step = within([2 * length, length / 3], curvature, gradient)
    np.testing.assert_allclose(inside, free, rtol=1e-6)
    assert np.linalg.norm(step) == pytest.approx(length / 3, rel=1e-6)

    def gain(s):
        return gradient @ s - s @ curvature @ s / 2

    others = rng.normal(size=(2000, 5))
    others *= length / 3 / np.linalg.norm(others, axis=1, keepdims=True)
    assert all(gain(step) >= gain(s) for s in others)


def test_residuals_of_another_length_are_refused():
    optimizer = make_optimizer("gauss-newton", D, "neutral", N, np.random.SeedSequence(0))
    genomes = optimizer.ask()
    with pytest.raises(
        ValueError, match=r"residuals: expected vectors \(16, q\) and rest \(16,\), got \(15, 3\)"
    ):
        optimizer.tell(genomes, np.zeros(N), residuals=told_of(np.zeros((15, 3))))
    optimizer.tell(genomes, np.zeros(N), residuals=told_of(np.zeros((N, 3))))
    assert isinstance(optimizer, GaussNewton)


def test_a_mask_without_a_score_spoils_nothing():
    residuals = problem(5)
    optimizer = make_optimizer("gauss-newton", D, "neutral", N, np.random.SeedSequence(5), sigma=0.3)
    for generation in range(15):
        genomes = optimizer.ask()
        missed = residuals(genomes)
        fitness = -np.square(missed).sum(axis=1) / 2
        failed = [generation % N, 3]
        fitness[failed], missed[failed] = np.nan, np.nan
        optimizer.tell(genomes, fitness, residuals=told_of(missed))
    after = float(np.square(residuals(optimizer.mean[None], 0.0)).sum())
    assert after < float(np.square(residuals(np.zeros((1, D)), 0.0)).sum()) / 2


def test_the_symmetric_search_hands_residuals_on():
    both_sides = facts_of("makehuman-mask-1").symmetry
    genes = len(both_sides.twin)
    slopes = np.random.default_rng(3).normal(0, 0.1, (genes, 20))

    def reached(told):
        optimizer = make_optimizer(
            *("gauss-newton", genes, "neutral", N, np.random.SeedSequence(3)), sigma=0.3, symmetry=both_sides
        )
        assert optimizer.dimension < genes
        for _ in range(12):
            genomes = optimizer.ask()
            missed = genomes @ slopes - 1
            optimizer.tell(
                genomes, -np.square(missed).sum(axis=1) / 2, residuals=told_of(missed) if told else None
            )
        return float(np.square(both_sides.unfolded(optimizer.mean) @ slopes - 1).sum())

    assert reached(True) < reached(False) / 1.3
