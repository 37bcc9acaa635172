"""Which bases there are and what the coordinator must know of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

import numpy as np

from services.errors import BadInput, CorruptData
from services.shape.basis_file import PackedBasis, PackedWaves, unpack
from services.shape.facts import Facts, Measure, read_facts
from services.shape.paint import PAINTS, ColorGenes, colors_sha256, paint
from services.shape.pigment import FIELDS, pigment
from services.shape.symmetry import symmetry_of
from services.shape.variant import Variant
from services.words import nearest

_SHIPPED = resources.files("services.shape") / "data"


@dataclass(frozen=True)
class BasisFile:
    """A basis's data: ``<id>.npz`` in a folder, see services/shape/basis_file.py.

    sha256: of the file, pinned in the code: a changed file is refused, a changed basis gets a new id. facts:
    SHA-256 of ``<id>.facts.json``, where the file itself holds none.
    """

    sha256: str
    folder: Traversable = _SHIPPED
    facts: str | None = None


# One line a basis, by id; the color genes come with each.
BASES = {
    "makehuman-mask-1": BasisFile(
        "12ec16b3f010fd72ef8e8cb335bb46d08756645f9780960ae519d2e6935a4f20",
        facts="3f5562fba4288c089769c94ee0ff7e453d7fc53e56aac8f7581ea3bab02f98b9",
    ),
    "blank-oval-1": BasisFile("05301b955614d862c626704da527757d6e2a147bdfe3a177a26c9ce5109e6d94"),
    "blank-plaque-1": BasisFile("bd579ebe5babcbc96242f02f208caaaa360616e27ecf4d39a1f8b81865ccfba5"),
    "blank-egg-1": BasisFile("57dab7dfe7aa4b65dcfb073e35ef55ba4e0bace226ee9470db7abca97400bb21"),
}

DEFAULT_BASIS = "makehuman-mask-1"


@dataclass(frozen=True)
class BasisInfo:
    """What a basis offers, without its geometry.

    gene_names: one per weight of a genome, in the genome's order, colors last. source: where the data comes
    from.
    """

    id: str
    sha256: str
    gene_names: tuple[str, ...]
    vertex_count: int
    triangle_count: int
    landmark_names: tuple[str, ...]
    licence: str
    source: str
    facts: Facts


def basis_ids() -> tuple[str, ...]:
    """Every basis that is installed, the default first; each shape once plain and once with color genes."""
    return tuple(name for shape in BASES for name in (shape, with_color(shape)))


def with_color(basis_id: str) -> str:
    """The id of the same basis with its color genes. BadInput for an unknown id."""
    variant = _known(basis_id)
    return replace(variant, color=_facts(variant.shape).color).id


def with_edge(basis_id: str, edge: float) -> str:
    """The id of the same basis with another share of the relief at its rim, from 0 to 1.

    :raises BadInput: for an unknown id, and for a basis whose rim is as it is.
    """
    variant = _known(basis_id)
    if _facts(variant.shape).edge is None:
        have = " or ".join(repr(name) for name in BASES if _facts(name).edge is not None)
        raise BadInput(
            f"mask.edge: the rim of {variant.shape!r} is as it is; leave edge out, or take basis = {have}"
        )
    return replace(variant, edge=round(100 * edge)).id


def check_face(basis_id: str, what: str) -> None:
    """:raises BadInput: where a basis has no face at zero, which ``what`` needs; naming those that have."""
    if not facts_of(basis_id).face:
        have = " or ".join(repr(name) for name in BASES if _facts(name).face)
        raise BadInput(f"{what} needs a basis with a face at zero, and {basis_id!r} has none; take {have}")


def check_hash(data: bytes, basis_id: str, expected: str) -> None:
    """Raise CorruptData where ``data`` is not the file that ``expected`` (sha256, hex) was taken of."""
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise CorruptData(
            f"the data file of basis {basis_id!r} has sha256 {found[:12]}..., expected {expected[:12]}...; "
            "install datamask again"
        )


def packed_basis(basis_id: str) -> PackedBasis:
    """Read and verify a basis's data file. BadInput for an unknown id, CorruptData for a changed file."""
    return _packed(_known(basis_id).shape)


