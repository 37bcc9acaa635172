"""What people meant, where they wrote something that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the closest known word, else the list of known words."""
    words = list(known)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.4)
    return f"; did you mean '{close[0]}'?" if close else f"; expected one of: {', '.join(sorted(words))}"
