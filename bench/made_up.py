"""Scores that follow from the genes alone, so that a search goes on as ever where nothing is computed."""

from __future__ import annotations

import numpy as np

from services.wire.plan import Batch, Scores
from services.wire.stack import decode_stack, encode_stacked


def stacked_scores_of(data: bytes) -> bytes:
    """The scores of a stack, as a worker writes them."""
    return encode_stacked({name: scores_of(work) for name, work in decode_stack(data, "here").items()}, {})


def scores_of(work: Batch) -> Scores:
    """Scores of the right shapes: the nearer a genome is to the neutral face, the better."""
    n, v = len(work.genomes), work.view_count
    raw = -np.square(work.genomes).mean(axis=1, keepdims=True).astype(np.float32)
    return Scores(
        raw=np.broadcast_to(raw, (len(work.plan.quantities), n, v)).copy(),
        between=np.full(n, np.nan, np.float32),
        status=np.zeros(n, np.uint8),
        flipped=np.zeros(n, np.float32),
        coverage=np.ones((n, v), np.float32),
    )
