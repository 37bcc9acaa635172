"""Cells: each a JSON file under a folder, written when it is done; and how long the others will take."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from bench.outcome import write
from services.errors import BadInput

FORMAT = 1


class Fixed(Protocol):
    """What was fixed before cells were made."""

    def digest(self) -> str:
        """SHA-256 of all of it: cells of other settings are not these."""
        ...


def digest_of(fixed: object) -> str:
    """SHA-256 of JSON values, and of others by their words."""
    return hashlib.sha256(json.dumps(fixed, sort_keys=True, default=str).encode()).hexdigest()


S = TypeVar("S", bound=Fixed)


@dataclass(frozen=True)
class Cell:
    """One piece of a stage. name: of its file. pictures: that machines look at for it."""

    stage: str
    name: str
    pictures: int

    def path(self, folder: Path) -> Path:
        """Where it is kept."""
        return folder / self.stage / f"{self.name}.json"


@dataclass(frozen=True)
class Stage(Generic[S]):
    """One step of a proof. seconds: a picture's, as measured once; what is done tells better.

    cells: of given seeds (those of the settings that were asked for). run: a cell's figures, as JSON values,
    from its name and the folder of all cells.
    """

    name: str
    what: str
    seconds: float
    cells: Callable[[S, Sequence[int]], list[Cell]]
    run: Callable[[S, Path, str], Mapping[str, Any]]


def read(settings: Fixed, folder: Path, stage: str, name: str) -> dict[str, Any] | None:
    """A cell's figures, None where it is missing. :raises BadInput: for one of other settings."""
    path = folder / stage / f"{name}.json"
    if not path.exists():
        return None
    cell = json.loads(path.read_text())
    if cell.get("format") != FORMAT or cell.get("settings") != settings.digest():
        raise BadInput(
            f"{path}: it was made with other settings than these; take another --store, or the commit that "
            "it was made with"
        )
    figures: dict[str, Any] = cell["figures"]
    return figures


def needed(settings: Fixed, folder: Path, stage: str, name: str) -> dict[str, Any]:
    """The same. :raises BadInput: where it is missing."""
    figures = read(settings, folder, stage, name)
    if figures is None:
        raise BadInput(f"{folder / stage / name}.json is missing; run the stage '{stage}' first")
    return figures


def make(settings: S, folder: Path, stage: Stage[S], cell: Cell) -> float:
    """Run a cell and write it; seconds that it took."""
    start = time.perf_counter()
    figures = stage.run(settings, folder, cell.name)
    seconds = time.perf_counter() - start
    head = {"format": FORMAT, "settings": settings.digest(), "pictures": cell.pictures, "seconds": seconds}
    write({**head, "figures": figures}, cell.path(folder))
    return seconds


def pace(folder: Path, stage: Stage[Any]) -> float:
    """Seconds a picture of a stage: of the cells that are done, else as measured once."""
    done = [json.loads(path.read_text()) for path in sorted((folder / stage.name).glob("*.json"))]
    pictures = sum(cell["pictures"] for cell in done)
    return sum(cell["seconds"] for cell in done) / pictures if pictures else stage.seconds


def left_s(folder: Path, work: Sequence[tuple[Stage[Any], Cell]], jobs: int) -> float:
    """Seconds until cells are done, so many at once."""
    paces = {stage.name: pace(folder, stage) for stage, _ in work}
    return sum(paces[stage.name] * cell.pictures for stage, cell in work) / jobs


def lasting(seconds: float) -> str:
    """``3.4 hours``, ``12 minutes`` or ``1 minute``."""
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} hours"
    minutes = max(1, round(seconds / 60))
    return f"{minutes} minute{'s' * (minutes > 1)}"
