"""The best masks of a run: how they are kept between checkpoints, and who of them is an elite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.storage.codec import decode, encode

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Ranked:
    """A mask scored on the run's one ranking view set. fitness: on that set. pinned: always an elite."""

    id: str
    island: int
    generation: int
    genome: Float
    fitness: float
    values: Float
    flipped: float
    pinned: bool = False


def best_of_each_island(ranked: Sequence[Ranked], count: int) -> list[Ranked]:
    """At most ``count`` masks of each island, equal genomes once: pinned ones, then by ranking fitness."""
    kept: list[Ranked] = []
    seen: set[tuple[int, bytes]] = set()
    taken: dict[int, int] = {}
    for mask in sorted(ranked, key=lambda r: (not r.pinned, -r.fitness, r.id)):
        key = (mask.island, mask.genome.tobytes())
        if key not in seen and taken.get(mask.island, 0) < count:
            seen.add(key)
            taken[mask.island] = taken.get(mask.island, 0) + 1
            kept.append(mask)
    return kept


def choose_elites(ranked: Sequence[Ranked], count: int) -> list[Ranked]:
    """``count`` masks: pinned ones, every island's best (a line-up shows different faces), then the rest."""
    first: list[Ranked] = []
    rest: list[Ranked] = []
    islands: set[int] = set()
    pinned = [mask for mask in ranked if mask.pinned]
    for mask in sorted((r for r in ranked if not r.pinned), key=lambda r: (-r.fitness, r.id)):
        (rest if mask.island in islands else first).append(mask)
        islands.add(mask.island)
    chosen = (pinned + first + rest)[:count]
    return sorted(chosen, key=lambda r: (-r.fitness, r.id))


def encode_ranked(ranked: Sequence[Ranked]) -> bytes:
    """The run's best masks as checkpoint bytes."""
    arrays: dict[str, Any] = {}
    if ranked:
        arrays["genomes"] = np.stack([r.genome for r in ranked])
        arrays["values"] = np.stack([r.values for r in ranked])
    rows = [[r.id, r.island, r.generation, r.fitness, r.flipped] for r in ranked]
    pinned = [r.id for r in ranked if r.pinned]
    return encode(arrays, {"ranked": rows, **({"pinned": pinned} if pinned else {})})


def decode_ranked(data: bytes, where: str) -> list[Ranked]:
    """The masks of :func:`encode_ranked`. :raises CorruptData: for damaged bytes."""
    arrays, meta = decode(data, where)
    return [
        Ranked(
            *(name, island, generation, arrays["genomes"][k], fit, arrays["values"][k], flipped),
            pinned=name in meta.get("pinned", ()),
        )
        for k, (name, island, generation, fit, flipped) in enumerate(meta["ranked"])
    ]
