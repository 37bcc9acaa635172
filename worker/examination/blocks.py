"""Where the blocks of a calibration are kept, so that it can be interrupted and gone on with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.errors import BadInput, CorruptData
from services.storage.codec import decode, encode
from services.storage.store import Store

FORMAT = 1
SAME = 2e-3  # largest difference of two probes, in any of an embedding's numbers, that rounding explains


def block_key(number: int) -> str:
    """Store key of one block."""
    return f"blocks/b{number:05d}"


def open_population(place: Store, meta: Mapping[str, Any], probe: NDArray[np.float32]) -> set[int]:
    """The numbers of the blocks that are there already; starts the population where there is none.

    :raises BadInput: where the blocks there are of other people, or were seen by another machine.
    """
    wanted = {"format": FORMAT, **meta, "probe": [round(float(x), 6) for x in probe]}
    # Who is second, though both found nothing, holds to what the first one wrote.
    if place.create("population.json", json.dumps(wanted, indent=1).encode()):
        return set()
    try:
        found = json.loads(place.get("population.json"))
    except ValueError:
        raise CorruptData(f"{place.url}/population.json: damaged; remove the folder to begin anew") from None
    other = [k for k in wanted if k != "probe" and found.get(k) != wanted[k]]
    if not other and not same_probe(found.get("probe", []), wanted["probe"]):
        other = ["alignment or network (the neutral head gets another embedding)"]
    if other:
        raise BadInput(
            f"{place.url}: holds blocks of another calibration (differs in {', '.join(other)}); "
            "remove the folder or give another --out"
        )
    return {int(key.removeprefix("blocks/b")) for key in place.list("blocks/b")}


def same_probe(one: Any, other: Any) -> bool:
    """Whether two probes are of one machine, rounding aside."""
    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
    return a.shape == b.shape and bool(np.abs(a - b).max(initial=0.0) < SAME)


def write_block(place: Store, number: int, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Keep one block."""
    place.create(block_key(number), encode(dict(arrays), {"format": FORMAT}))


def read_block(place: Store, number: int) -> dict[str, NDArray[Any]]:
    """Arrays of one block. :raises CorruptData: if it is damaged."""
    arrays, _ = decode(place.get(block_key(number)), f"{place.url}/{block_key(number)}")
    return arrays
