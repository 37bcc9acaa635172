"""Model files that no dependency brings: where they may lie, and which of them is meant.

A name in a spec ends in a file's name; the file is looked for

1. where the spec named it, as far as this process has been told (:func:`know`);
2. in the folders of the environment variable DATAMASK_MODELS (several are separated as in PATH);
3. in ~/.datamask/models, where ``datamask models --get`` puts files while DATAMASK_MODELS names no folder;
4. in ~/.insightface/models, where that package keeps its packs.

A run pins the file's SHA-256. A worker on another machine finds it under the same name, or as
``<sha256>.onnx`` (with the name's own ending), in one of those folders: weights do not travel with a run,
because their licences rarely let them.
"""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from services.errors import Unavailable

VARIABLE = "DATAMASK_MODELS"

_known: dict[str, Path] = {}


def know(path: Path) -> None:
    """Remember, in this process, where a named file lies."""
    _known[path.name] = path.absolute()


def folders() -> tuple[Path, ...]:
    """The folders that are searched, in order."""
    return (*_named(), own_folder(), insightface_folder())


def home() -> Path:
    """Where files that are fetched go: the first folder of DATAMASK_MODELS, or datamask's own."""
    return next(iter(_named()), own_folder())


def own_folder() -> Path:
    """Where datamask keeps files that it has fetched, unless DATAMASK_MODELS says otherwise."""
    return Path("~/.datamask/models").expanduser()


def _named() -> list[Path]:
    return [Path(part).expanduser() for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]


def insightface_folder() -> Path:
    """Where the insightface package keeps its packs."""
    return Path("~/.insightface/models").expanduser()


def is_file(path: Path) -> bool:
    """Whether there is such a file; a name that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def find(relative: str, sha256: str | None = None) -> Path | None:
    """The file of that relative path or, where a hash is given, preferably the one that has it."""
    there = list(dict.fromkeys(_candidates(relative, sha256)))
    if sha256 is not None:
        for path in there:
            if sha256_of(path) == sha256:
                return path
    return there[0] if there else None


def _candidates(relative: str, sha256: str | None) -> Iterator[Path]:
    name = Path(relative).name
    if name in _known and is_file(_known[name]):
        yield _known[name]
    for folder in folders():
        for path in (folder / relative, folder / name):
            if is_file(path):
                yield path
        if sha256 is not None:
            own = f"{sha256}{Path(name).suffix}"
            for path in (folder / own, *sorted(folder.glob(f"*/{glob.escape(name)}"))):
                if is_file(path):
                    yield path
    if is_file(Path(relative)):
        yield Path(relative).absolute()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, read again only where its size or time changed. Unavailable if it cannot be read."""
    try:
        stat = path.stat()
        return _sha256(str(path), stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise Unavailable(f"{path}: the model file cannot be read ({error.strerror})") from None


@lru_cache(maxsize=256)
def _sha256(path: str, size: int, mtime_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
