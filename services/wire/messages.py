"""What a message holds: where a piece of work lies, nothing that must be trusted. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from services.errors import BadInput

SCORE = "masks.score"
REALIZE = "masks.realize"
# Each kind of work has a queue of its own, of the task's name, so that workers can be set aside for one.
QUEUES = {"score": SCORE, "realize": REALIZE}
VERSION = 2

# scored, known (somebody was first), gone (no such batch), failed (counts against the batch), refused (this
# worker would not give the run's bits), trouble (store, memory, weights: counts against nobody)
Outcome = Literal["scored", "known", "gone", "failed", "refused", "trouble"]

_BATCH = re.compile(r"[0-9a-f]{40}")
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SESSION = re.compile(r"[0-9a-f]{0,32}")
_STORE = re.compile(r"(?:file:///|s3://[A-Za-z0-9])[^\s?#\\]{0,1000}")


@dataclass(frozen=True)
class Work:
    """``batches/<batch>`` of run ``run`` in the store at URL ``store``: genomes to score, masks to realize.

    session: a coordinator's word for one of its lives, in which what is immutable in a run need not be read
    again; empty: whoever asks says nothing of the kind.

    :raises BadInput: if one of them does not look like what it is to be.
    """

    store: str
    run: str
    batch: str
    session: str = ""

    def __post_init__(self) -> None:
        for name, pattern, expected in (
            ("store", _STORE, "a file:/// or s3:// URL"),
            ("run", _RUN, "letters, digits, '.', '_' and '-', at most 100"),
            ("batch", _BATCH, "40 hexadecimal digits"),
            ("session", _SESSION, "at most 32 hexadecimal digits"),
        ):
            value = getattr(self, name)
            if not isinstance(value, str) or pattern.fullmatch(value) is None:
                raise BadInput(f"message: {name} = {value!r:.80}: expected {expected}")

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
    if set(fields) != {"store", "run", "batch", "session"}:
        raise BadInput(
            f"message fields {sorted(map(str, fields))!r:.80}: expected store, run, batch and session"
        )
    return Work(**fields)
