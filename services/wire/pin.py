"""One run, one kind of scorer: the first worker of an exact run pins its fingerprint, the others must match.

It also pins how many pictures it takes in one pass, and the others take as many.

The pin is an object of the run's store, created once, so that two first workers cannot both win.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from services.errors import BadInput, CorruptData
from services.storage.store import ObjectMissing, Store

KEY = "fingerprint.json"
IMAGES = "micro_images"  # a pass, see passes.py: the first scorer's, not the same on every machine
ANY: Mapping[str, str] = {}  # what a run with [run] exact = false pins: every scorer may join


def pin(run: Store, fingerprint: Mapping[str, str]) -> dict[str, str]:
    """Pin a fingerprint unless there is a pin; returns the one that holds."""
    if run.create(KEY, json.dumps(dict(fingerprint), indent=1, sort_keys=True).encode()):
        return dict(fingerprint)
    return pinned(run) or dict(ANY)


def pinned(run: Store) -> dict[str, str] | None:
    """The pinned fingerprint, empty where every scorer may join; None where nothing is pinned yet.

    :raises CorruptData: if the object cannot be read.
    """
    try:
        return {str(k): str(v) for k, v in json.loads(run.get(KEY)).items()}
    except ObjectMissing:
        return None
    except (ValueError, AttributeError):
        raise CorruptData(f"{run.url}/{KEY}: damaged; restore it from a copy of the run") from None


def fingerprint_differences(wanted: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Lines ``part: run has x, this scorer has y``; empty where both agree."""
    return [
        f"{key}: the run has {wanted.get(key)}, this scorer has {found.get(key)}"
        for key in sorted({*wanted, *found})
        if wanted.get(key) != found.get(key)
    ]


class Refused(BadInput):
    """This scorer would not give the run's own bits."""


def join(run: Store, fingerprint: Mapping[str, str], images: int) -> int:
    """Score for a run: the first scorer pins its fingerprint, every other must have the same.

    images: pictures that this scorer has room for in a pass.
    :returns: how many it is to take.
    :raises Refused: naming the differences, or where there is no room for as many as the run takes.
    """
    held = pinned(run)
    if held is None:
        held = pin(run, {**fingerprint, IMAGES: str(images)})
    if held == ANY:
        return images
    taken = int(held.pop(IMAGES, images))
    lines = fingerprint_differences(held, fingerprint)
    if taken > images:
        lines.append(f"the run takes {taken} pictures a pass, free memory here holds {images}")
    if lines:
        raise Refused(
            f"{run.url}: this machine scores otherwise than the run's first: {'; '.join(lines)}; "
            "use a machine like that one, or start a run with [run] exact = false"
        )
    return taken
