"""Optimizers that anyone could take, each called as its own manual calls it; see `contenders`."""

from __future__ import annotations

import itertools
import random
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.search.problem import Doubles, Problem

_QUARTER = 0.5  # of the limit: pycma's manual wants a quarter of the domain's width


def random_search(problem: Problem) -> None:
    """Fresh noise in every batch."""
    rng = problem.rng()
    while True:
        noise = rng.normal(0, problem.spread, (problem.population, problem.dimension))
        problem.evaluate(noise)


def deap_ga(problem: Problem) -> None:
    """DEAP's eaSimple."""
    from deap import algorithms, base, tools

    class Goodness(base.Fitness):  # type: ignore[misc]
        weights = (1.0,)

    class Person(list[float]):
        def __init__(self, genes: Any) -> None:
            super().__init__(genes)
            self.fitness = Goodness()

    def score(_: object, people: list[Person]) -> list[tuple[float]]:
        return [(float(f),) for f in problem.evaluate(np.array(people))] if people else []

    random.seed(problem.seed)  # DEAP draws from Python's own
    sigma = 1.0 if problem.from_noise else problem.sigma
    box = base.Toolbox()
    box.register("map", score)
    box.register("evaluate", lambda person: (0.0,))  # what it is, `map` knows
    box.register("mate", tools.cxBlend, alpha=0.5)
    box.register("mutate", tools.mutGaussian, mu=0.0, sigma=sigma, indpb=0.05)
    box.register("select", tools.selTournament, tournsize=3)
    people = [Person(genes.tolist()) for genes in problem.start_population(problem.rng(), 48)]
    algorithms.eaSimple(people, box, cxpb=0.5, mutpb=0.2, ngen=10**6, verbose=False)


def pycma_recommended(problem: Problem) -> None:
    """pycma, with the first step that its manual recommends."""
    _pycma(problem, _QUARTER * problem.limit if problem.from_noise else problem.sigma)


def pycma_small(problem: Problem) -> None:
    """pycma, with the spec's first step."""
    _pycma(problem, problem.sigma)


def _pycma(problem: Problem, sigma: float) -> None:
    import cma

    rng = problem.rng()
    for restart in itertools.count(1):
        options = {"bounds": [-problem.limit, problem.limit], "seed": problem.seed + restart, "verbose": -9}
        search = cma.CMAEvolutionStrategy(problem.start_mean(rng), sigma, options)
        problem.favorite = lambda search=search: search.result.xfavorite
        while not search.stop():
            genomes = search.ask()
            search.tell(genomes, (-problem.evaluate(np.stack(genomes))).tolist())


def cmaes_sep(problem: Problem) -> None:
    """The SepCMA of `cmaes`."""
    from cmaes import SepCMA

    rng = problem.rng()
    bounds = np.tile([-problem.limit, problem.limit], (problem.dimension, 1))
    for restart in itertools.count():
        search = SepCMA(
            mean=problem.start_mean(rng), sigma=problem.sigma, bounds=bounds, seed=problem.seed + restart
        )
        problem.favorite = partial(getattr, search, "mean")
        while not search.should_stop():
            genomes = [search.ask() for _ in range(search.population_size)]
            fitness = problem.evaluate(np.stack(genomes))
            search.tell([(g, -float(f)) for g, f in zip(genomes, fitness, strict=True)])


def pymoo_ga(problem: Problem) -> None:
    """pymoo's genetic algorithm."""
    from pymoo.algorithms.soo.nonconvex.ga import GA

    _pymoo(problem, GA(pop_size=48, sampling=problem.start_population(problem.rng(), 48)))


def pymoo_de(problem: Problem) -> None:
    """pymoo's differential evolution."""
    from pymoo.algorithms.soo.nonconvex.de import DE

    start = problem.start_population(problem.rng(), 48)
    _pymoo(
        problem,
        DE(pop_size=48, sampling=start, variant="DE/rand/1/bin", CR=0.3, dither="vector", jitter=False),
    )


def _pymoo(problem: Problem, algorithm: Any) -> None:
    from pymoo.core.problem import Problem as PymooProblem
    from pymoo.optimize import minimize

    class Masks(PymooProblem):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(n_var=problem.dimension, n_obj=1, xl=-problem.limit, xu=problem.limit)

        def _evaluate(self, x: Doubles, out: dict[str, Any], *_: Any, **__: Any) -> None:
            out["F"] = -problem.evaluate(x)[:, None]

    minimize(Masks(), algorithm, ("n_gen", 10**6), seed=problem.seed, verbose=False)


