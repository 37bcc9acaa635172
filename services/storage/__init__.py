"""The object store that holds the record of every run, and the byte format of what is stored in it.

`store`: the protocol and how a URL becomes a store; `local`: folders on a file system; `s3`: buckets
(`s3_client`: how they are reached, `s3_probe`: whether they keep the promises); `keys`: what a key may
look like; `codec`: arrays and facts to checked bytes and back.
"""

from __future__ import annotations

from services.storage.codec import decode, encode
from services.storage.store import Entry, ObjectMissing, Store, open_store

__all__ = ["Entry", "ObjectMissing", "Store", "decode", "encode", "open_store"]
