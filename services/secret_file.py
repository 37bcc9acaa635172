"""Secrets that lie in files, as container engines hand them out: an environment variable names the file."""

from __future__ import annotations

import os
from pathlib import Path

from services.errors import BadInput, reason_of
from services.text_file import decode_text


def read_secret(variable: str, what: str) -> str | None:
    """The text, stripped, of the file that an environment variable names; None where it names none.

    :param what: what is expected in the file, such as "a Redis URL".
    :raises BadInput: if the file cannot be read, or is empty.
    """
    file = os.environ.get(variable)
    if not file:
        return None
    try:
        text = decode_text(Path(file).read_bytes()).strip()
    except (OSError, ValueError) as error:
        raise BadInput(f"{variable}={file}: {reason_of(error)}; expected a file with {what}") from None
    if not text:
        raise BadInput(f"{variable}={file}: the file is empty; expected {what} in it")
    return text
