"""Histograms of local binary patterns: face recognition of the mid-2000s, without any training."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from services.recognition.model import ModelInfo

if TYPE_CHECKING:
    from services.recognition.recognize import Recognizer

INFO = ModelInfo(
    name="lbp",
    kind="recognize",
    roles=("objective", "critic"),
    licence="Apache-2.0 (our code; the method is published)",
    source="Ahonen, Hadid and Pietikäinen, Face Recognition with Local Binary Patterns, ECCV 2004",
    training_data="none: nothing was learned from anybody",
    package="services.recognition",
    file=None,
    sha256=hashlib.sha256(b"datamask lbp 1").hexdigest(),  # code has no weights: count up when it changes
    threshold=0.41,
    threshold_source=(
        "python -m bench.classical: 1 in 100 pairs of rendered random heads lie below, and "
        "only 3 in 100 pairs of one head in two views do: it tells pictures apart, hardly people"
    ),
    how_to_get="part of datamask",
    measure="distance",
    scale=0.1,
    formula="chi-square",
)


def build(info: ModelInfo, device: str) -> Recognizer:
    """See services/recognition/classical/lbp.py."""
    from services.recognition.classical.lbp import LbpRecognizer

    return LbpRecognizer()
