"""Where batches, scores, failures and reference embeddings lie in a run's store."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from services.errors import CorruptData
from services.storage.store import ObjectMissing, Store

MAX_ATTEMPTS = 3  # a batch whose scoring failed so often is set aside


def batch_key(batch: str) -> str:
    """Store key of a batch object."""
    return f"batches/{batch}"


def scores_key(batch: str) -> str:
    """Store key of a batch's scores."""
    return f"scores/{batch}"


def left_to_do(run: Store, batch: str) -> bytes | Literal["known", "gone"]:
    """The bytes of a batch without scores; "known" where it has some, "gone" where there is no such batch."""
    if run.exists(scores_key(batch)):
        return "known"
    try:
        return run.get(batch_key(batch))
    except ObjectMissing:
        return "gone"


def failure_key(batch: str, attempt: int) -> str:
    """Store key of one failed attempt at a batch."""
    return f"failures/{batch}/{attempt}.json"


def failure_prefix(batch: str) -> str:
    """What the keys of a batch's failed attempts begin with."""
    return f"failures/{batch}/"


def record_failure(run: Store, batch: str, trace: str) -> None:
    """Write a failed attempt under the first free number."""
    attempt = 1
    while not run.create(failure_key(batch, attempt), json.dumps({"traceback": trace}).encode()):
        attempt += 1


def attempts(run: Store, batch: str) -> int:
    """How often scoring this batch has failed."""
    return len(run.list(failure_prefix(batch)))


def failures(run: Store) -> dict[str, list[str]]:
    """Keys of all failed attempts, by batch."""
    found: dict[str, list[str]] = {}
    for key in run.list("failures/"):
        found.setdefault(key.split("/")[1], []).append(key)
    return found


def given_up(run: Store) -> set[str]:
    """Batches that failed too often and are set aside; their masks were not scored."""
    return {batch for batch, keys in failures(run).items() if len(keys) >= MAX_ATTEMPTS}


def last_words(run: Store, batch: str) -> str:
    """What the newest failed attempt at a batch ended with, as one line."""
    keys = run.list(failure_prefix(batch))
    trace = failure_trace(run, newest(keys)) if keys else ""
    return (trace.strip().splitlines() or ["nothing"])[-1][:500]


def newest(keys: Sequence[str]) -> str:
    """Of the keys of a batch's failed attempts the last."""
    return max(keys, key=lambda key: (len(key), key))  # .../2.json, .../10.json


def failure_trace(run: Store, key: str) -> str:
    """The traceback of one failed attempt."""
    try:
        return str(json.loads(run.get(key))["traceback"])
    except (ObjectMissing, ValueError, KeyError, TypeError):
        return f"{key} cannot be read"


def target_key(key: str) -> str:
    """Store key of reference embeddings."""
    return f"targets/{key}.npz"


def read_target(run: Store, key: str) -> NDArray[np.float32]:
    """Reference embeddings float32 (photos, 128). :raises CorruptData: if they are gone or not as written."""
    where = f"{run.url}/{target_key(key)}"
    try:
        data = run.get(target_key(key))
    except ObjectMissing:
        raise CorruptData(
            f"{where}: the reference embeddings are missing; they may have been erased"
        ) from None
    if hashlib.sha256(data).hexdigest() != key:
        raise CorruptData(f"{where}: the bytes do not match their hash; start a new run from the photo")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return np.array(arrays["embeddings"], np.float32)


def write_target(run: Store, embeddings: NDArray[np.float32]) -> str:
    """Store reference embeddings float32 (photos, 128) under the hash of their bytes; returns the key."""
    buffer = io.BytesIO()
    np.savez(buffer, embeddings=np.asarray(embeddings, np.float32))
    key = hashlib.sha256(buffer.getvalue()).hexdigest()
    run.put(target_key(key), buffer.getvalue())
    return key
