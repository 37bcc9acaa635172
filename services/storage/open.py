"""Opening a store from what people write."""

from __future__ import annotations

from pathlib import Path

from services.storage.place import Bucket, parse_place
from services.storage.store import Store


def open_store(url: str | Path, *, write: bool = False, patience_s: float | None = None) -> Store:
    """Open the store at `url`: a path (`~` allowed), a file:// URL or s3://bucket/prefix.

    :param url: where. A folder need not exist yet; writing makes it. A bucket must exist.
    :param write: make the folder, and try whether the place keeps a store's promises.
    :param patience_s: how long a server that does not answer is waited for; None: a minute.
    :raises BadInput: the URL cannot be used, or there is no such bucket.
    :raises Unavailable: with `write`, the place cannot be reached or written to, or breaks a store's
        promises.
    """
    place = parse_place(str(url))
    if isinstance(place, Bucket):
        from services.storage.s3 import open_s3  # boto3 takes a while to load; runs in folders do without

        return open_s3(place.name, place.prefix, write, patience_s)
    from services.storage.local import LocalStore

    store = LocalStore(place.path)
    if write:
        store.probe()
    return store
