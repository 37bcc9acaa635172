"""Which bases there are and what the coordinator must know of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

from services.errors import BadInput, CorruptData
from services.shape.basis_file import PackedBasis, unpack
from services.shape.paint import PAINTS, SUFFIX, is_painted, paint_sha256, shape_basis
from services.words import nearest

_SHIPPED = resources.files("services.shape") / "data"


@dataclass(frozen=True)
class BasisFile:
    """A basis's data: ``<id>.npz`` in a folder, see services/shape/basis_file.py.

    sha256: of the file, pinned in the code: a changed file is refused, a changed basis gets a new id.
    """

    sha256: str
    folder: Traversable = _SHIPPED


# One line a basis, by id; the color genes come with each.
BASES = {
    "makehuman-mask-1": BasisFile("12ec16b3f010fd72ef8e8cb335bb46d08756645f9780960ae519d2e6935a4f20"),
}

DEFAULT_BASIS = "makehuman-mask-1"


@dataclass(frozen=True)
class BasisInfo:
    """What a basis offers, without its geometry.

    gene_names: one per weight of a genome, in the genome's order. source: where the data comes from.
    """

    id: str
    sha256: str
    gene_names: tuple[str, ...]
    vertex_count: int
    triangle_count: int
    landmark_names: tuple[str, ...]
    licence: str
    source: str


def basis_ids() -> tuple[str, ...]:
    """Every basis that is installed, the default first; each shape once plain and once with color genes."""
    return tuple(name for shape in BASES for name in (shape, shape + SUFFIX))


def check_hash(data: bytes, basis_id: str, expected: str) -> None:
    """Raise CorruptData where ``data`` is not the file that ``expected`` (sha256, hex) was taken of."""
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise CorruptData(
            f"the data file of basis {basis_id!r} has sha256 {found[:12]}..., expected {expected[:12]}...; "
            "install datamask again"
        )


@cache
def packed_basis(basis_id: str) -> PackedBasis:
    """Read and verify a basis's data file. BadInput for an unknown id, CorruptData for a changed file."""
    if basis_id not in basis_ids():
        raise BadInput(f"mask.basis: there is no basis {basis_id!r}{nearest(basis_id, basis_ids())}")
    if is_painted(basis_id):
        return packed_basis(shape_basis(basis_id))
    name = f"{basis_id}.npz"
    try:
        data = (BASES[basis_id].folder / name).read_bytes()
    except FileNotFoundError as error:
        raise CorruptData(
            f"the data file {name} of services.shape is missing; install datamask again"
        ) from error
    check_hash(data, basis_id, BASES[basis_id].sha256)
    packed = unpack(data, name)
    for array in (packed.neutral, packed.triangles, packed.landmarks, packed.sides):
        array.setflags(write=False)
    return packed


@cache
def basis_info(basis_id: str) -> BasisInfo:
    """Look a basis up. Raises BadInput, naming the nearest known id, where there is none of that name."""
    packed = packed_basis(basis_id)
    sha256 = BASES[shape_basis(basis_id)].sha256
    paints = tuple(paint.name for paint in PAINTS) if is_painted(basis_id) else ()
    return BasisInfo(
        id=basis_id,
        sha256=paint_sha256(sha256) if paints else sha256,
        gene_names=(*packed.header["genes"], *paints),
        vertex_count=len(packed.neutral),
        triangle_count=len(packed.triangles),
        landmark_names=tuple(packed.header["landmarks"]),
        licence=packed.header["licence"],
        source=packed.header["source"],
    )
