"""Eigenfaces: the face recognition of 1991, on a basis of rendered random heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.recognition.model import ModelInfo

if TYPE_CHECKING:
    from services.recognition.recognize import Recognizer

INFO = ModelInfo(
    name="eigenfaces",
    kind="recognize",
    roles=("objective", "critic"),
    licence="CC0-1.0 (the basis, made from MakeHuman's head), Apache-2.0 (our code)",
    source="Turk and Pentland, Eigenfaces for Recognition, J. Cognitive Neuroscience 1991",
    training_data="renders of random heads of our own basis: nobody's face",
    package="services.recognition",
    file="data/eigenfaces-1.npz",
    sha256="cf7f5b5df4df387219f90a95bbd9cb275a047629dfc12299d5dded9e63393294",
    threshold=0.45,
    threshold_source=(
        "python -m bench.classical: 1 in 100 pairs of rendered random heads lie below, and "
        "none of 90 pairs of one head in two views do: it tells pictures apart, hardly people"
    ),
    how_to_get="part of datamask",
    measure="distance",
    scale=0.1,
)


def build(info: ModelInfo, device: str) -> Recognizer:
    """See services/recognition/classical/eigenfaces.py."""
    from services.recognition.classical.eigenfaces import EigenfaceRecognizer

    return EigenfaceRecognizer(device)
