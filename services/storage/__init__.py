"""The object store that holds the record of every run, and the byte format of what is stored in it.

`store`: the protocol; `open`: how a URL becomes a store (`place`: what it names); `local`: folders on a file
system; `s3`: buckets (`s3_client`: how they are reached, `s3_probe`: whether they keep the promises); `keys`:
what a key may look like; `codec`: arrays and facts to checked bytes and back.
"""

from __future__ import annotations

from services.storage.codec import decode, encode
from services.storage.open import open_store
from services.storage.store import Entry, ObjectMissing, Store

__all__ = ["Entry", "ObjectMissing", "Store", "decode", "encode", "open_store"]
