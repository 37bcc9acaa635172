"""BlazeFace for faces within two meters: the smaller of MediaPipe's two face detectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.recognition.model import ModelInfo

if TYPE_CHECKING:
    from services.recognition.detect import Detector

INFO = ModelInfo(
    name="blazeface-short",
    kind="detect",
    roles=("critic",),
    licence="Apache-2.0 (MediaPipe)",
    source=(
        "https://github.com/google-ai-edge/mediapipe, modules/face_detection, "
        "face_detection_short_range.tflite (in Google's own package mediapipe 0.10.21)"
    ),
    training_data=(
        "66,000 pictures of Google's own (says the paper of 2019), not public; whether those people were "
        "asked is not known."
    ),
    package="services.recognition",
    file="data/blazeface-short-range.tflite",
    sha256="bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
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
