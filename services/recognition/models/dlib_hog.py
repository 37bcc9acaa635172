"""dlib's frontal face detector: five linear filters over histograms of gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.recognition.model import ModelInfo

if TYPE_CHECKING:
    from services.recognition.detect import Detector

INFO = ModelInfo(
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
    windows=True,
    finds="eye corners",
)


def build(info: ModelInfo, device: str) -> Detector:
    """See services/recognition/dlib/hog.py."""
    from services.recognition.dlib.hog import HogDetector

    return HogDetector(device)
