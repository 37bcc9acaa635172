"""Ids of bases: a shape, and what a spec chose of it.

``blank-oval-1`` is a shape as it is, ``blank-oval-1+edge-100`` the same with its relief in full up to the
rim (in percent), ``blank-oval-1+edge-100+pigment-1`` that with color genes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_EDGE = re.compile(r"edge-(0|[1-9][0-9]?|100)")
COLORS = ("paint-1", "pigment-1")


@dataclass(frozen=True)
class Variant:
    """One id, taken apart. edge: share of the relief at the rim in percent; None: as the basis has it."""

    shape: str
    edge: int | None = None
    color: str | None = None

    @classmethod
    def of(cls, basis_id: str) -> Variant | None:
        """The parts of an id; None where it is none."""
        shape, *chosen = basis_id.split("+")
        color = chosen.pop() if chosen and chosen[-1] in COLORS else None
        edge = _EDGE.fullmatch(chosen.pop()) if chosen else None
        found = cls(shape, None if edge is None else int(edge[1]), color)
        return found if found.id == basis_id else None

    @property
    def id(self) -> str:
        """The id of these parts."""
        chosen = [None if self.edge is None else f"edge-{self.edge}", self.color]
        return "+".join([self.shape, *(part for part in chosen if part is not None)])


def is_painted(basis_id: str) -> bool:
    """Whether genomes of this basis end with color genes."""
    variant = Variant.of(basis_id)
    return variant is not None and variant.color is not None
