"""Detectors and recognizers of insightface's model packs, as their users have downloaded them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from services.errors import BadInput, Unavailable
from services.recognition import files
from services.recognition.model import Family, ModelInfo
from services.recognition.models.onnx import RUNTIME, build, located

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FAMILY", "build"]

PREFIX = "insightface"
LICENCE = "insightface model packs: non-commercial research only (the package's code is MIT)"
HOW_TO_GET = (
    "get a pack yourself from https://github.com/deepinsight/insightface (model zoo; non-commercial research "
    "only) and unzip it as ~/.insightface/models/PACK or into a folder of DATAMASK_MODELS; datamask never "
    "downloads it"
)
PACKS = ("antelopev2", "buffalo_l", "buffalo_m", "buffalo_s", "buffalo_sc")

_NAME = re.compile(r"insightface:([A-Za-z0-9_.-]+)/([A-Za-z0-9_.-]+)")
_RECOGNIZER_DATA = (
    "MS1M, Glint360K or WebFace600K, as the pack says: millions of pictures of celebrities and others, taken "
    "from the web. The people in them were not asked."
)
_DETECTOR_DATA = "WIDER FACE: pictures of events taken from the web. The people in them were not asked."


def _unlocated(name: str) -> ModelInfo:
    parts = _NAME.fullmatch(name)
    if parts is None:
        raise BadInput(f"model {name!r}: expected insightface:PACK/FILE, e.g. {FAMILY.example}")
    return ModelInfo(
        name=name,
        kind="unknown",
        roles=("objective", "critic"),
        licence=LICENCE,
        source=f"https://github.com/deepinsight/insightface, model pack {parts[1]}",
        training_data=_RECOGNIZER_DATA,
        package="",
        file=None,
        sha256="",
        threshold=0.3,
        threshold_source=(
            "about one false accept in 10,000 for buffalo_l on LFW photographs, where synthetic faces needed "
            "0.525: renders need a calibration"
        ),
        how_to_get=HOW_TO_GET,
        research_only=True,
        runtime=RUNTIME,
    )


def _resolve(name: str, sha256: str | None) -> ModelInfo:
    entry = _unlocated(name)
    path = files.find(f"{name.partition(':')[2]}.onnx", sha256)
    if path is None:
        raise Unavailable(f"model {name!r}: no such file; {HOW_TO_GET}")
    done = located(entry, path)
    return replace(done, training_data=_DETECTOR_DATA) if done.kind == "detect" else done


def _found() -> tuple[str, ...]:
    return tuple(
        f"{PREFIX}:{path.parent.name}/{path.stem}"
        for folder in files.folders()
        for path in sorted(folder.glob("*/*.onnx"))
        if _is_pack(path.parent)
    )


def _is_pack(folder: Path) -> bool:
    return folder.name in PACKS or folder.parent == files.insightface_folder()


FAMILY = Family(
    prefix=PREFIX,
    what="detectors and recognizers of insightface's model packs",
    example="insightface:buffalo_l/w600k_r50",
    licence=LICENCE,
    research_only=True,
    how_to_get=HOW_TO_GET,
    resolve=_resolve,
    unlocated=_unlocated,
    found=_found,
)
