"""What a basis says of itself, besides its geometry: whoever needs to know asks here, nobody guesses.

A basis file carries these facts in its header. That of ``makehuman-mask-1`` is older than this table: its
facts lie beside it as JSON, pinned by hash as the file is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.errors import CorruptData
from services.shape.symmetry import Symmetry, symmetry_of


@dataclass(frozen=True)
class Measure:
    """One number that tells masks apart: a function of services/shape/character.py, by ``name``.

    unit: "mm", or "" for a ratio. cells, low, high: an archive's usual axis; noise of the usual spread lies
    within its ends, but for a few.
    """

    name: str
    unit: str
    cells: int
    low: float
    high: float


@dataclass(frozen=True)
class Facts:
    """See the module's text.

    title: what it is, with its article. zero: what a genome of zeros gives, with its article. face: whether
    that has a face, so that nothing that comes out is the machines' alone. center_m: what cameras look at and
    what turns are about. symmetry: which genes are each other's mirror images. spread, sigma, limit: what a
    spec gets that does not say. edge: the usual share of the relief at the rim; None: the rim is as it is.
    color: which color genes it may have, services/shape/color.py. measures: the first says how far a mask is
    from zero.
    """

    title: str
    zero: str
    face: bool
    center_m: tuple[float, float, float]
    symmetry: Symmetry
    spread: float
    sigma: float
    limit: float
    edge: float | None
    color: str
    measures: tuple[Measure, ...]

    @property
    def distance(self) -> Measure:
        """The measure that says how far a mask is from zero."""
        return self.measures[0]

    @property
    def measure_names(self) -> tuple[str, ...]:
        """The measures' names."""
        return tuple(m.name for m in self.measures)


def read_facts(data: Mapping[str, Any], genes: int, where: str) -> Facts:
    """Facts from plain JSON data. Raises CorruptData, naming ``where``, for what does not fit ``genes``."""
    try:
        given = dict(data)
        twin, sign = np.array(given.pop("twin"), np.int64), np.array(given.pop("sign"), np.float64)
        if twin.shape != (genes,):
            raise ValueError(f"twin is of {twin.shape} for {genes} genes")
        measures = tuple(Measure(**m) for m in given.pop("measures"))
        center = given.pop("center_m")
        return Facts(
            symmetry=symmetry_of(twin, sign),
            measures=measures,
            center_m=(float(center[0]), float(center[1]), float(center[2])),
            **given,
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CorruptData(f"{where}: its facts cannot be read ({error}); install datamask again") from error
