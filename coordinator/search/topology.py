"""Who sends migrants to whom, and which genomes travel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.errors import BadInput

TOPOLOGIES = ("ring", "full", "none")
SELECTIONS = ("best", "random")


def sources(topology: str, island: int, count: int) -> tuple[int, ...]:
    """The islands whose migrants `island` takes, in ascending order; never itself.

    :param topology: "ring": the island before it; "full" (or "fully-connected"): all others; "none".
    :param island: 0 to count - 1.
    :param count: islands of the run.
    :raises BadInput: there is no such topology.
    :raises ValueError: there is no such island.
    """
    if not 0 <= island < count:
        raise ValueError(f"island: expected 0 to {count - 1}, got {island}")
    if topology == "ring":
        before = (island - 1) % count
        return (before,) if before != island else ()
    if topology in ("full", "fully-connected"):
        return tuple(other for other in range(count) if other != island)
    if topology == "none":
        return ()
    raise BadInput(f"migration.topology: unknown {topology!r}; expected one of {', '.join(TOPOLOGIES)}")


def receivers(topology: str, island: int, count: int) -> tuple[int, ...]:
    """The islands that take migrants of `island`, in ascending order; the rest is as in `sources`."""
    if topology == "ring":
        after = (island + 1) % count
        return (after,) if after != island else ()
    return sources(topology, island, count)  # whoever takes from all, all take from


def migrant_rows(
    genomes: NDArray[Any],
    fitness: NDArray[Any],
    count: int,
    select: str,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Rows of the genomes that leave as migrants (copies: they stay at home too).

    A genome that could not be scored never travels, and of equal genomes only the fittest does, so that fewer
    than `count` may come out.

    :param genomes: (n, d).
    :param fitness: (n,) larger is better; not finite where a genome could not be scored.
    :param count: how many.
    :param select: "best": the fittest, best first, earlier rows before later ones among equals; "random".
    :param rng: used by "random" alone.
    :raises BadInput: there is no such selection.
    :raises ValueError: the shapes do not fit, or `count` is negative.
    """
    if genomes.ndim != 2 or fitness.shape != genomes.shape[:1]:
        raise ValueError(f"fitness: expected one value a genome, got {fitness.shape} for {genomes.shape}")
    if count < 0:
        raise ValueError(f"count: expected 0 or more, got {count}")
    order = np.argsort(-fitness.astype(np.float64), kind="stable")
    order = order[np.isfinite(fitness[order])]
    # unique gives the first of equal rows, and rows come best first.
    fittest: NDArray[np.int64] = order[np.sort(np.unique(genomes[order], axis=0, return_index=True)[1])]
    if select == "best":
        return fittest[:count]
    if select == "random":
        return rng.permutation(fittest)[:count]
    raise BadInput(f"migration.select: unknown {select!r}; expected one of {', '.join(SELECTIONS)}")
