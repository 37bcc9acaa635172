"""A mask: one genome with its identity and what is known of it; and how masks are written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.errors import CorruptData
from services.storage.codec import decode, encode

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Mask:
    """One genome float32 (d,).

    :param fitness, values: on the views that it was scored under: the run's ranking views for an elite, its
        generation's for the others. values: float32 (objectives,), in the order of the run's objectives.
    :param flipped: share of its area that is folded over.
    :param pinned: whether it is an elite whatever comes.
    :param start: the generation in which its island began to search for the face that it is; 0 also where
        islands do not look for several.
    :param cell, measures: its place in the run's archive and the measures (k,) that put it there; None and
        empty where no archive holds it.
    """

    id: str
    island: int
    generation: int
    genome: Float
    fitness: float
    values: Float
    flipped: float
    pinned: bool = False
    start: int = 0
    cell: int | None = None
    measures: tuple[float, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether every objective's margin is positive."""
        return bool((self.values > 0).all())

    @property
    def rank(self) -> tuple[bool, float]:
        """What decides who stays in a cell of an archive."""
        return self.accepted, self.fitness


def pack(masks: Sequence[Mask]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Arrays and JSON values of masks, but for their places in an archive."""
    arrays: dict[str, NDArray[Any]] = {}
    if masks:
        arrays["genomes"] = np.stack([m.genome for m in masks])
        arrays["values"] = np.stack([m.values for m in masks])
    rows = [[m.id, m.island, m.generation, m.fitness, m.flipped] for m in masks]
    pinned = [m.id for m in masks if m.pinned]
    starts = {m.id: m.start for m in masks if m.start}
    return arrays, {
        "ranked": rows,
        **({"pinned": pinned} if pinned else {}),
        **({"starts": starts} if starts else {}),
    }


def unpack(arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> list[Mask]:
    """The inverse of :func:`pack`. Raises LookupError, TypeError and their kin where something is missing."""
    return [
        Mask(
            *(name, island, generation, arrays["genomes"][k], fitness, arrays["values"][k], flipped),
            pinned=name in meta.get("pinned", ()),
            start=meta.get("starts", {}).get(name, 0),
        )
        for k, (name, island, generation, fitness, flipped) in enumerate(meta["ranked"])
    ]


def encode_masks(masks: Sequence[Mask]) -> bytes:
    """Masks as one object of a store."""
    return encode(*pack(masks))


def decode_masks(data: bytes, where: str) -> list[Mask]:
    """The masks of :func:`encode_masks`. :raises CorruptData: for damaged bytes."""
    try:
        return unpack(*decode(data, where))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise CorruptData(f"{where}: its masks cannot be read ({error!r}); restore it from a copy") from None
