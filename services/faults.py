"""Whose fault a failure is: a batch's own, or that of the machine that was at work on it.

What fails for want of memory, disk, driver, library or file says nothing of a batch: another machine, or this
one when it is mended, may score it.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.errors import CorruptData, DatamaskError, Unavailable

# Torch and onnxruntime raise much of this as plain RuntimeErrors, or errors of their own.
SIGNS = (
    *("allocate memory", "out of memory", "bad_alloc", "no space left", "start new thread"),
    *("cuda", "cudnn", "cublas", "hip error"),
)
_MEMORY = ("allocate memory", "out of memory", "bad_alloc")


def is_machines(error: BaseException) -> bool:
    """Whether an error, or one that led to it, is surely the machine's."""
    return any(
        isinstance(seen, (Unavailable, CorruptData, MemoryError, OSError, ImportError))
        or any(sign in f"{seen}".lower() for sign in SIGNS)
        for seen in _led_to(error)
    )


def sticks(error: BaseException) -> bool:
    """Whether a GPU's driver raised it, so that this process meets it from now on in all that it does."""
    words = [f"{seen}".lower() for seen in _led_to(error)]
    return any("cuda error" in said and not any(sign in said for sign in _MEMORY) for said in words)


def _led_to(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that led to it."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


def said(error: BaseException) -> str:
    """An error as one line of at most 500 characters; one that datamask did not raise with kind and place."""
    words = " ".join(f"{error}".split())
    if isinstance(error, DatamaskError):
        return words[:500]
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}{': ' if words else ''}{words}"[:500]


@contextmanager
def as_one_line() -> Iterator[None]:
    """Turn what escapes from a machine's work into one line.

    :raises DatamaskError: as it came; :raises Unavailable: for everything else.
    """
    try:
        yield
    except DatamaskError:
        raise
    except Exception as error:
        words = said(error)
        lower = "; lower [search] population, [views] count or size_px, or free some memory"
        short = isinstance(error, MemoryError) or any(sign in words.lower() for sign in _MEMORY)
        raise Unavailable(f"this machine cannot do the work ({words}){lower if short else ''}") from error
