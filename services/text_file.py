"""Text as people's editors save it: UTF-8 with or without a byte order mark, or UTF-16."""

from __future__ import annotations

import codecs


def decode_text(data: bytes) -> str:
    """The text of a file's bytes. Windows editors write a mark first, and UTF-16 on request.

    :raises ValueError: with what is wrong and how to mend it, as the end of a message.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        codec = "utf-16"
    elif b"\0" in data[:2]:  # no text begins with a NUL: half of a letter
        codec = "utf-16-be" if data[0] == 0 else "utf-16-le"
    else:
        codec = "utf-8-sig"
    try:
        return data.decode(codec)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        wanted = "UTF-16" if codec.startswith("utf-16") else "UTF-8"
        raise ValueError(f"line {line} is not {wanted} text; save the file as UTF-8") from None


def decode_lines(data: bytes) -> str:
    """The same, each line ending with ``\\n`` alone, whatever ends it in the file."""
    return decode_text(data).replace("\r\n", "\n").replace("\r", "\n")
