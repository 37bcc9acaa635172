"""The best masks of a run, and who of them is an elite."""

from __future__ import annotations

from collections.abc import Sequence

from services.wire.mask import Mask


def best_of_each_island(ranked: Sequence[Mask], count: int) -> list[Mask]:
    """At most ``count`` masks of each island, equal genomes once: pinned ones, then by ranking fitness."""
    kept: list[Mask] = []
    seen: set[tuple[int, bytes]] = set()
    taken: dict[int, int] = {}
    for mask in sorted(ranked, key=lambda r: (not r.pinned, -r.fitness, r.id)):
        key = (mask.island, mask.genome.tobytes())
        if key not in seen and taken.get(mask.island, 0) < count:
            seen.add(key)
            taken[mask.island] = taken.get(mask.island, 0) + 1
            kept.append(mask)
    return kept


def choose_elites(ranked: Sequence[Mask], count: int) -> list[Mask]:
    """``count`` masks: pinned ones, every island's best (a line-up shows different faces), then the rest."""
    first: list[Mask] = []
    rest: list[Mask] = []
    islands: set[int] = set()
    pinned = [mask for mask in ranked if mask.pinned]
    for mask in sorted((r for r in ranked if not r.pinned), key=lambda r: (-r.fitness, r.id)):
        (rest if mask.island in islands else first).append(mask)
        islands.add(mask.island)
    chosen = (pinned + first + rest)[:count]
    return sorted(chosen, key=lambda r: (-r.fitness, r.id))
