"""What is asked of machines, in words for page and captions. A detector sees a face or none; a recognizer
never says "face": it says whether pictures show one person.
"""

from __future__ import annotations

# By kind of objective, as in services/recognition/kinds.py: one machine, several, and one that says no.
_ASKS = {
    "detect": ("sees a face", "see a face", "sees no face"),
    "together": ("sees a face", "see one face in one place", "sees no face where the others see one"),
    "refuse": ("sees no face", "see no face", "sees a face"),
    "consistent": (
        "takes all views of a mask for one person",
        "take all views of a mask for one person",
        "does not take all views of it for one person",
    ),
    "identity": (
        "takes it for the person who was asked for",
        "take it for the person who was asked for",
        "does not take it for the person who was asked for",
    ),
    "composite": (
        "takes it for several people at once",
        "take it for several people at once",
        "does not take it for all of these people",
    ),
    "correlate": ("finds what it was built from", "find what they were built from", "finds no match"),
}


def asks(kind: str) -> tuple[str, str]:
    """What one machine, and several, do where an objective of this kind is satisfied."""
    return _ASKS.get(kind, ("says yes", "say yes", "says no"))[:2]


def answer(kind: str, yes: bool) -> str:
    """What one machine does where an objective of this kind is satisfied, or is not."""
    said = _ASKS.get(kind, ("says yes", "say yes", "says no"))
    return said[0] if yes else said[2]
