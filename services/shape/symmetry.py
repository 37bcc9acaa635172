"""Left and right: which genes of a basis are each other's mirror image.

MakeHuman names its targets by side: `l-eye-scale` has its twin in `r-eye-scale`. `asym-jaw-1-l|r` is, nearly,
its own mirror image with the other sign, and so are the shifts of nose and mouth to a side. All other genes
move both sides alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from services.shape.catalog import basis_info

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

_LEFT, _RIGHT = "l-", "r-"
_ONE_SIDED = ("asym-", "nose-trans-in|", "mouth-trans-in|")


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


@cache
def symmetry(basis_id: str) -> Symmetry:
    """The symmetry of a basis's genes. Raises BadInput for an unknown basis."""
    names = basis_info(basis_id).gene_names
    number = {name: k for k, name in enumerate(names)}
    other = {_LEFT: _RIGHT, _RIGHT: _LEFT}
    twin = [number[other.get(name[:2], name[:2]) + name[2:]] for name in names]
    free = [k for k, name in enumerate(names) if not name.startswith((_RIGHT, *_ONE_SIDED))]
    found = Symmetry(
        np.array(twin, np.int64),
        np.array([-1.0 if name.startswith(_ONE_SIDED) else 1.0 for name in names]),
        np.array(free, np.int64),
    )
    for array in (found.twin, found.sign, found.free):
        array.flags.writeable = False
    return found
