"""What the best masks of each epoch got on the run's ranking views: the same views all along, so that one
epoch's numbers can be held against another's. A generation's own cannot: some views are easier than others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coordinator.record.record import Head, Record, ranking_key
from services.numbers import finite
from services.storage.store import ObjectMissing
from services.wire.mask import Mask

FORMAT = 1


@dataclass(frozen=True)
class Ranked:
    """One mask of a ranking. values: of the objectives, in the run's order; nan for none."""

    id: str
    island: int
    fitness: float
    values: tuple[float, ...]


@dataclass(frozen=True)
class Ranking:
    """One epoch's. views: that were scored for it."""

    masks: tuple[Ranked, ...]
    views: int


def encode_ranking(masks: Sequence[Mask], views: int) -> bytes:
    """JSON bytes of one epoch's masks as they were ranked, and under how many views in all."""
    rows = [[m.id, m.island, finite(m.fitness, 6), [finite(v, 6) for v in m.values]] for m in masks]
    return json.dumps({"format": FORMAT, "views": views, "masks": rows}, allow_nan=False).encode()


class Rankings:
    """Reads a run's. What was read once is kept: it never changes."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._read: dict[int, Ranking] = {}

    def until(self, head: Head) -> Mapping[int, Ranking]:
        """By epoch, of those that are committed; {} where the record lacks any: runs of earlier versions."""
        for epoch in range(head.epoch + 1 if head.parts else 0):
            if epoch not in self._read:
                found = self._of(epoch)
                if found is None:
                    return {}
                self._read[epoch] = found
        return self._read

    def _of(self, epoch: int) -> Ranking | None:
        try:
            told: dict[str, Any] = json.loads(self._record.store.get(ranking_key(epoch)))
            masks = [
                Ranked(name, int(island), float(fitness), tuple(math.nan if v is None else v for v in values))
                for name, island, fitness, values in told["masks"]
            ]
            return Ranking(tuple(masks), int(told["views"]))
        except (ObjectMissing, ValueError, KeyError, TypeError):  # a page goes without it
            return None
