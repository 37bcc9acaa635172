"""The optimizers of an island, by name: every one asks and tells in the same way.

`base`: the protocol, what they share, and its checks; one file an algorithm beside it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from coordinator.search.grid import Grid
from coordinator.search.niches import Niches
from coordinator.search.optimizers.base import AskTell, Need, Optimizer, Setup
from coordinator.search.optimizers.cma import Cma
from coordinator.search.optimizers.de import De
from coordinator.search.optimizers.gauss_newton import GaussNewton
from coordinator.search.optimizers.genetic import Genetic
from coordinator.search.optimizers.map_elites import MapElites
from coordinator.search.optimizers.nsga2 import Nsga2
from coordinator.search.optimizers.random_search import RandomSearch
from coordinator.search.optimizers.sep_cma import SepCma
from coordinator.search.optimizers.snes import Snes
from services import plugins
from services.errors import BadInput, Unavailable
from services.shape.symmetry import Symmetry
from services.words import nearest

__all__ = ["GROUP", "OPTIMIZERS", "Need", "Optimizer", "Setup", "known_optimizer", "make_optimizer"]

OPTIMIZERS: dict[str, type[AskTell]] = {
    kind.name: kind for kind in (SepCma, Genetic, RandomSearch, Cma, Snes, De, MapElites, Nsga2, GaussNewton)
}


GROUP: plugins.Group = "datamask.optimizers"


def known_optimizer(name: str) -> type[AskTell] | None:
    """The optimizer of a name: one of ours, or one that an installed package brings, which joins them then.

    :raises Unavailable: where that package is broken.
    """
    if name not in OPTIMIZERS:
        brought = plugins.load(GROUP, name)
        if brought is None:
            return None
        fits = isinstance(brought, type) and issubclass(brought, AskTell)
        if not fits or getattr(brought, "name", None) != name:
            raise Unavailable(f"{GROUP} {name!r}: expected a class of AskTell with name = {name!r}")
        OPTIMIZERS[name] = brought
    return OPTIMIZERS[name]


def make_optimizer(
    name: str,
    dimension: int,
    start: Literal["noise", "neutral"] | ArrayLike,
    population: int,
    seed: np.random.SeedSequence,
    *,
    spread: float = 1.2,
    sigma: float = 0.5,
    limit: float | ArrayLike | None = 3.0,
    keep: ArrayLike | None = None,
    grid: Grid | Niches | None = None,
    aims: int = 0,
    symmetry: Symmetry | None = None,
) -> Optimizer:
    """Make the optimizer called `name` at generation 0.

    :param name: a key of `OPTIMIZERS`.
    :param dimension: genes of a genome.
    :param start: "noise", "neutral", a genome (dimension,) or several (k, dimension) to breed from: see
        :class:`~coordinator.search.optimizers.base.Setup`.
    :param population: genomes of a generation.
    :param seed: the island's own; it is not changed. Equal arguments make equal optimizers.
    :param spread: standard deviation of a gene in noise.
    :param sigma: standard deviation of a gene around a start that is not noise, and around CMA's mean.
    :param limit: genes lie in [-limit, limit]; or (low, high) of each gene, (dimension, 2); or None.
    :param keep: (m, dimension) masks that the first generation holds besides, as they are.
    :param grid: the cells of an archive; map-elites needs it.
    :param aims: how many aims are told beside fitness; nsga2 weighs them.
    :param symmetry: where it is given, left and right change alike; optimizers that look for many kinds of
        masks (:attr:`AskTell.moves_all_genes`) move all genes none the less.
    :raises BadInput: there is no optimizer of that name.
    :raises ValueError: another argument is out of its range; the message names it.
    """
    if name not in OPTIMIZERS:
        raise BadInput(f"search.optimizers: unknown optimizer {name!r}{nearest(name, OPTIMIZERS)}")
    setup = Setup.checked(
        *(dimension, population),
        start=start,
        spread=spread,
        sigma=sigma,
        limit=limit,
        keep=keep,
        grid=grid,
        aims=aims,
    )
    kind = OPTIMIZERS[name]
    if symmetry is not None and not kind.moves_all_genes:
        setup = setup.mirrored(symmetry, seed)
    return kind(setup, seed)
