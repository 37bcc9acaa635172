"""Masks that a run starts from, keeps, or keeps out: chosen by hand from another run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.errors import CorruptData
from services.storage.codec import decode, encode
from services.storage.store import ObjectMissing, Store

Float = NDArray[np.float32]
KEY = "parents"


@dataclass(frozen=True)
class Breeding:
    """Genomes float32 (k, d) to start from, pinned ones (p, d) and vetoed ones (v, d).

    veto_distance: masks within it of a vetoed one are kept out with it, as root mean square difference of
    their weights. Children of one mean lie about 0.7 apart at the usual step of 0.5, draws of noise 1.7.
    """

    masks: Float
    pinned: Float
    vetoed: Float
    veto_distance: float

    def encoded(self) -> bytes:
        """Bytes for the run's store."""
        arrays = {"masks": self.masks, "pinned": self.pinned, "vetoed": self.vetoed}
        return encode(arrays, {"veto_distance": self.veto_distance})

    def within(self, limit: float) -> Breeding:
        """The same with every weight in [-limit, limit], as a search with that limit holds its masks."""

        def cut(masks: Float) -> Float:
            return np.asarray(np.clip(masks, -limit, limit), np.float32)

        return Breeding(cut(self.masks), cut(self.pinned), cut(self.vetoed), self.veto_distance)

    def keep(self) -> Float:
        """Pinned masks that are not among those to start from, (m, d)."""
        known = {mask.tobytes() for mask in self.masks}
        rows = [k for k, mask in enumerate(self.pinned) if mask.tobytes() not in known]
        return self.pinned[rows]

    def is_pinned(self, genomes: Float) -> NDArray[np.bool_]:
        """Which of genomes (n, d) are pinned masks, bit for bit, (n,)."""
        known = {mask.tobytes() for mask in self.pinned}
        return np.array([np.ascontiguousarray(g, np.float32).tobytes() in known for g in genomes], np.bool_)

    def is_vetoed(self, genomes: Float) -> NDArray[np.bool_]:
        """Which of genomes (n, d) lie within the veto distance of a vetoed mask, (n,). Pinned ones never."""
        out = np.zeros(len(genomes), np.bool_)
        for mask in self.vetoed:
            apart = genomes.astype(np.float64) - mask.astype(np.float64)
            out |= np.sqrt((apart**2).mean(axis=1)) <= self.veto_distance
        return out & ~self.is_pinned(genomes)


def decoded(data: bytes, where: str) -> Breeding:
    """The inverse of :meth:`Breeding.encoded`. :raises CorruptData: for damaged bytes."""
    arrays, meta = decode(data, where)
    try:
        return Breeding(arrays["masks"], arrays["pinned"], arrays["vetoed"], float(meta["veto_distance"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptData(f"{where}: it lacks {error}; restore it from a copy of the run") from None


def read_breeding(store: Store, sha256: str) -> Breeding:
    """What a bred run started from. :raises CorruptData: if it is gone or was changed."""
    where = f"{store.url}/{KEY}"
    try:
        data = store.get(KEY)
    except ObjectMissing:
        raise CorruptData(f"{where}: it is gone; restore it from a copy of the run") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise CorruptData(f"{where}: was changed since the run began; restore it from a copy of the run")
    return decoded(data, where)


def lineage(run: str, ids: Sequence[str], genomes: Float) -> dict[str, Any]:
    """What the manifest says of the masks that a run came from."""
    return {
        "run": run,
        "masks": [
            {
                "id": name,
                "genome_sha256": hashlib.sha256(np.ascontiguousarray(g, "<f4").tobytes()).hexdigest(),
            }
            for name, g in zip(ids, genomes, strict=True)
        ],
    }
