"""One run, one kind of scorer: the first worker of an exact run pins its fingerprint, the others must match.

The pin is an object of the run's store, created once, so that two first workers cannot both win.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from services.errors import BadInput, CorruptData
from services.storage.store import ObjectMissing, Store

KEY = "fingerprint.json"
PASSES = "passes"
OF_CUDA = ("cuda", "cudnn", "matmul")  # what a GPU's scorer says besides; earlier versions pinned none of it
# Pinned by earlier versions in its place: how many pictures a pass took, which was never more than a batch.
_IMAGES = "micro_images"
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


def join(run: Store, fingerprint: Mapping[str, str]) -> None:
    """Score for a run: the first scorer pins its fingerprint, every other must have the same.

    :raises Refused: naming the differences.
    """
    held = pinned(run)
    if held is None:
        held = pin(run, fingerprint)
    if held == ANY:
        return
    if _IMAGES in held:
        images = held.pop(_IMAGES)
        # On a CPU the blocks of today give the bits of those passes, on a GPU nobody knows.
        same = held.get("device") == "cpu"
        held[PASSES] = fingerprint[PASSES] if same else f"whole batches of up to {images} pictures"
    held = {**{name: fingerprint[name] for name in OF_CUDA if name in fingerprint}, **held}
    lines = fingerprint_differences(held, fingerprint)
    if lines:
        raise Refused(
            f"{run.url}: this machine scores otherwise than the run's first: {'; '.join(lines)}; "
            "use a machine like that one, or start a run with [run] exact = false"
        )
