"""MTCNN: a cascade of three small networks, what face recognition was prepared with from 2016 on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.recognition.model import ModelInfo

if TYPE_CHECKING:
    from services.recognition.detect import Detector

INFO = ModelInfo(
    name="mtcnn",
    kind="detect",
    roles=("objective", "critic"),
    licence="MIT (facenet-pytorch, facenet)",
    source="https://github.com/timesler/facenet-pytorch 2.6.0, data/pnet.pt, rnet.pt and onet.pt",
    training_data=(
        "WIDER FACE: pictures of events, and CelebA: 202,599 pictures of 10,177 celebrities, both found on "
        "the web. The people in them were not asked."
    ),
    package="services.recognition",
    file="data/mtcnn.npz",
    sha256="5d303858a3f8224de3fa758ea03249638e5f2c3ef9607ef68fb3bebe68f082ac",
    threshold=0.0,
    threshold_source=(
        "above 0 where the cascade reports a face at facenet-pytorch's own thresholds 0.6, 0.7 and 0.7; "
        "below it, how far the best window got"
    ),
    how_to_get="part of datamask",
    finds="five points",
)


def build(info: ModelInfo, device: str) -> Detector:
    """See services/recognition/networks/mtcnn.py."""
    from services.recognition.networks.mtcnn import Mtcnn

    return Mtcnn(device)
