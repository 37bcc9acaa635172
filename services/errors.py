"""The one error hierarchy of datamask.

Every message is a single line that says what is wrong, where, what was expected and how to mend it.
The command line maps the classes to exit codes: :class:`BadInput` to 2, every other
:class:`DatamaskError` to 1.
"""

from __future__ import annotations


def one_line(text: str) -> str:
    """Text that quotes what somebody gave, on one line: line ends and control characters as escapes."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def reason_of(error: Exception) -> str:
    """Why a file cannot be used: the system's words where there are any, which do not repeat its path."""
    return getattr(error, "strerror", None) or f"{error}"


class DatamaskError(Exception):
    """Base of every error that datamask raises on purpose; its text is shown to the user, on one line."""

    def __str__(self) -> str:
        return one_line(Exception.__str__(self))  # a KeyError's own would quote it


class BadInput(DatamaskError):
    """Something that the user gave (spec, photo, option, name) cannot be used. Exit code 2."""


class CorruptData(DatamaskError):
    """A stored object, weights file or checkpoint does not match its recorded hash or format. Exit code 1."""


class Unavailable(DatamaskError):
    """A part that is needed (OpenGL, Redis, weights, disk space) is missing or out of reach. Exit code 1."""
