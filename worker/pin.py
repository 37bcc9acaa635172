"""One run, one kind of scorer: the first worker of an exact run pins its fingerprint, the others must match.

The pin is an object of the run's store, created once, so that two first workers cannot both win. Torch-free.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from services.errors import CorruptData
from services.storage.store import ObjectMissing, Store

KEY = "fingerprint.json"
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
