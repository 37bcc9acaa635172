"""The one error hierarchy of datamask.

Every message is a single line that says what is wrong, where, what was expected and how to mend it.
The command line maps the classes to exit codes: :class:`BadInput` to 2, every other
:class:`DatamaskError` to 1.
"""

from __future__ import annotations


class DatamaskError(Exception):
    """Base of every error that datamask raises on purpose; its text is shown to the user as it is."""


class BadInput(DatamaskError):
    """Something that the user gave (spec, photo, option, name) cannot be used. Exit code 2."""


class CorruptData(DatamaskError):
    """A stored object, weights file or checkpoint does not match its recorded hash or format. Exit code 1."""


class Unavailable(DatamaskError):
    """A part that is needed (OpenGL, Redis, weights, disk space) is missing or out of reach. Exit code 1."""
