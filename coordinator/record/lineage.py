"""Where a mask comes from: its line back to noise, told from the evaluations table.

A bred mask has one or two parents. A mask that CMA drew has none: its parent is a distribution, and what
shaped
that distribution is the generation before it. The fittest mask of that generation stands in for it, and the
line
says so. Migrants that came in on the way branch off.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

Edge = Literal["elite", "bred", "drawn", "migrated", "noise"]

LONGEST_LINE = 9
MOST_BRANCHES = 8

_MASK = re.compile(r"i(\d+)-g(\d+)-(\d+)")
_DISTRIBUTION = re.compile(r"i(\d+)-g(\d+)")


@dataclass(frozen=True)
class Birth:
    """What the table says of one mask. parents: ids of masks, of one distribution (``i03-g0040``), or
    none.
    """

    id: str
    island: int
    generation: int
    fitness: float
    parents: tuple[str, ...]


@dataclass(frozen=True)
class Ancestor:
    """One node of a family tree.

    child: id of the node that it leads to (empty for the mask itself). edge: how it leads there: ``bred`` (a
    parent), ``drawn`` (it stands in for the distribution that the child was drawn from), ``migrated`` (it
    came to the child's island). trunk: on the main line. noise: nothing comes before it. skipped: generations
    between it and its child that are not shown.
    """

    id: str
    island: int
    generation: int
    fitness: float
    child: str
    edge: Edge
    trunk: bool
    noise: bool = False
    skipped: int = 0


class Births:
    """Every mask of a run by id, and the fittest of each generation of each island, where any was scored."""

    def __init__(self, births: Iterable[Birth]) -> None:
        self.by_id: dict[str, Birth] = {}
        self.fittest: dict[tuple[int, int], Birth] = {}
        self.arrivals: dict[int, list[Birth]] = {}
        for birth in births:
            self.by_id[birth.id] = birth
            place = (birth.island, birth.generation)
            held = self.fittest.get(place)
            if math.isfinite(birth.fitness) and (held is None or birth.fitness > held.fitness):
                self.fittest[place] = birth
            if origin(birth) is not None:
                self.arrivals.setdefault(birth.island, []).append(birth)


def origin(birth: Birth) -> str | None:
    """The id on its home island of a mask that is a migrant here, else None."""
    if len(birth.parents) == 1 and (match := _MASK.fullmatch(birth.parents[0])):
        return birth.parents[0] if int(match[1]) != birth.island else None
    return None


def family_tree(births: Births, mask: str) -> list[Ancestor]:
    """The mask first, then its main line back to noise with what branches off it; [] for an unknown id.

    A long line is thinned out evenly to ``LONGEST_LINE`` masks; ``skipped`` says by how many generations.
    """
    start = births.by_id.get(mask)
    if start is None:
        return []
    line = _thinned(list(_line(births, start)))
    tree = list(line)
    for node in line:
        tree += _branches(births, node, line)
    return tree


def _line(births: Births, start: Birth) -> Iterable[Ancestor]:
    birth, child, edge = start, "", "elite"
    seen = set()
    while birth.id not in seen:
        seen.add(birth.id)
        following = _before(births, birth)
        last = following is None
        yield _node(birth, child, edge, trunk=True, noise=last and not birth.parents)
        if following is None:
            return
        child, (birth, edge) = birth.id, following


def _before(births: Births, birth: Birth) -> tuple[Birth, str] | None:
    """What comes before a mask on the main line: the migrant at home, the fitter parent, the distribution."""
    if origin(birth) is not None:
        home = births.by_id.get(birth.parents[0])
        return None if home is None else (home, "migrated")
    parents = [births.by_id[p] for p in birth.parents if p in births.by_id]
    if parents:
        return max(parents, key=lambda p: (p.fitness, p.id)), "bred"
    for parent in birth.parents:
        if match := _DISTRIBUTION.fullmatch(parent):
            island, newest = int(match[1]), int(match[2])
            for generation in range(newest, -1, -1):  # of one that could not be scored there is no fittest
                if (stand_in := births.fittest.get((island, generation))) is not None:
                    return _of_distribution(stand_in), "drawn"
            return None
    return None


def _of_distribution(stand_in: Birth) -> Birth:
    """A distribution's own past is the generation before, even where its fittest mask came from elsewhere."""
    before = stand_in.generation - 1
    return replace(stand_in, parents=(f"i{stand_in.island:02d}-g{before:04d}",) if before >= 0 else ())


def _branches(births: Births, node: Ancestor, line: list[Ancestor]) -> Iterable[Ancestor]:
    """The other parent of a bred mask; migrants that came to the island since the node before."""
    birth = births.by_id[node.id]
    on_line = {other.id for other in line}
    if origin(birth) is None:
        for parent in birth.parents:
            other = births.by_id.get(parent)
            if other is not None and other.id not in on_line:
                yield _node(other, node.id, "bred", trunk=False)
    before = next((other for other in line if other.child == node.id), None)
    if before is None or before.edge != "drawn":
        return
    # Those of the child's generation came after the distribution was made; they belong to what comes next.
    came = [
        arrival
        for arrival in births.arrivals.get(node.island, ())
        if before.generation <= arrival.generation < node.generation
    ]
    most = max(1, MOST_BRANCHES // max(len(line) - 1, 1))
    for arrival in sorted(came, key=lambda a: (-a.fitness, a.id))[:most]:
        home = births.by_id.get(arrival.parents[0])
        if home is not None and home.id not in on_line:
            into = arrival.id if arrival.id in on_line else before.id
            yield _node(home, into, "migrated", trunk=False)


def _node(birth: Birth, child: str, edge: str, *, trunk: bool, noise: bool = False) -> Ancestor:
    return Ancestor(
        birth.id,
        birth.island,
        birth.generation,
        birth.fitness,
        child,
        edge,  # type: ignore[arg-type]
        trunk,
        noise,
    )


def _thinned(line: list[Ancestor]) -> list[Ancestor]:
    count = len(line)
    if count <= LONGEST_LINE:
        return line
    kept = sorted({round(k * (count - 1) / (LONGEST_LINE - 1)) for k in range(LONGEST_LINE)})
    # A change of island is part of the story: what leads into it stays.
    kept = sorted({*kept, *(k for k, node in enumerate(line) if node.edge == "migrated")})
    thinned = []
    for place, k in enumerate(kept):
        node = line[k]
        if place:
            earlier = line[kept[place - 1]]
            node = replace(node, child=earlier.id, skipped=k - kept[place - 1] - 1)
        thinned.append(node)
    return thinned


def moves(births: Mapping[str, Birth]) -> list[tuple[int, int, int, str]]:
    """Every migration: (from island, to island, generation of arrival, the migrant's id at home)."""
    found = []
    for birth in births.values():
        home = origin(birth)
        match = _MASK.fullmatch(home) if home else None
        if home and match:
            found.append((int(match[1]), birth.island, birth.generation, home))
    return sorted(found)
