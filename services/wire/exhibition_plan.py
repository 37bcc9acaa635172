"""What an exhibition is made from: the facts of a run and the genomes of the masks that it shows. Torch-
free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.errors import BadInput, CorruptData
from services.storage.codec import decode, encode

FORMAT = 1
KIND = "exhibit"

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
        meta = {"format": FORMAT, "kind": KIND, "ids": names}
        return encode(arrays, {**meta, "facts": dict(self.facts), "work": dict(self.work)})


def decode_plan(data: bytes, where: str) -> ExhibitionPlan:
    """The plan of :meth:`ExhibitionPlan.encoded`.

    :raises CorruptData: for damaged bytes; :raises BadInput: for a plan of another format.
    """
    arrays, meta = decode(data, where)
    if meta.get("kind") != KIND or meta.get("format") != FORMAT:
        raise BadInput(
            f"{where}: not the plan of an exhibition, format {FORMAT}; "
            "run the same datamask version on coordinator and workers"
        )
    rows = arrays.get("genomes", np.zeros((0, 0), np.float32))
    try:
        return ExhibitionPlan(meta["facts"], dict(zip(meta["ids"], rows, strict=True)), meta["work"])
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptData(f"{where}: the plan cannot be read ({error!r}); remove the object") from None
