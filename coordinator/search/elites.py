"""The best masks of a run, and who of them is an elite."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from services.wire.mask import Mask


def best_of_each_start(ranked: Sequence[Mask], count: int) -> list[Mask]:
    """At most ``count`` masks of each start of each island, equal genomes once: pinned ones, then by ranking
    fitness.
    """
    kept: list[Mask] = []
    seen: set[tuple[int, bytes]] = set()
    taken: Counter[tuple[int, int]] = Counter()
    for mask in sorted(ranked, key=lambda r: (not r.pinned, -r.fitness, r.id)):
        key, start = (mask.island, mask.genome.tobytes()), (mask.island, mask.start)
        if key not in seen and taken[start] < count:
            seen.add(key)
            taken[start] += 1
            kept.append(mask)
    return kept


def choose_elites(ranked: Sequence[Mask], count: int) -> list[Mask]:
    """``count`` masks: pinned ones, the best of every start (a line-up shows different faces), then the rest.

    A start that was to find one more face and has not arrived yet shows nothing. A mask that islands share,
    for it migrated and moved no gene there, is shown once, under the id that it was born with.
    """
    ranked = _once(ranked)
    first: list[Mask] = []
    rest: list[Mask] = []
    starts: set[tuple[int, int]] = set()
    pinned = [mask for mask in ranked if mask.pinned]
    others = [mask for mask in ranked if not mask.pinned and (mask.start == 0 or mask.accepted)]
    for mask in sorted(others, key=lambda r: (-r.fitness, r.id)):
        start = (mask.island, mask.start)
        (rest if start in starts else first).append(mask)
        starts.add(start)
    chosen = (pinned + first + rest)[:count]
    return sorted(chosen, key=lambda r: (-r.fitness, r.id))


def _once(ranked: Sequence[Mask]) -> list[Mask]:
    """Of equal genomes the pinned one, or the first that was born."""
    first: dict[bytes, Mask] = {}
    for mask in sorted(ranked, key=lambda r: (not r.pinned, r.generation, r.island, r.id)):
        first.setdefault(mask.genome.tobytes(), mask)
    return list(first.values())
