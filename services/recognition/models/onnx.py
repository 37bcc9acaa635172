"""Any ArcFace-shaped recognizer or SCRFD detector in an ONNX file that the user names."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from services.errors import BadInput, Unavailable
from services.recognition import files
from services.recognition.model import Family, ModelInfo
from services.recognition.networks import onnx_files

if TYPE_CHECKING:
    from services.recognition.detect import Detector
    from services.recognition.recognize import Recognizer

PREFIX = "onnx"
RUNTIME = ("onnxruntime", "onnxruntime-gpu")
HOW_TO_GET = (
    "bring the file: put it beside the spec and name its path, or into a folder of DATAMASK_MODELS (on every "
    "worker's machine, under its name or as SHA256.onnx)"
)


def _unlocated(name: str) -> ModelInfo:
    prefix, _, path = name.partition(":")
    if prefix != PREFIX or not path.endswith(".onnx") or not Path(path).name.removesuffix(".onnx"):
        raise BadInput(f"model {name!r}: expected onnx:PATH.onnx, e.g. {FAMILY.example}")
    return ModelInfo(
        name=name,
        kind="unknown",
        roles=("objective", "critic"),
        licence="not known to datamask: whoever brings the file must know it",
        source=f"a file that the user brought: {Path(path).name}",
        training_data="not known to datamask: neither what it learned from nor whether anybody was asked",
        package="",
        file=None,
        sha256="",
        threshold=math.nan,
        threshold_source="none is known: the spec must say one",
        how_to_get=HOW_TO_GET,
        research_only=True,
        runtime=RUNTIME,
    )


def located(entry: ModelInfo, path: Path) -> ModelInfo:
    """The entry completed with what the file holds: kind, hash and how its answers read."""
    shape = onnx_files.inspect(path)
    entry = replace(entry, kind=shape.kind, file=str(path.absolute()), sha256=files.sha256_of(path))
    if shape.kind == "detect":
        return replace(
            entry,
            measure="probability",
            scale=2.0,
            threshold=0.5,
            threshold_source="insightface's own default for its SCRFD detectors (det_thresh)",
            finds="five points" if shape.outputs in (9, 15) else None,
        )
    return replace(entry, measure="similarity", scale=0.1)


def _resolve(name: str, sha256: str | None) -> ModelInfo:
    entry = _unlocated(name)
    path = files.find(name.partition(":")[2], sha256)
    if path is None:
        raise Unavailable(f"model {name!r}: no such file; {HOW_TO_GET}")
    return located(entry, path)


def _found() -> tuple[str, ...]:
    named = [folder for folder in files.folders() if folder != files.insightface_folder()]
    return tuple(f"{PREFIX}:{path.name}" for folder in named for path in sorted(folder.glob("*.onnx")))


def build(info: ModelInfo, device: str) -> Detector | Recognizer:
    """See services/recognition/networks/scrfd.py and arcface.py."""
    if info.kind == "detect":
        from services.recognition.networks.scrfd import ScrfdDetector

        return ScrfdDetector(info, device)
    from services.recognition.networks.arcface import ArcFaceRecognizer

    return ArcFaceRecognizer(info, device)


FAMILY = Family(
    prefix=PREFIX,
    what="any ArcFace-shaped recognizer or SCRFD detector as an ONNX file",
    example="onnx:my-recognizer.onnx",
    licence="the file's own: the spec must say it, or acknowledge that it is not known",
    research_only=True,
    how_to_get=HOW_TO_GET,
    resolve=_resolve,
    unlocated=_unlocated,
    found=_found,
)
