"""What this terminal, pipe or file can show: its characters and its width."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
import unicodedata
from collections.abc import MutableMapping
from typing import Any

# Sizes that a terminal may have; what the environment says beyond them is not believed.
LEAST = {"COLUMNS": 40, "LINES": 4}
MOST = 1000
# Signs of our own, in as many columns. Of the rest, letters lose their accents, others become question marks.
PLAIN = {"…": ".", "·": "-", "×": "x", "°": "*"}


def prepare() -> None:
    """Let no character and no size that cannot be shown end a command or empty its page."""
    codecs.register_error("datamask", plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="datamask")
    forget_sizes(os.environ)


def forget_sizes(environment: MutableMapping[str, str]) -> None:
    """Drop a size of the terminal that none has, so that its own, or the usual one, counts."""
    for name, least in LEAST.items():
        told = environment.get(name)
        if told is not None and not (told.isascii() and told.isdigit() and least <= float(told) <= MOST):
            del environment[name]


def print_json(value: Any) -> None:
    """For machines, on stdout; what the stream's encoding lacks is escaped, so that nothing is lost."""
    readable = codecs.lookup(getattr(sys.stdout, "encoding", None) or "ascii").name == "utf-8"
    print(json.dumps(value, indent=1, ensure_ascii=not readable))


def plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """Characters that an encoding lacks, as near as it can write them; bytes of file names as they came."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    if all("\udc80" <= character <= "\udcff" for character in found):
        return bytes(ord(character) - 0xDC00 for character in found), error.end
    return "".join(_nearest(character) for character in found), error.end


def _nearest(character: str) -> str:
    if character in PLAIN:
        return PLAIN[character]
    letters = [c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c)]
    return letters[0] if len(letters) == 1 and letters[0].isascii() else "?"
