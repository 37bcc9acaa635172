"""How far from a basis's zero masks are asked to stay: Crispin stops before the face.

``[mask] abstraction`` is a dial from 0 to 1. At 0 nothing is asked. At 1 a mask is asked to be as far from
the neutral head, or from the blank, as noise is (its median over 256 draws; 16 mm from the head at the usual
spread of 1.2). A mask that is nearer loses fitness, in proportion to what is missing: :data:`FULL` at zero
itself. It is a soft term: a search may pass through the face on its way, but it pays to come out on the
other side.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from services.shape.catalog import basis_info
from services.shape.character import character

FULL = 2.0  # fitness: two margins of 1, more than machines that accept a mask usually give it
_DRAWS = 256

Float = NDArray[np.float32]


@cache
def noise_mm(basis: str, spread: float, limit: float) -> float:
    """How far noise is from zero: the median of the basis's measure of distance, in mm."""
    genes = len(basis_info(basis).gene_names)
    noise = spread * np.random.Generator(np.random.PCG64(0)).standard_normal((_DRAWS, genes))
    return float(np.median(_distance(basis, np.clip(noise, -limit, limit))))


def loss(dial: float, basis: str, spread: float, limit: float, genomes: Float) -> Float:
    """What each of genomes (n, d) loses of its fitness, (n,) from 0 to :data:`FULL`."""
    wanted = dial * noise_mm(basis, spread, limit)
    if wanted <= 0.0:
        return np.zeros(len(genomes), np.float32)
    missing = np.maximum(0.0, 1.0 - _distance(basis, genomes) / wanted)
    return np.asarray(FULL * np.nan_to_num(missing), np.float32)


def _distance(basis: str, genomes: NDArray[np.floating]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = character(basis, genomes)[:, 0]  # services.shape.facts.Facts.distance
    return found
