"""Left and right: which genes of a basis are each other's mirror image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Symmetry:
    """How genomes of d genes and their mirror images hang together.

    twin (d,): the gene of the other side; its own number for a gene that moves both sides. sign (d,): -1 for
    a gene that is its own mirror image with the other sign, else 1. free (k,): the genes that a symmetric
    mask is told by: the left one of each pair, and those that move both sides.
    """

    twin: Ints
    sign: Doubles
    free: Ints

    def mirrored(self, genomes: NDArray[np.floating]) -> Doubles:
        """The genomes (..., d) of the masks' mirror images."""
        return np.asarray(genomes, np.float64)[..., self.twin] * self.sign

    def folded(self, genomes: NDArray[np.floating]) -> Doubles:
        """The free genes (..., k) of the symmetric masks that lie nearest to genomes (..., d)."""
        given = np.asarray(genomes, np.float64)
        return (given[..., self.free] + given[..., self.twin[self.free]]) / 2

    def unfolded(self, genes: NDArray[np.floating]) -> Doubles:
        """The genomes (..., d) of the symmetric masks with the free genes (..., k)."""
        genomes = np.zeros((*genes.shape[:-1], len(self.twin)))
        genomes[..., self.free] = genes
        genomes[..., self.twin[self.free]] = genes
        return genomes


def symmetry_of(twin: NDArray[np.integer[Any]], sign: NDArray[np.floating[Any]]) -> Symmetry:
    """The symmetry of genes, from each gene's twin (d,) and sign (d,). Raises ValueError for no mirror."""
    number = np.arange(len(twin))
    if twin.shape != sign.shape or not np.array_equal(twin[twin], number) or not np.isin(sign, (-1, 1)).all():
        raise ValueError("twin and sign make no mirror: it is its own inverse, and signs are 1 or -1")
    free = number[(number <= twin) & ~((number == twin) & (sign < 0))]
    found = Symmetry(twin.astype(np.int64), sign.astype(np.float64), free.astype(np.int64))
    for array in (found.twin, found.sign, found.free):
        array.flags.writeable = False
    return found
