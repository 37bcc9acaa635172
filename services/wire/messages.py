"""What a message holds: where a piece of work lies, nothing that must be trusted."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from dataclasses import fields as dataclass_fields
from typing import Any, Literal

from services.errors import BadInput
from services.names import name_fault
from services.storage.place import masked, url_fault

VERSION = 4
# Each kind of work has a queue of its own, of the task's name, so that workers can be set aside for one. Each
# version has its own, too: where some are upgraded before others, nobody takes messages that he cannot read.
SCORE = f"masks.score.{VERSION}"
REALIZE = f"masks.realize.{VERSION}"
QUEUES = {"score": SCORE, "realize": REALIZE}

# scored, known (somebody was first), gone (no such batch), failed (counts against the batch), refused (this
# worker would not give the run's bits), trouble (store, memory, weights: counts against nobody), apart (of a
# stack: its batches are to be sent one by one)
Outcome = Literal["scored", "known", "gone", "failed", "refused", "trouble", "apart"]

_BATCH = re.compile(r"s?[0-9a-f]{40}")
MOST_LINES = 1000  # a run's lists of bells: one for each coordinator process
_SESSION = re.compile(r"[0-9a-f]{0,32}")


@dataclass(frozen=True)
class Origin:
    """What a piece of work is, for logs and for people; every field may be missing.

    :param what: of work that no island asks for. generation: in which masks were born. epoch: after which the
        best masks of an island are ranked. number, of: which of how many batches, from 1.

    :raises BadInput: where a field is not of its kind.
    """

    what: str = ""
    island: int | None = None
    generation: int | None = None
    epoch: int | None = None
    number: int | None = None
    of: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.what, str) or not self.what.isprintable() or len(self.what) > 200:
            raise BadInput(f"message: what = {self.what!r:.80}: expected at most 200 printable characters")
        for name in ("island", "generation", "epoch", "number", "of"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or not 0 <= value < 2**31):
                raise BadInput(f"message: {name} = {value!r:.80}: expected a whole number, or nothing")

    def facts(self) -> dict[str, int]:
        """What a log line says of it."""
        named = {"island": self.island, "generation": self.generation, "epoch": self.epoch}
        return {name: value for name, value in named.items() if value is not None}

    @property
    def words(self) -> str:
        """``island 3, generation 41, batch 2/4``."""
        parts = [
            self.what,
            "" if self.island is None else f"island {self.island}",
            "" if self.generation is None else f"generation {self.generation}",
            "" if self.epoch is None else f"ranking after epoch {self.epoch}",
            "" if self.number is None else f"batch {self.number}/{self.of}",
        ]
        return ", ".join(part for part in parts if part)


NOTHING_SAID = Origin()


@dataclass(frozen=True)
class Done:
    """What a task's end says, for Flower to show. views: images scored. seconds: for how long."""

    outcome: str
    views: int = 0
    seconds: float = 0.0

    def encoded(self) -> str:
        """JSON text."""
        return json.dumps(asdict(self), sort_keys=True)


@dataclass(frozen=True)
class Work:
    """``batches/<batch>`` of run ``run`` in the store at URL ``store``: genomes to score, of a batch or
    of a stack (see stack.py), or masks to realize.

    session: a coordinator's word for one of its lives, in which what is immutable in a run need not be read
    again; empty: whoever asks says nothing of the kind. origin: what it is, for people. line:
    on which of the run's lists of bells whoever asks listens.

    :raises BadInput: if one of them does not look like what it is to be.
    """

    store: str
    run: str
    batch: str
    session: str = ""
    origin: Origin = NOTHING_SAID
    line: int = 0

    def __post_init__(self) -> None:
        for name, fault in (
            ("store", url_fault(self.store)),
            ("run", name_fault(self.run)),
            (
                "batch",
                None if _fits(_BATCH, self.batch) else "expected 40 hexadecimal digits",
            ),
            ("session", None if _fits(_SESSION, self.session) else "expected at most 32 hexadecimal digits"),
            ("line", None if _is_line(self.line) else f"expected a whole number below {MOST_LINES}"),
        ):
            if fault is not None:
                value = getattr(self, name)
                shown = masked(value) if isinstance(value, str) else value
                raise BadInput(f"message: {name} = {shown!r:.80}: {fault:.200}")

    def facts(self) -> dict[str, object]:
        """What a log line says of it."""
        return {"run": self.run, "batch": self.batch, **self.origin.facts()}

    def kwargs(self) -> dict[str, Any]:
        """The message's arguments."""
        return {"v": VERSION, **asdict(self)}


def decode_work(values: Mapping[str, Any]) -> Work:
    """:raises BadInput: for another version, missing or unknown fields, and malformed ids."""
    fields = dict(values)
    version = fields.pop("v", None)
    if type(version) is not int or version != VERSION:
        raise BadInput(
            f"message version {version!r:.20}, this worker reads {VERSION}; "
            "run the same datamask version on coordinator and workers"
        )
    if set(fields) != {"store", "run", "batch", "session", "origin", "line"}:
        raise BadInput(
            f"message fields {sorted(map(str, fields))!r:.80}: "
            "expected store, run, batch, session, origin and line"
        )
    origin = fields.pop("origin")
    if not isinstance(origin, Mapping) or set(origin) != {f.name for f in dataclass_fields(Origin)}:
        raise BadInput(f"message: origin = {origin!r:.80}: expected a table of facts")
    return Work(**fields, origin=Origin(**origin))


def _is_line(value: object) -> bool:
    return type(value) is int and 0 <= value < MOST_LINES


def _fits(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
