"""Callables of the user's: handed over in this process, or installed as entry points."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from services.recognition import own
from services.recognition.model import Family, ModelInfo

if TYPE_CHECKING:
    from services.recognition.detect import Detector
    from services.recognition.recognize import Recognizer

HOW_TO_GET = (
    "hand it over with datamask.machines.add, or install a package that has it as an entry point of "
    f"{own.GROUP}"
)
LICENCE = "its author's own"


def _unlocated(name: str) -> ModelInfo:
    own.short(name)
    return ModelInfo(
        name=name,
        kind="unknown",
        roles=("objective", "critic"),
        licence=LICENCE,
        source="a callable of the user's",
        training_data="not known here",
        package="",
        file=None,
        sha256="",
        threshold=math.nan,
        threshold_source="its author",
        how_to_get=HOW_TO_GET,
        exact=False,
    )


def _resolve(name: str, sha256: str | None) -> ModelInfo:
    machine = own.find(name)
    where = "no source file: a notebook or a prompt" if machine.source is None else machine.source.name
    return ModelInfo(
        name=name,
        kind="detect" if machine.gives == "scores" else "recognize",
        roles=("objective", "critic"),
        licence=machine.licence,
        source=f"a callable of the user's ({where})",
        training_data=machine.training_data,
        # Without a file it is as good as part of datamask: there is nothing that could be missing.
        package="" if machine.source else "services.recognition",
        file=str(machine.source) if machine.source else None,
        sha256=machine.sha256,
        threshold=float(machine.threshold),
        threshold_source="its author",
        how_to_get=HOW_TO_GET,
        measure=machine.measure or "score",
        scale=float(machine.scale),
        exact=machine.exact,
        aligned_by="nothing",
    )


def build(info: ModelInfo, device: str) -> Detector | Recognizer:
    """See services/recognition/called.py."""
    from services.recognition.called import CalledDetector, CalledRecognizer

    return CalledDetector(info) if info.kind == "detect" else CalledRecognizer(info)


FAMILY = Family(
    prefix=own.PREFIX,
    what="a callable of your own that gives scores or embeddings",
    example="own:my-machine",
    licence=LICENCE,
    research_only=False,
    how_to_get=HOW_TO_GET,
    resolve=_resolve,
    unlocated=_unlocated,
    found=own.names,
)
