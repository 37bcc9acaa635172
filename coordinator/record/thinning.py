"""Which masks a run keeps a row of, where it does not keep all: 866 bytes a genome drown a large record.

What people are told of a run rests on some of its masks: their rows always stay. These are the fittest of
each island's generation (curves, film and lineage follow them), those that were ranked at an epoch's end
(elites and emigrants are among them), those that the archive holds at that time, and migrants where they
arrive. Of the others there is a tally in the file, so that counts and medians are those of all masks.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from coordinator.spec.recording import one_in
from services.wire.plan import STATUS_NAMES

if TYPE_CHECKING:
    from coordinator.search.island import Generation

_MASK = re.compile(r"i(\d+)-g\d+-\d+")


@dataclass(frozen=True)
class Tally:
    """What one generation of one island came to. statuses: how many masks by status. views: scored ones.
    median: of the fitness, None where no mask has any.
    """

    island: int
    generation: int
    statuses: Mapping[str, int]
    views: int
    median: float | None


def tally_of(generation: Generation) -> Tally:
    """Of all masks of a generation."""
    scores, fitness = generation.scores, generation.result.fitness
    known = fitness[np.isfinite(fitness)].astype(np.float64)
    return Tally(
        *(generation.island, generation.number),
        dict(Counter(STATUS_NAMES[status] for status in scores.status.tolist())),
        int(scores.measured.sum()) * scores.coverage.shape[1],
        float(np.median(known)) if len(known) else None,
    )


def encoded(tallies: Sequence[Tally]) -> bytes:
    """As the metadata of a file has them."""
    return json.dumps([list(asdict(tally).values()) for tally in tallies]).encode()


def decoded(data: bytes) -> list[Tally]:
    """The inverse of :func:`encoded`. Raises ValueError or TypeError where it is none."""
    return [Tally(*row) for row in json.loads(data)]


def kept(generation: Generation, which: str, told: Set[str]) -> NDArray[np.bool_]:
    """Which rows (n,) of a generation stay.

    :param which: ``accepted`` or ``1 in N``. told: ids of masks that must stay.
    """
    result, scored, ids = generation.result, generation.scored, generation.ids
    n, every = len(ids), one_in(which)
    if every is None:
        wanted = scored & (result.values > 0).all(axis=1)
    else:
        wanted = (generation.number * n + np.arange(n)) % every == 0
    wanted = wanted | np.array([name in told for name in ids], np.bool_)
    wanted |= np.array([_from_elsewhere(parents, generation.island) for parents in generation.parents])
    finite = np.isfinite(result.fitness)
    if finite.any():
        wanted[int(np.argmax(np.where(finite, result.fitness, -np.inf)))] = True
    return np.asarray(wanted, np.bool_)


def _from_elsewhere(parents: tuple[str, ...], island: int) -> bool:
    found = _MASK.fullmatch(parents[0]) if len(parents) == 1 else None
    return found is not None and int(found[1]) != island