def evotorch_snes(problem: Problem) -> None:
    """EvoTorch's SNES."""
    _evotorch(problem, "SNES")


def evotorch_xnes(problem: Problem) -> None:
    """EvoTorch's XNES."""
    _evotorch(problem, "XNES")


def _evotorch(problem: Problem, name: str) -> None:
    import torch
    from evotorch import Problem as TorchProblem
    from evotorch import algorithms
    from evotorch.decorators import vectorized

    @vectorized  # type: ignore[untyped-decorator]
    def score(genomes: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(problem.evaluate(np.asarray(genomes.tolist())).astype(np.float32))

    stated = TorchProblem(
        "max",
        score,
        solution_length=problem.dimension,
        initial_bounds=(-problem.limit, problem.limit),
        seed=problem.seed,
    )
    center = torch.from_numpy(problem.start_mean(problem.rng()).astype(np.float32))
    searcher = getattr(algorithms, name)(stated, stdev_init=problem.sigma, center_init=center)
    problem.favorite = lambda: np.asarray(searcher.status["center"].tolist())
    while True:
        searcher.step()


# pygmo copies what it is given; what must not be copied lies here.
_AT_WORK: dict[str, Problem] = {}
_FAILED: list[BaseException] = []


class _PygmoMasks:
    def fitness(self, x: Doubles) -> list[float]:
        return [-float(_AT_WORK["pygmo"].evaluate(x[None])[0])]

    def get_bounds(self) -> tuple[list[float], list[float]]:
        p = _AT_WORK["pygmo"]
        return [-p.limit] * p.dimension, [p.limit] * p.dimension


class _PygmoBatch:
    """All genomes of a generation at once, in one tensor."""

    def __call__(self, _: Any, flat: Doubles) -> NDArray[np.float64]:
        p = _AT_WORK["pygmo"]
        try:
            return -p.evaluate(flat.reshape(-1, p.dimension))
        except BaseException as error:
            _FAILED.append(error)  # pygmo tells its text only
            raise


class _InTurn:
    """An island that evolves in the thread it is called in."""

    def run_evolve(self, algorithm: Any, population: Any) -> tuple[Any, Any]:
        return algorithm, algorithm.evolve(population)


def pygmo_archipelago(problem: Problem) -> None:
    """pygmo's archipelago of particle swarms."""
    import pygmo

    _AT_WORK["pygmo"] = problem
    _FAILED.clear()
    pygmo.set_global_rng_seed(problem.seed)
    rng, stated, batch = problem.rng(), pygmo.problem(_PygmoMasks()), pygmo.bfe(_PygmoBatch())
    islands = pygmo.archipelago(t=pygmo.ring())
    for k in range(4):
        swarm = pygmo.pso_gen(gen=5, seed=problem.seed + k)
        swarm.set_bfe(batch)
        people = pygmo.population(stated, 0, seed=problem.seed + k)
        genomes = problem.start_population(rng, problem.population)
        for genome, f in zip(genomes, problem.evaluate(genomes), strict=True):
            people.push_back(genome, [-float(f)])
        islands.push_back(algo=pygmo.algorithm(swarm), pop=people, udi=_InTurn())
    while True:
        for k in range(4):
            islands[k].evolve(1)
            try:
                islands[k].wait_check()
            except (RuntimeError, ValueError):
                if _FAILED:
                    raise _FAILED[0] from None
                raise


def ribs_cma_me(problem: Problem) -> None:
    """CMA-ME of pyribs."""
    from ribs.archives import GridArchive
    from ribs.emitters import EvolutionStrategyEmitter
    from ribs.schedulers import Scheduler

    rng = problem.rng()
    archive = GridArchive(
        solution_dim=problem.dimension,
        dims=[20, 20],
        ranges=[(-0.5, 0.5), (0.0, problem.limit**2 / 2)],
        qd_score_offset=-20.0,
        seed=problem.seed,
    )
    emitters = [
        EvolutionStrategyEmitter(
            archive,
            x0=problem.start_mean(rng),
            sigma0=problem.sigma,
            ranker="2imp",
            batch_size=18,
            seed=problem.seed + k,
        )
        for k in range(5)
    ]
    scheduler = Scheduler(archive, emitters)
    while True:
        genomes = scheduler.ask()
        measures = np.stack([genomes.mean(axis=1), (genomes**2).mean(axis=1)], axis=1)
        scheduler.tell(problem.evaluate(genomes), measures)
