"""Gauss-Newton without derivatives: for masks of one face, of which recognizers tell more than a distance.

A recognizer does not answer "0.62 away" but with an embedding: which way a mask misses the face, in 128
numbers for dlib's. The search learns from its masks how genes move those numbers and takes the step that
brings them nearest to the face. So it draws the step from hundreds of numbers a mask, where other searches
have one.

It is a trust-region method for least squares on a regression model (Cartis and Roberts, "A Derivative-Free
Gauss-Newton Method", Math. Programming Computation 11, 2019), with four changes for answers that depend on
the views: the model is a ridge regression on the masks of many generations, the older the lighter; how far
it shrinks is cross-validated, one generation left out at a time; steps are dear along genes of which the
model knows little (Bayesian linear regression's posterior variance); and steps of several lengths are scored
beside the mean itself, under the same views, of which the best becomes the mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from coordinator.search.optimizers.around_mean import AroundMean
from coordinator.search.optimizers.base import Doubles, Floats, Ints, Need, Setup, State

LENGTHS = (0.5, 1.0, 2.0)  # of the steps that are tried, in radii of the trust region
# What becomes of the radius where the mean stays, or moves by a shorter, a whole or a longer step.
_STAYS, _SHORTER, _WHOLE, _LONGER = 0.6, 0.8, 1.0, 1.4
_WIDTH = 2 / 3  # of the draws, in the deviations of other searches: a linear model holds nearby only
# The radius at first, at least and at most, in lengths of a usual draw.
_FIRST, _LEAST, _MOST = 0.4, 0.15, 1.5
_FADING = 0.975  # what a generation leaves of the weight of older masks
MEMORY = 80  # generations that are remembered
_FOLDS = 12  # the newest of them, that cross-validation leaves out in turn
_NEWS = 0.3  # how much of the estimate at the mean comes from the newest views
_LEADS = 0.5  # while the mean moves, draws lie around this share of the whole step: they look ahead
_FAR = 2.0  # lengths of a usual draw, beyond which a mask (a migrant, a parent) counts as if it were nearer
_HOMEWARD = 0.005  # fitness that the squared step from the start costs, halved: it undoes idle drift
_SHRINKAGES = np.geomspace(1e-2, 1e2, 17)  # of the ridge, in mean eigenvalues
_UNTESTED = 1.0  # with one generation to learn from there is nothing to leave out


@dataclass(frozen=True)
class Ridge:
    """Slopes (d, q) of q answers along d genes; their posterior variance (d, d), summed over the answers."""

    slopes: Doubles
    variance: Doubles


class Regression:
    """Linear regressions on the same ``steps`` (n, d), shrunk toward 0.

    weights: (n,), larger than 0. folds: (n,) numbers; rows of one fold were centered together, so that they
    give each other away and are left out together.
    """

    def __init__(self, steps: Doubles, weights: Doubles, folds: Ints) -> None:
        self._root = np.sqrt(weights)[:, None]
        self._x = steps * self._root
        eigenvalues, self._vectors = np.linalg.eigh(self._x.T @ self._x)
        self._eigenvalues: Doubles = np.maximum(eigenvalues, 0.0)
        self._unit: float = max(float(self._eigenvalues.sum()) / min(self._x.shape), 1e-12)
        self._rotated = self._x @ self._vectors
        self._last = [np.flatnonzero(folds == fold) for fold in np.unique(folds)[-_FOLDS:]]

    def fit(self, answers: Doubles) -> Ridge:
        """The regression of ``answers`` (n, q), centered as the steps are.

        Its shrinkage is the one that best foretells each of the last folds from all the others.
        """
        y = answers * self._root
        product = self._vectors.T @ (self._x.T @ y)
        inverse = 1.0 / (self._eigenvalues + self._shrinkage(y, product))
        slopes = self._vectors @ (inverse[:, None] * product)
        free = len(self._x) - float((self._eigenvalues * inverse).sum())
        noise = float(np.square(y - self._x @ slopes).sum()) / max(free, 1.0)
        return Ridge(slopes, noise * (self._vectors * inverse) @ self._vectors.T)

    def _shrinkage(self, y: Doubles, product: Doubles) -> float:
        if len(self._last) < 2:
            return _UNTESTED * self._unit
        candidates: list[float] = (_SHRINKAGES * self._unit).tolist()
        return min(candidates, key=lambda candidate: self._error(candidate, y, product))

    def _error(self, shrinkage: float, y: Doubles, product: Doubles) -> float:
        """Squared residuals of the last folds, each left out: (I - H)^-1 of its own, H its hat matrix."""
        inverse, error = 1.0 / (self._eigenvalues + shrinkage), 0.0
        for rows in self._last:
            weighed = self._rotated[rows] * inverse
            missed = y[rows] - weighed @ product
            left_out = np.linalg.solve(np.eye(len(rows)) - weighed @ self._rotated[rows].T, missed)
            error += float(np.square(left_out).sum())
        return error


def within(radii: Sequence[float], curvature: Doubles, gradient: Doubles) -> Doubles:
    """For each radius the step, rows (k, d), of at most that length where g . s - s . C s / 2 is largest.

    More and Sorensen, "Computing a Trust Region Step", SIAM J. Sci. Stat. Comput. 4, 1983, by bisection;
    curvature C: (d, d), positive semidefinite. gradient g: (d,).
    """
    eigenvalues, vectors = np.linalg.eigh(curvature)
    eigenvalues = np.maximum(eigenvalues, 0.0)
    along = vectors.T @ gradient

    def step(radius: float) -> Doubles:
        low, high = 1e-9, 1e-9 + float(np.linalg.norm(along)) / radius
        if float(np.linalg.norm(along / (eigenvalues + low))) <= radius:
            high = low
        for _ in range(60):
            middle = math.sqrt(low * high)
            if float(np.linalg.norm(along / (eigenvalues + middle))) > radius:
                low = middle
            else:
                high = middle
        found: Doubles = vectors @ (along / (eigenvalues + high))
        return found

    return np.stack([step(radius) for radius in radii])


class GaussNewton(AroundMean):
    """Its model of fitness is rest - |r|^2 / 2, with residuals r (q,) and rest linear in the genes.

    Where no residuals are told, rest is the whole fitness, and this a trust-region search along the gradient
    of a regression. In what follows genes are counted from the start and in standard deviations
    of the draws, which stay the same.
    """

    name: ClassVar[str] = "gauss-newton"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.REFERENCE})
    learns_from_mean: ClassVar[bool] = True
    varying: ClassVar[tuple[str, ...]] = ("estimate", "probes", "steps", "answers", "when")

    def __init__(self, setup: Setup, seed: np.random.SeedSequence) -> None:
        super().__init__(setup, seed)
        d = setup.dimension
        self._start, self._unit = self._first_mean(), _WIDTH * setup.deviations
        self._usual = math.sqrt(d)
        self._radius = _FIRST * self._usual
        self._at = np.zeros(d)  # the mean
        self._estimate = np.zeros(0)  # (q + 1,) residuals and rest at the mean
        self._ahead = np.zeros(d)  # from the mean to the middle of the draws
        self._probes = np.zeros((0, d))  # steps to be scored in the next generation
        # Masks that were learned from: steps from their generation's middle, answers likewise, when.
        self._steps, self._answers = np.zeros((0, d)), np.zeros((0, 0))
        self._when = np.zeros(0, np.int64)

    @property
    def mean(self) -> Doubles:
        """(d,) the mask that the search stands at."""
        return self._start + self._unit * self._at

    def _propose(self, migrants: Floats) -> tuple[Doubles, Ints]:
        units = self._at + self._ahead + self._rng.standard_normal((self.population_size, self.dimension))
        units[1 : 1 + len(self._probes)] = self._at + self._probes
        genomes = self._start + self._unit * units
        return self._with_migrants(genomes, migrants, (migrants - self.mean) / self._unit)

    def _learn(self, genomes: Floats, fitness: Doubles) -> None:
        places = (genomes.astype(np.float64) - self._start) / self._unit
        answers = np.column_stack([self._residuals.vectors, self._residuals.rest])
        seen = np.isfinite(fitness) & np.isfinite(answers).all(axis=1)
        if not seen.any():
            return
        # What cannot be scored misses as the others do, and is worth less than the least of them.
        answers[~seen] = answers[seen].mean(axis=0)
        answers[~seen, -1] = answers[seen, -1].min() - answers[seen, -1].std()
        before = self._at
        chosen = self._move(places, fitness, seen)
        if not len(self._steps):  # now it is known how many answers a mask has
            self._answers, self._estimate, before = answers[:0], answers[chosen], self._at
        self._remember(places, answers)
        self._plan(self._at - before, answers[chosen], moved=chosen > 0)

    def _move(self, places: Doubles, fitness: Doubles, seen: NDArray[np.bool_]) -> int:
        """To the best of the mean, probes and migrants; of all, where the mean cannot be scored. Its row."""
        migrants = int((self.last_migrants >= 0).sum())
        n, probes = len(places), len(self._probes)
        rows = [0, *range(1, 1 + probes), *range(n - migrants, n)]
        if self._generation == 0:
            rows += range(n)[self.first_rows]
        if not seen[0]:  # nothing speaks for staying
            rows = list(range(n))
        chosen: int = max((r for r in rows if seen[r]), key=lambda r: (fitness[r], -r))
        if chosen and chosen <= probes:
            length = LENGTHS[-probes:][chosen - 1]
            factor = _SHORTER if length < 1 else _LONGER if length > 1 else _WHOLE
        else:
            factor = _STAYS if probes and not chosen else _WHOLE
        self._radius = float(np.clip(factor * self._radius, _LEAST * self._usual, _MOST * self._usual))
        self._at = places[chosen].copy()
        return chosen

    def _remember(self, places: Doubles, answers: Doubles) -> None:
        steps = places - places.mean(axis=0)
        lengths = np.linalg.norm(steps, axis=1, keepdims=True)
        # A mask far away must not sway the whole regression.
        nearer = np.minimum(1.0, _FAR * self._usual / np.maximum(lengths, 1e-12))
        kept = self._when > self._generation - MEMORY
        self._steps = np.concatenate([self._steps[kept], nearer * steps])
        self._answers = np.concatenate([self._answers[kept], nearer * (answers - answers.mean(axis=0))])
        self._when = np.concatenate([self._when[kept], np.full(len(places), self._generation, np.int64)])

    def _plan(self, step: Doubles, observed: Doubles, *, moved: bool) -> None:
        """The next steps, from all that is remembered. step: (d,) what the mean has just moved by.

        observed: (q + 1,) the answers where it is now, under the generation's views.
        """
        weights = _FADING ** (self._generation - self._when).astype(np.float64)
        regression = Regression(self._steps, weights, self._when)
        near, other = regression.fit(self._answers[:, :-1]), regression.fit(self._answers[:, -1:])
        slopes = np.concatenate([near.slopes, other.slopes], axis=1)
        self._estimate = (1 - _NEWS) * (self._estimate + step @ slopes) + _NEWS * observed
        curvature = near.slopes @ near.slopes.T + near.variance + _HOMEWARD * np.diag(self._unit**2)
        gradient = other.slopes[:, 0] - near.slopes @ self._estimate[:-1]
        gradient = gradient - _HOMEWARD * self._unit**2 * self._at
        count = min(len(LENGTHS), 1 + (self.population_size - 1) // 5)
        radii = self._radius * np.array([1.0, *LENGTHS[-count:]])
        whole, *probes = within(radii.tolist(), curvature, gradient)
        self._ahead, self._probes = whole * (_LEADS if moved else 0.0), np.stack(probes)

    def _own_state(self) -> State:
        return {
            "start": self._start.copy(),
            "at": self._at.copy(),
            "radius": np.array(self._radius, np.float64),
            "estimate": self._estimate.copy(),
            "ahead": self._ahead.copy(),
            "probes": self._probes.copy(),
            "steps": self._steps.copy(),
            "answers": self._answers.copy(),
            "when": self._when.copy(),
        }

    def _own_restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        self._start = np.array(state["start"], np.float64)
        self._at = np.array(state["at"], np.float64)
        self._radius = float(state["radius"])
        self._estimate = np.array(state["estimate"], np.float64)
        self._ahead = np.array(state["ahead"], np.float64)
        self._probes = np.array(state["probes"], np.float64)
        self._steps = np.array(state["steps"], np.float64)
        self._answers = np.array(state["answers"], np.float64)
        self._when = np.array(state["when"], np.int64)
