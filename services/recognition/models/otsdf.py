"""A correlation filter: the "image correlation techniques" of before the networks."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from services.recognition.model import ModelInfo

if TYPE_CHECKING:
    from services.recognition.correlate import Correlator

INFO = ModelInfo(
    name="otsdf",
    kind="correlate",
    roles=("objective", "critic"),
    licence="Apache-2.0 (our code; the method is published)",
    source=(
        "Refregier, Optics Letters 1991; Mahalanobis, Kumar and Casasent, Applied Optics 1987 (MACE); "
        "Savvides, Kumar and Khosla 2002 (faces, peak-to-sidelobe ratio)"
    ),
    training_data="none of its own: it is built from a run's reference pictures",
    package="services.recognition",
    file=None,
    sha256=hashlib.sha256(b"datamask otsdf 1").hexdigest(),  # code has no weights: count up when it changes
    threshold=9.7,
    threshold_source=(
        "python -m bench.classical: 1 in 100 renders of random heads reach it at the filter of the neutral "
        "head; Savvides et al. take about 10 on photographs"
    ),
    how_to_get="part of datamask",
    scale=2.5,
)


def build(info: ModelInfo, device: str) -> Correlator:
    """See services/recognition/classical/otsdf.py."""
    from services.recognition.classical.otsdf import OtsdfCorrelator

    return OtsdfCorrelator()
