"""Reads messages of protocol buffers field by field, without their descriptions.

Wire format: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5  # kinds of fields


def fields(message: bytes | memoryview) -> Iterator[tuple[int, Any]]:
    """Number and value of each field: an int, or the bytes of a string, a message or a fixed number, of the
    message's own type.

    :raises ValueError: for bytes that are no message.
    """
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = varint(message, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = varint(message, at)
        elif kind in (_FOUR_BYTES, _EIGHT_BYTES):
            size = 4 if kind == _FOUR_BYTES else 8
        else:
            raise ValueError(f"field {number} is of kind {kind}")
        if at + size > len(message):
            raise ValueError(f"field {number} is cut off")
        yield number, message[at : at + size]
        at += size


def varint(message: bytes | memoryview, at: int) -> tuple[int, int]:
    """The whole number that begins there, 0 or more, and where it ends.

    :raises ValueError: where it does not end.
    """
    value = 0
    for shift in range(0, 70, 7):
        if at == len(message):
            raise ValueError("a number is cut off")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number has more than ten bytes")


def signed(value: int) -> int:
    """What a whole number of 64 bits says where it may be negative."""
    return value - (1 << 64) if value >> 63 else value
