"""Arrays and facts to bytes and back: deterministic, checked, and never unpickled.

A stored object is

    offset  bytes  what
    0       8      the letters DATAMASK
    8       32     SHA-256 of everything after it
    40      4      format version, little-endian
    44      4      length of the header, little-endian
    48      ...    header: JSON in ASCII, keys sorted, spaces up to a multiple of 16
    ...     ...    body: each array in C order, little-endian, at a multiple of 16 bytes

The header lists for each array its name, dtype, shape, offset in the body and size, and holds `meta` as it
came. Equal input gives equal bytes, on every machine; with `compress` only where zlib is the same.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.errors import CorruptData

Arrays = Mapping[str, NDArray[Any]]


class Facts(dict[str, Any]):
    """JSON values that go into many objects' meta: whoever made them saw that all keys are strings."""


_MAGIC = b"DATAMASK"
_VERSION = 1
_ALIGN = 16
_BODY_AT = 48
_KINDS = "biufSU"
_DTYPE = re.compile(r"[<|][biufSU][0-9]{1,9}")


class Decoded(NamedTuple):
    """What :func:`decode` gives back.

    arrays: by name, read-only, views of the decoded bytes where those were not compressed.
    meta: a dict of JSON values; a tuple that went in comes out as a list.
    """

    arrays: dict[str, NDArray[Any]]
    meta: dict[str, Any]


def encode(arrays: Arrays, meta: Mapping[str, Any] | None = None, *, compress: bool = False) -> bytes:
    """Pack arrays and facts.

    :param arrays: any shape; dtype bool, integer, float, fixed-length bytes or fixed-length unicode.
    :param meta: JSON values under string keys. Numbers that are not finite do not fit into JSON: store an
        array.
    :param compress: shrink the body with zlib. Off by default: weights hardly shrink, and zlib builds differ.
    :raises TypeError: an array of another dtype, or meta that JSON cannot hold.
    :raises ValueError: meta holds NaN or an infinity.
    """
    entries: list[dict[str, Any]] = []
    chunks: list[bytes] = []
    offset = 0
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        if array.dtype.kind not in _KINDS:
            raise TypeError(
                f"array {name!r} has dtype {array.dtype}; expected bool, int, float, bytes or unicode"
            )
        stored = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
        raw = stored.tobytes()
        entries.append(
            {
                "name": name,
                "dtype": stored.dtype.str,
                "shape": list(array.shape),
                "offset": offset,
                "size": len(raw),
            }
        )
        padding = -len(raw) % _ALIGN
        chunks += [raw, bytes(padding)]
        offset += len(raw) + padding
    facts = dict(meta or {})
    if not _has_string_keys(facts):
        raise TypeError("meta has a key that is not a string; JSON would change it silently")
    header = json.dumps(
        {"arrays": entries, "body": offset, "compressed": compress, "meta": facts},
        sort_keys=True,
        separators=(",", ":"),
        allow_nan=False,
    ).encode("ascii")
    header += b" " * (-len(header) % _ALIGN)
    body = b"".join(chunks)
    payload = b"".join(
        [struct.pack("<II", _VERSION, len(header)), header, zlib.compress(body) if compress else body]
    )
    return _MAGIC + hashlib.sha256(payload).digest() + payload


def decode(data: bytes, name: str = "stored object") -> Decoded:
    """Unpack and check what :func:`encode` gave.

    :param data: the bytes as they were stored.
    :param name: the key or path they came from, for the message.
    :raises CorruptData: a byte differs, some are missing or left over, or the format is not ours.
    """
    if len(data) < _BODY_AT or data[:8] != _MAGIC:
        raise _corrupt(name, "it is not a datamask object, or was cut short")
    payload = memoryview(data)[40:]
    if hashlib.sha256(payload).digest() != data[8:40]:
        raise _corrupt(name, "its content does not match its SHA-256")
    version, header_size = struct.unpack("<II", payload[:8])
    if version != _VERSION:
        raise CorruptData(
            f"{name}: format {version}, this datamask reads {_VERSION}; use the version that wrote it"
        )
    # Past the hash only another program can have got the rest wrong; it is still no reason for a traceback.
    try:
        header = json.loads(bytes(payload[8 : 8 + header_size]))
        stored = payload[8 + header_size :]
        body = _decompress(stored, header["body"]) if header["compressed"] else stored
        if len(body) != header["body"]:
            raise ValueError("body size")
        arrays = {entry["name"]: _array(entry, body) for entry in header["arrays"]}
        meta = dict(header["meta"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, zlib.error) as error:
        raise _corrupt(name, f"its header is malformed ({error})") from error
    return Decoded(arrays, meta)


def _array(entry: Mapping[str, Any], body: bytes | memoryview) -> NDArray[Any]:
    if not _DTYPE.fullmatch(entry["dtype"]):
        raise ValueError(f"array {entry['name']!r}: dtype")
    dtype = np.dtype(entry["dtype"])
    shape = tuple(entry["shape"])
    offset, size = entry["offset"], entry["size"]
    if any(type(n) is not int or n < 0 for n in (*shape, offset, size)):
        raise ValueError(f"array {entry['name']!r}: shape")
    if math.prod(shape) * dtype.itemsize != size or offset + size > len(body):
        raise ValueError(f"array {entry['name']!r}: size")
    array: NDArray[Any] = (
        np.ndarray(shape, dtype, buffer=body, offset=offset) if size else np.zeros(shape, dtype)
    )
    array.flags.writeable = False
    return array


def _decompress(body: memoryview, size: int) -> bytes:
    engine = zlib.decompressobj()
    # Never unpack more than the header promises.
    plain = engine.decompress(body, size + 1)
    if not engine.eof or engine.unused_data:
        raise ValueError("compressed body")
    return plain


def _has_string_keys(value: Any) -> bool:
    if isinstance(value, Facts):
        return True
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _has_string_keys(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return all(_has_string_keys(item) for item in value)
    return True


def _corrupt(name: str, reason: str) -> CorruptData:
    return CorruptData(f"{name}: {reason}; restore it from a copy or remove it, then run again with --resume")
