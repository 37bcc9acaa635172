"""What runs may be called. A run's name is a folder, a part of URLs and messages, and a word in commands."""

from __future__ import annotations

import re
import unicodedata

from services.errors import BadInput

SPEC_NAME_MOST = 100  # characters of a spec's name, which with a number becomes its runs' names
RUN_NAME_MOST = 120
EXPECTED = "expected at most {most} letters, digits, '.', '_' and '-', the first a letter or digit"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def name_fault(name: object, most: int = RUN_NAME_MOST) -> str | None:
    """What a name would have to be, as the end of a message, or None where it is a run's name."""
    if isinstance(name, str) and len(name) <= most and _NAME.fullmatch(name) is not None:
        return None
    likely = usable_name(name) if isinstance(name, str) else ""
    return EXPECTED.format(most=most) + (f", such as {likely!r}" if likely else "")


def check_run_name(name: str) -> str:
    """The name as it is. :raises BadInput: if no run may be called so."""
    fault = name_fault(name)
    if fault is not None:
        raise BadInput(f"run name {name[: RUN_NAME_MOST + 1]!r}: {fault}")
    return name


def usable_name(text: str) -> str:
    """A spec's name that is as near as can be to any text; empty where nothing of it is left.

    Letters lose their accents, and whatever else no name may hold becomes one '-'.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).lstrip("._-")[:SPEC_NAME_MOST].rstrip("-")
