"""Whether an S3 server keeps a store's promises: of racing conditional writes exactly one may win.

Servers that do not know `If-None-Match` or `If-Match` on a put ignore them: everybody wins, and two
coordinators would overwrite each other's record without a word. So a store is tried before it is used.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from services.errors import DatamaskError, Unavailable
from services.storage.store import Store

RACERS = 6


def probe(store: Store, endpoint: str) -> None:
    """Race writers for a fresh key, then for its replacement; try outdated writes too. Leaves nothing behind.

    :param store: where runs are to be kept.
    :param endpoint: the server's address, for the message.
    :raises BadInput: there is no such bucket.
    :raises Unavailable: the server refuses, cannot be reached, or writes though the condition does not hold.
    """
    key = f"probe-{secrets.token_hex(8)}"
    # One writer alone first: a missing bucket or permission is found, waited for and told once.
    store.put(key, b"datamask")
    try:
        store.delete(key)
        wins = [_race(lambda me: store.create(key, b"first " + me))]
        first = store.read_tagged(key)
        tag = first[1] if first else ""
        # Other bytes than before: a tag follows from the bytes, and would still fit after a win.
        wins.append(_race(lambda me: store.replace(key, b"second " + me, tag)))
        late = store.create(key, b"late") or store.replace(key, b"late", tag)
    finally:
        # What went wrong before is what the user must hear.
        with contextlib.suppress(DatamaskError):
            store.delete(key)
    if wins != [1, 1] or late:
        raise Unavailable(
            f"store {store.url}: {endpoint} does not keep to If-None-Match and If-Match "
            f"({wins[0]} and {wins[1]} of {RACERS} writers won where 1 may, "
            f"a late one {'won too' if late else 'lost'}); "
            "runs would overwrite each other: use a server with conditional writes (docs/stores.md)"
        )


def _race(write: Callable[[bytes], bool]) -> int:
    """How many of some writers that start together win."""
    start = threading.Barrier(RACERS)

    def run(me: int) -> bool:
        start.wait()
        return write(b"writer %d" % me)

    with ThreadPoolExecutor(RACERS) as pool:
        return sum(pool.map(run, range(RACERS)))
