"""Words for messages: what people meant, where they wrote something unknown, and what they gave, in short."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the closest known word, else the list of known words."""
    words = list(known)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.4)
    return f"; did you mean '{close[0]}'?" if close else f"; expected one of: {', '.join(sorted(words))}"


def shown(value: object) -> str:
    """A value for a message, which has to stay readable."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
