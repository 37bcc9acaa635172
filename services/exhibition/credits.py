"""What an artist says of a work: title, name, year, statement, edition, venue, medium. Presentation alone."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, fields

from services.errors import BadInput
from services.words import shown

# Characters that stand on a label of 15 x 10 cm in its type; a statement has the place of the short text.
MOST = {"title": 90, "artist": 60, "statement": 420, "edition": 40, "venue": 90, "medium": 90}
_YEARS = re.compile(r"(\d{4})(?:\s*[-\u2013]\s*(\d{4}))?")
_FIRST_YEAR, _LAST_YEAR = 1900, 2199


@dataclass(frozen=True)
class Credits:
    """Each is None where nobody said anything. year: ``2026``, ``2025–2026``. edition: ``2/5``, or words."""

    title: str | None = None
    artist: str | None = None
    year: str | None = None
    statement: str | None = None
    edition: str | None = None
    venue: str | None = None
    medium: str | None = None

    def over(self, other: Credits) -> Credits:
        """These, and the other's where these say nothing."""
        return Credits(**{name: getattr(self, name) or getattr(other, name) for name in NAMES})


NOTHING = Credits()
NAMES = tuple(field.name for field in fields(Credits))


def checked(name: str, value: object) -> str:
    """One of the credits as it is shown: one line, its white space single.

    :raises ValueError: saying what was expected.
    """
    if name == "year":
        return _years(value)
    if not isinstance(value, str):
        raise ValueError("expected text in quotes")
    text = " ".join(value.split())
    if not text:
        raise ValueError("is empty; say something, or leave it out")
    if any(unicodedata.category(letter) in ("Cc", "Cf", "Co", "Cs") for letter in text):
        raise ValueError("holds characters that cannot be printed; leave them out")
    if len(text) > MOST[name]:
        raise ValueError(f"has {len(text)} characters, and its label has room for {MOST[name]}; shorten it")
    return text


def _years(value: object) -> str:
    text = str(value).strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    found = _YEARS.fullmatch(text)
    if found is not None:
        first, last = int(found[1]), int(found[2] or found[1])
        if _FIRST_YEAR <= first <= last <= _LAST_YEAR:
            return f"{first}\u2013{last}" if last > first else str(first)
    raise ValueError(
        f"is no year: expected one such as 2026, or two such as 2025-2026, from {_FIRST_YEAR} to {_LAST_YEAR}"
    )


def given(name: Callable[[str], str], **values: str | None) -> Credits:
    """Credits that were given one by one.

    :param name: what users call each of them where they give it. values: by name; None: not given.
    :raises BadInput: naming the first that cannot stand on a label.
    """
    kept = {}
    for key, value in values.items():
        if value is not None:
            try:
                kept[key] = checked(key, value)
            except ValueError as error:
                raise BadInput(f"{name(key)} {shown(value)}: {error}") from None
    return Credits(**kept)