@cache
def color_genes(basis_id: str) -> ColorGenes:
    """The color genes of a basis; none where its id names none. Raises as :func:`packed_basis`."""
    packed, color = packed_basis(basis_id), _known(basis_id).color
    if color is None:
        return ColorGenes.none(len(packed.neutral))
    if isinstance(packed, PackedWaves):
        return pigment(packed)
    return paint(packed.neutral, landmarks_of(packed))


def landmarks_of(packed: PackedBasis) -> dict[str, int]:
    """The vertex of each landmark name."""
    return dict(zip(packed.header["landmarks"], packed.landmarks.tolist(), strict=True))


@cache
def basis_info(basis_id: str) -> BasisInfo:
    """Look a basis up. Raises BadInput, naming the nearest known id, where there is none of that name."""
    variant, packed = _known(basis_id), packed_basis(basis_id)
    facts, colors = _facts(variant.shape), color_genes(basis_id)
    if colors.names:
        own = facts.symmetry
        twin = np.concatenate([own.twin, len(own.twin) + np.arange(len(colors))])
        facts = replace(facts, symmetry=symmetry_of(twin, np.concatenate([own.sign, colors.sign])))
    if variant.edge is not None:
        facts = replace(facts, edge=variant.edge / 100)
    return BasisInfo(
        id=basis_id,
        sha256=_sha256(variant),
        gene_names=(*packed.header["genes"], *colors.names),
        vertex_count=len(packed.neutral),
        triangle_count=len(packed.triangles),
        landmark_names=tuple(packed.header["landmarks"]),
        licence=packed.header["licence"],
        source=packed.header["source"],
        facts=facts,
    )


def every_measure() -> dict[str, Measure]:
    """The measures of all installed bases, by name."""
    return {measure.name: measure for shape in BASES for measure in _facts(shape).measures}


def facts_of(basis_id: str) -> Facts:
    """What a basis says of itself. Raises BadInput for an unknown id."""
    return basis_info(basis_id).facts


def _known(basis_id: str) -> Variant:
    """The parts of an id. BadInput where there is no such basis."""
    variant = Variant.of(basis_id)
    if variant is not None and variant.shape in BASES:
        facts = _facts(variant.shape)
        fits = variant.edge is None or facts.edge is not None
        if fits and variant.color in (None, facts.color):
            return variant
    raise BadInput(f"mask.basis: there is no basis {basis_id!r}{nearest(basis_id, basis_ids())}")


@cache
def _packed(shape: str) -> PackedBasis:
    """An installed basis's file."""
    name = f"{shape}.npz"
    return unpack(_read(shape, name, BASES[shape].sha256), name)


@cache
def _facts(shape: str) -> Facts:
    """What an installed basis says of itself, without color genes."""
    name, beside, header = f"{shape}.npz", BASES[shape].facts, _packed(shape).header
    data = header.get("facts")
    if beside is not None:
        name = f"{shape}.facts.json"
        data = json.loads(_read(shape, name, beside))
    if data is None:
        raise CorruptData(f"{name}: it does not say what basis it is (facts); build it anew")
    return read_facts(data, len(header["genes"]), name)


def _read(shape: str, name: str, sha256: str) -> bytes:
    try:
        data = (BASES[shape].folder / name).read_bytes()
    except FileNotFoundError as error:
        raise CorruptData(
            f"the data file {name} of services.shape is missing; install datamask again"
        ) from error
    check_hash(data, shape, sha256)
    return data


def _sha256(variant: Variant) -> str:
    """What a variant's content is known by."""
    found = BASES[variant.shape].sha256
    if variant.edge is not None:
        found = hashlib.sha256(f"{found}\nedge {variant.edge}".encode()).hexdigest()
    if variant.color is not None:
        found = colors_sha256(found, PAINTS if variant.color == "paint-1" else FIELDS)
    return found
