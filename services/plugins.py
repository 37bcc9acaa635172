"""Parts of one's own that installed packages bring: machines, bases, optimizers, pictures, as entry points.

A spec can name what is installed, never a path to code: specs come from strangers' buckets.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any, Literal

from services.errors import Unavailable
from services.faults import said

Group = Literal["datamask.machines", "datamask.bases", "datamask.optimizers", "datamask.pictures"]


@functools.cache
def entries(group: Group) -> dict[str, importlib.metadata.EntryPoint]:
    """What is installed, by name; of two of one name the first that Python finds."""
    found: dict[str, importlib.metadata.EntryPoint] = {}
    for entry in importlib.metadata.entry_points(group=group):
        found.setdefault(entry.name, entry)
    return found


@functools.cache
def load(group: Group, name: str) -> Any:
    """What the entry point of that name leads to, or None where there is none.

    :raises Unavailable: where its package is broken.
    """
    entry = entries(group).get(name)
    if entry is None:
        return None
    try:
        return entry.load()
    except Exception as error:
        raise Unavailable(
            f"{group} {name!r}: {entry.value} of the installed packages cannot be loaded ({said(error)})"
        ) from error


def origin(group: Group, name: str) -> dict[str, str | None] | None:
    """Who brings a part: package, version, source file and its SHA-256; None where no package does."""
    entry = entries(group).get(name)
    if entry is None:
        return None
    spec = importlib.util.find_spec(entry.module)
    path = Path(spec.origin) if spec is not None and spec.origin else None
    held = path is not None and path.is_file()
    return {
        "package": entry.dist.name if entry.dist else None,
        "version": entry.dist.version if entry.dist else None,
        "source_file": path.name if path is not None and held else None,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest() if path is not None and held else None,
    }
