"""A basis: the mask that weights of zero give, and what each gene does to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Protocol

import numpy as np
import numpy.typing as npt

from services.shape.catalog import basis_info, color_genes, landmarks_of, packed_basis
from services.shape.facts import Facts
from services.shape.paint import ColorGenes


class Basis(Protocol):
    """What a decoder needs. All arrays are read-only; lengths are in meters, in the project's one frame.

    gene_names: G names, in the genome's order. neutral: ``(V, 3)`` float32. positive, negative: ``(G, V, 3)``
    float32, the displacement at weight +1 and at weight -1. triangles: ``(T, 3)`` int32, counter-clockwise
    seen from outside. landmarks: name -> vertex index ("left" is the viewer's left, -X); a blank has none.
    colors: what the last genes, which are colors, do. facts: what the basis says of itself.
    """

    @property
    def id(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def gene_names(self) -> tuple[str, ...]: ...
    @property
    def neutral(self) -> npt.NDArray[np.float32]: ...
    @property
    def positive(self) -> npt.NDArray[np.float32]: ...
    @property
    def negative(self) -> npt.NDArray[np.float32]: ...
    @property
    def triangles(self) -> npt.NDArray[np.int32]: ...
    @property
    def landmarks(self) -> Mapping[str, int]: ...
    @property
    def colors(self) -> ColorGenes: ...
    @property
    def facts(self) -> Facts: ...


@dataclass(frozen=True)
class LinearBasis:
    """A basis read from a data file. See :class:`Basis` for the fields."""

    id: str
    sha256: str
    gene_names: tuple[str, ...]
    neutral: npt.NDArray[np.float32]
    positive: npt.NDArray[np.float32]
    negative: npt.NDArray[np.float32]
    triangles: npt.NDArray[np.int32]
    landmarks: Mapping[str, int]
    colors: ColorGenes
    facts: Facts


@cache
def load_basis(basis_id: str) -> Basis:
    """Read a basis by its id. Raises BadInput for an unknown id, CorruptData for a damaged data file."""
    info = basis_info(basis_id)
    packed = packed_basis(basis_id)
    # Color genes come last and move nothing.
    still = np.zeros((len(color_genes(basis_id)), info.vertex_count, 3), np.float32)
    positive, negative = (np.concatenate([side, still]) for side in packed.sides_m(info.facts.edge or 0.0))
    triangles = packed.triangles.astype(np.int32)
    for array in (positive, negative, triangles):
        array.setflags(write=False)
    return LinearBasis(
        info.id,
        info.sha256,
        info.gene_names,
        packed.neutral,
        positive,
        negative,
        triangles,
        MappingProxyType(landmarks_of(packed)),
        color_genes(basis_id),
        info.facts,
    )
