"""What a key may look like, so that the same tree works in a folder and in a bucket."""

from __future__ import annotations

import re

from services.errors import BadInput

# S3 allows 1024 bytes of UTF-8 for a whole key, common file systems 255 for one name.
_KEY_BYTES = 1024
_SEGMENT_BYTES = 255
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")


def is_bucket(name: str) -> bool:
    """Whether a bucket may be called so."""
    return _BUCKET.fullmatch(name) is not None


def check_key(key: str) -> str:
    """Return `key` if it is one: segments joined by "/", none of them empty or starting with a dot.

    Names that start with a dot belong to the store itself (temporary and lock files).

    :raises BadInput: what is wrong with the key and what a key looks like.
    """
    fault = _fault(key)
    if fault is not None:
        raise BadInput(f"store key {key!r} {fault}; expected names joined by '/', such as 'batches/4f2a'")
    return key


def is_key(key: str) -> bool:
    """Whether `key` is one: see :func:`check_key`."""
    return _fault(key) is None


def check_prefix(prefix: str) -> str:
    """Return `prefix` if it can begin a key: "", a whole key, or a part such as "batches/" or "batches/4f".

    :raises BadInput: as :func:`check_key`.
    """
    if prefix:
        check_key(prefix.removesuffix("/"))
    return prefix


def _fault(key: str) -> str | None:
    if not key:
        return "is empty"
    if key.startswith("/"):
        return "is an absolute path"
    if "\\" in key:
        return "contains a backslash"
    if not key.isprintable():
        return "contains a control character"
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode text"
    if size > _KEY_BYTES:
        return f"is {size} bytes long, more than {_KEY_BYTES}"
    for segment in key.split("/"):
        if not segment:
            return "has an empty segment"
        if segment.startswith("."):
            return f"has the segment {segment!r}, and names that start with a dot are the store's own"
        if len(segment.encode()) > _SEGMENT_BYTES:
            return f"has a segment longer than {_SEGMENT_BYTES} bytes"
    return None
