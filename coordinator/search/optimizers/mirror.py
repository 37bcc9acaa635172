"""A search that changes left and right alike, whatever the algorithm.

Machines learned from faces, which are nearly symmetric, and from their mirror images: a step that moves the
two sides of a mask apart leads nowhere. And an evolution strategy's progress goes with one over the number of
genes that it moves (Arnold, "Noisy Optimization with Evolution Strategies", 2002). A symmetric
mask of the built-in basis has 90 free genes for 138, and the algorithm is told of these alone.

The asymmetry of the noise that a search starts from fades by a fifth in each generation. That of masks which
somebody chose to start from stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.shape.symmetry import Symmetry

FADING = 0.8  # what a generation leaves of noise's asymmetry


@dataclass(frozen=True)
class Mirror:
    """How the free genes that an optimizer moves and the genomes (..., d) of masks hang together.

    :param low, high: float32 (d,) bounds of genomes. first: float32 (m, d) masks that come first as they are.
    :param asymmetry: float64 (d,), what all masks lack alike of their mirror images, fading by ``fading`` in
        each generation. Migrants come in by their free genes, with this asymmetry.
    """

    symmetry: Symmetry
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    first: NDArray[np.float32]
    asymmetry: NDArray[np.float64]
    fading: float

    def fold(self, genomes: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """The free genes (..., k) of genomes (..., d)."""
        return self.symmetry.folded(genomes).astype(np.float32)

    def unfold(self, free: NDArray[np.floating[Any]], generation: int) -> NDArray[np.float32]:
        """Genomes (..., d) of free genes (..., k), in that generation."""
        whole = self.symmetry.unfolded(free) + self.fading**generation * self.asymmetry
        return np.clip(whole.astype(np.float32), self.low, self.high)
