"""A face basis: a neutral mask and what each gene does to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Protocol

import numpy as np
import numpy.typing as npt

from services.shape.basis_file import dense
from services.shape.catalog import basis_info, packed_basis
from services.shape.paint import is_painted, region_weights


class Basis(Protocol):
    """What a decoder needs. All arrays are read-only; lengths are in meters, in the project's one frame.

    gene_names: G names, in the genome's order. neutral: ``(V, 3)`` float32. positive, negative: ``(G, V, 3)``
    float32, the displacement at weight +1 and at weight -1. triangles: ``(T, 3)`` int32, counter-clockwise
    seen from outside. landmarks: name -> vertex index ("left" is the viewer's left, -X). paint: how much each
    of the last P genes, which are colors, covers each vertex, ``(P, V)`` float32; P is 0 without color genes.
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
    def paint(self) -> npt.NDArray[np.float32]: ...


@dataclass(frozen=True)
class MorphBasis:
    """A basis of morph targets, read from a data file. See :class:`Basis` for the fields."""

    id: str
    sha256: str
    gene_names: tuple[str, ...]
    neutral: npt.NDArray[np.float32]
    positive: npt.NDArray[np.float32]
    negative: npt.NDArray[np.float32]
    triangles: npt.NDArray[np.int32]
    landmarks: Mapping[str, int]
    paint: npt.NDArray[np.float32]


@cache
def load_basis(basis_id: str) -> Basis:
    """Read a basis by its id. Raises BadInput for an unknown id, CorruptData for a damaged data file."""
    info = basis_info(basis_id)
    packed = packed_basis(basis_id)
    shape = (len(info.gene_names), info.vertex_count, 3)
    # Color genes come last and move nothing.
    positive, negative = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for gene, (up, down) in enumerate(packed.sides.tolist()):
        positive[gene] = dense(packed, up)
        negative[gene] = dense(packed, down) if down >= 0 else -positive[gene]
    triangles = packed.triangles.astype(np.int32)
    for array in (positive, negative, triangles):
        array.setflags(write=False)
    landmarks = dict(zip(info.landmark_names, packed.landmarks.tolist(), strict=True))
    paint = np.zeros((0, info.vertex_count), np.float32)
    if is_painted(basis_id):
        paint = region_weights(packed.neutral, landmarks)
    paint.setflags(write=False)
    return MorphBasis(
        info.id,
        info.sha256,
        info.gene_names,
        packed.neutral,
        positive,
        negative,
        triangles,
        MappingProxyType(landmarks),
        paint,
    )
