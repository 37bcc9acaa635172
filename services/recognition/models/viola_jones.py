"""OpenCV's cascade of Haar features: how machines found faces before networks did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.recognition.model import ModelInfo

if TYPE_CHECKING:
    from services.recognition.detect import Detector

INFO = ModelInfo(
    name="viola-jones",
    kind="detect",
    roles=("objective", "critic"),
    licence="Intel License Agreement For Open Source Computer Vision Library (BSD-like), with OpenCV",
    source="https://github.com/opencv/opencv, data/haarcascades/haarcascade_frontalface_default.xml",
    training_data="Gathered at Intel by Rainer Lienhart about 2000; neither set nor consent is public.",
    package="cv2",
    file="data/haarcascade_frontalface_default.xml",
    sha256="0f7d4527844eb514d4a4948e822da90fbb16a34a0bbbbc6adc6498747a5aafb0",
    threshold=0.0,
    threshold_source="above 0 where OpenCV's plain call reports a face; below it, stages that were missing",
    how_to_get='pip install "opencv-python-headless>=4.14,<5" (OpenCV 5 no longer ships the cascades)',
    scale=4.0,
    runtime=("opencv-python-headless", "opencv-python"),
)


def build(info: ModelInfo, device: str) -> Detector:
    """See services/recognition/classical/graded_cascade.py."""
    from services.recognition.classical.graded_cascade import GradedCascade

    return GradedCascade(device)
