"""What an exhibition is made from: the facts of a run and the genomes of the masks that it shows. Torch-
free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.storage.codec import decode, encode

Float = NDArray[np.float32]


@dataclass(frozen=True)
class ExhibitionPlan:
    """facts: JSON values that the page shows, see docs/exhibition.md. genomes: float32 (d,) by mask id.

    work: what only the hanging needs: ``ranges`` of the views, ``held_out_views``, ``audit_seed``, ``target``
    (a key or None), ``thresholds`` by model.
    """

    facts: Mapping[str, Any]
    genomes: Mapping[str, Float]
    work: Mapping[str, Any]

    def encoded(self) -> bytes:
        """Bytes for a store: who hangs the exhibition may sit on another machine."""
        names = sorted(self.genomes)
        arrays = {"genomes": np.stack([self.genomes[n] for n in names])} if names else {}
        return encode(arrays, {"ids": names, "facts": dict(self.facts), "work": dict(self.work)})


def decode_plan(data: bytes, where: str) -> ExhibitionPlan:
    """The plan of :meth:`ExhibitionPlan.encoded`. :raises CorruptData: for damaged bytes."""
    arrays, meta = decode(data, where)
    rows = arrays.get("genomes", np.zeros((0, 0), np.float32))
    return ExhibitionPlan(meta["facts"], dict(zip(meta["ids"], rows, strict=True)), meta["work"])
