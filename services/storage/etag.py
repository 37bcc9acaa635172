"""What an S3 ETag says of the bytes: often their MD5, or the MD5 of the MD5s of their parts."""

from __future__ import annotations

import hashlib
import re

PART_BYTES = 16 << 20  # the part size of our own uploads; larger objects travel in parts
_ETAG = re.compile(r'"?([0-9a-f]{32})(?:-([0-9]{1,5}))?"?')


def agrees(data: bytes, etag: str | None) -> bool:
    """Whether `etag` shows that an object holds exactly `data`.

    False proves nothing: encrypted buckets have other ETags, and others upload in parts of another size.
    """
    found = _ETAG.fullmatch(etag or "")
    if found is None:
        return False
    digest, parts = found.groups()
    if parts is None:
        return _md5(data).hex() == digest
    starts = range(0, len(data), PART_BYTES)
    if len(starts) != int(parts):
        return False
    return _md5(b"".join(_md5(data[start : start + PART_BYTES]) for start in starts)).hex() == digest


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
