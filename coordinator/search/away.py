"""New searches of an island keep away from the faces that it has found: another face is asked for.

A mask that lies nearer to a found one than half of what two noise masks lie apart loses fitness, in
proportion to what is missing: as much as at the dial's end (:data:`coordinator.search.dial.FULL`) where the
two are one. It is a soft term, as the dial is.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from coordinator.search.dial import FULL
from services.shape.catalog import facts_of
from services.shape.character import apart_mm

SHARE = 0.5  # of the distance between noise masks
_DRAWS = 64

Float = NDArray[np.float32]


@cache
def noise_apart_mm(basis: str, spread: float, limit: float, symmetric: bool) -> float:
    """What two noise masks of a basis lie apart, in mm: the median over draws."""
    sides = facts_of(basis).symmetry
    generator = np.random.Generator(np.random.PCG64(0))
    noise = np.clip(spread * generator.standard_normal((2 * _DRAWS, len(sides.twin))), -limit, limit)
    if symmetric:
        noise = sides.unfolded(sides.folded(noise))
    return float(np.median(apart_mm(basis, noise[:_DRAWS], noise[_DRAWS:])))


def loss(found: Float, basis: str, spread: float, limit: float, symmetric: bool, genomes: Float) -> Float:
    """What each of genomes (n, d) loses of its fitness for its nearness to found ones (k, d), (n,)."""
    wanted = SHARE * noise_apart_mm(basis, spread, limit, symmetric)
    nearest = apart_mm(basis, genomes, found).min(axis=1)
    return np.asarray(FULL * np.maximum(0.0, 1.0 - np.nan_to_num(nearest) / wanted), np.float32)
