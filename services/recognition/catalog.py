"""The one registry of detectors, recognizers and correlation filters: what they are, whose, and for what.

Every model is one file in services/recognition/models/ (its package text says how to add one). This module
imports neither torch nor dlib nor OpenCV, so that the coordinator can read thresholds, roles and hashes
without loading a network. :func:`detector`, :func:`recognizer` and :func:`correlator` load one, where torch
is at hand::

    info = catalog.model_info("dlib-resnet")          # kind, threshold, measure, scale, licence, sha256 ...
    machine = catalog.recognizer(info.name, "cpu")    # a Recognizer: points, embed, compare, unlikeness
    embeddings = machine.embed(images, points_px)     # points_px: the landmarks machine.points, in order
    answers = machine.compare(embeddings, reference)  # in info.measure's units

Some models are not listed, because people bring the files: ``onnx:FILE.onnx`` and ``insightface:PACK/FILE``
(:func:`families`). Their entries are made from the file, wherever :func:`services.recognition.files.places`
says that files may lie.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import pkgutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from services.errors import BadInput, CorruptData, Unavailable
from services.recognition import files
from services.recognition import models as _entries
from services.recognition.model import AnswerKind, Family, Kind, ModelInfo, Role
from services.words import nearest

if TYPE_CHECKING:
    from services.recognition.correlate import Correlator
    from services.recognition.detect import Detector
    from services.recognition.recognize import Recognizer

__all__ = ["AnswerKind", "Family", "Kind", "ModelInfo", "Role"]


def _modules() -> tuple[ModuleType, ...]:
    return _modules_in(tuple(_entries.__path__))


@cache
def _modules_in(folders: tuple[str, ...]) -> tuple[ModuleType, ...]:
    names = sorted(found.name for found in pkgutil.iter_modules(folders))
    return tuple(importlib.import_module(f"{_entries.__name__}.{name}") for name in names)


def models() -> tuple[ModelInfo, ...]:
    """Every listed model, in a fixed order. Those of a family are not: see :func:`found`."""
    return tuple(module.INFO for module in _modules() if hasattr(module, "INFO"))


def families() -> tuple[Family, ...]:
    """The families of models whose files people bring, in a fixed order."""
    return tuple(module.FAMILY for module in _modules() if hasattr(module, "FAMILY"))


def found() -> tuple[ModelInfo, ...]:
    """The families' models whose files lie on this machine; a file that is no model is left out."""
    entries = []
    for family in families():
        for name in family.found():
            try:
                entries.append(family.resolve(name, None))
            except (BadInput, Unavailable, CorruptData):
                continue
    return tuple(entries)


def model_info(name: str, sha256: str | None = None, *, needed: bool = True) -> ModelInfo:
    """The entry of that name.

    sha256: for a file that the user brings, the one of that hash is looked for. needed: False gives an entry
    of kind ``unknown`` where such a file is not here, instead of raising Unavailable. BadInput, with the
    nearest known name, if there is no such model.
    """
    for info in models():
        if info.name == name:
            return info
    for family in families():
        if name.startswith(family.prefix + ":"):
            try:
                return family.resolve(name, sha256)
            except Unavailable:
                if needed:
                    raise
                return family.unlocated(name)
    known = [info.name for info in models()]
    files = ", ".join(family.example for family in families())
    raise BadInput(f"unknown model {name!r}{nearest(name, known)}; of your own files: {files}")


def detector(name: str, device: str = "cpu", sha256: str | None = None) -> Detector:
    """The detector of that name, ready on a torch device. BadInput if it is none; see also :func:`verify`."""
    made: Detector = _build(name, "detect", device, sha256)
    return made


def recognizer(name: str, device: str = "cpu", sha256: str | None = None) -> Recognizer:
    """The recognizer of that name, ready on a torch device; errors as in :func:`detector`."""
    made: Recognizer = _build(name, "recognize", device, sha256)
    return made


def correlator(name: str, device: str = "cpu", sha256: str | None = None) -> Correlator:
    """The correlation filter of that name, ready on a torch device; errors as in :func:`detector`."""
    made: Correlator = _build(name, "correlate", device, sha256)
    return made


def runtimes(infos: Iterable[ModelInfo]) -> dict[str, str]:
    """Name and version of every library that these models' bits depend on besides torch and numpy.

    Unavailable where a model needs one that is not installed.
    """
    found = {}
    for info in infos:
        versions = [(name, _version(name)) for name in info.runtime]
        there = [f"{name} {version}" for name, version in versions if version is not None]
        if info.runtime and not there:
            raise Unavailable(f"model {info.name!r} needs {info.runtime[0]}; pip install {info.runtime[0]}")
        if there:
            found[info.runtime[0]] = there[0]
    return found


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _build(name: str, kind: Kind, device: str, sha256: str | None) -> Any:
    info = model_info(name, sha256)
    if info.kind != kind:
        raise BadInput(f"model {name!r} is a {info.kind} model, not one to {kind}")
    return _module(info).build(info, device)


def _module(info: ModelInfo) -> ModuleType:
    for module in _modules():
        if hasattr(module, "INFO") and module.INFO.name == info.name:
            return module
        if hasattr(module, "FAMILY") and info.name.startswith(module.FAMILY.prefix + ":"):
            return module
    raise BadInput(f"unknown model {info.name!r}")


def locate(info: ModelInfo) -> Path | None:
    """Path of the weights file, or None where it is not installed or the model has no file of its own.

    The package is found without importing it: face_recognition_models needs pkg_resources to be imported,
    and nobody should pay for importing OpenCV here.
    """
    if info.file is None:
        return None
    if info.parcel is not None:
        return files.find(info.file, info.sha256)
    folder = _package_folder(info.package) if info.package else Path("/")
    if folder is None:
        return None
    path = folder / info.file
    return path if path.is_file() else None


def installed(info: ModelInfo) -> bool:
    """Whether the model's file, or the library that holds it, is here. Does not check the hash."""
    return _package_folder(info.package) is not None if info.file is None else locate(info) is not None


def verify(info: ModelInfo) -> Path:
    """Path of the weights file after its hash was checked.

    Unavailable if it is not installed, CorruptData if its bytes are not those that the catalog pins.
    """
    path = locate(info)
    if path is None:
        raise Unavailable(f"{info.name}: weights not found; get them with: {info.how_to_get}")
    check_bytes(info, path.read_bytes(), str(path))
    return path


def read_verified(info: ModelInfo, path: Path | None = None) -> bytes:
    """The weights' bytes, hash checked. path overrides where they are read from; errors as in verify."""
    path = locate(info) if path is None else path
    if path is None or not path.is_file():
        raise Unavailable(f"{info.name}: weights not found; get them with: {info.how_to_get}")
    data = path.read_bytes()
    check_bytes(info, data, str(path))
    return data


def check_bytes(info: ModelInfo, data: bytes, where: str) -> None:
    """Raise CorruptData unless the bytes have the pinned SHA-256; where says in the message what was read."""
    found = hashlib.sha256(data).hexdigest()
    if found != info.sha256:
        raise CorruptData(
            f"{info.name}: {where} has sha256 {found}, expected {info.sha256}; install again: "
            f"{info.how_to_get}"
        )


def _package_folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent
