"""Tables of a spec for whoever wants more than one winner: archive, front, masks to breed from."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from coordinator.search.grid import Grid
from coordinator.spec.tables import Table

MeasureName = Literal["abstraction", "asymmetry", "expression"]
MOST_CELLS = 10_000

# Cells and ends of each measure. Noise of the usual spread is 8 to 34 mm from the neutral head and 4 to 35 mm
# from its mirror image (1,000 draws); what lies beyond an end belongs to the last cell.
_USUAL: dict[str, tuple[int, tuple[float, float]]] = {
    "abstraction": (8, (0.0, 24.0)),
    "asymmetry": (6, (0.0, 15.0)),
    "expression": (3, (0.0, 0.6)),
}


class ArchiveSpec(Table):
    """Keep the best mask of every kind: one for each cell of a grid over ``measures``.

    cells: how many along each measure; ranges: the ends of each, in mm for abstraction and asymmetry. admit:
    ``all`` masks, or ``accepted`` ones only (every objective's margin is positive).
    """

    on: bool = True
    measures: list[MeasureName] = Field(
        default=["abstraction", "asymmetry", "expression"], min_length=1, max_length=3
    )
    cells: list[Annotated[int, Field(ge=1, le=1000)]] = Field(default=[])
    ranges: list[tuple[float, float]] = Field(default=[])
    admit: Literal["all", "accepted"] = "all"

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, data: Any) -> Any:
        if isinstance(data, bool):
            data = {"on": data}
        if not isinstance(data, dict):
            return data
        names = data.get("measures", list(_USUAL))
        if not isinstance(names, list) or not all(isinstance(name, str) and name in _USUAL for name in names):
            return data
        usual = {"cells": [_USUAL[n][0] for n in names], "ranges": [list(_USUAL[n][1]) for n in names]}
        return {**usual, **data}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.measures)) < len(self.measures):
            raise ValueError("measures names one twice")
        for key, given in (("cells", self.cells), ("ranges", self.ranges)):
            if len(given) != len(self.measures):
                raise ValueError(
                    f"{key} has {len(given)} entries, expected one for each of {len(self.measures)} measures"
                )
        for low, high in self.ranges:
            if not low < high:
                raise ValueError(f"ranges holds [{low:g}, {high:g}], expected [low, high] with low < high")
        if math.prod(self.cells) > MOST_CELLS:
            raise ValueError(f"cells make {math.prod(self.cells)} cells, expected at most {MOST_CELLS}")
        return self

    def grid(self, basis: str) -> Grid:
        """The cells of masks of a basis."""
        return Grid(basis, tuple(self.measures), tuple(self.cells), tuple(self.ranges))


class ParetoSpec(Table):
    """What pulls apart: masks that nobody beats in all of these ``aims`` at once make the run's front.

    An aim is ``fitness`` (all objectives together), a measure (``abstraction``, ``asymmetry``,
    ``expression``), or one objective by its label, such as ``identity:dlib-resnet``. More of each is better.
    """

    aims: list[str] = Field(default=["fitness", "abstraction"], min_length=2, max_length=4)


class BreedSpec(Table):
    """Which masks of another run this one was bred from; written by ``datamask breed``, not by hand.

    run: that run's name. masks: ids to start from. pin: ids that stay among the elites. veto: ids that stay
    out, with all masks within ``veto_distance`` of them (root mean square difference of the weights).
    genomes: SHA-256 of the object ``parents`` in the run's store, which holds all their genomes.
    """

    run: str
    masks: list[str] = Field(min_length=1)
    pin: list[str] = Field(default=[])
    veto: list[str] = Field(default=[])
    veto_distance: Annotated[float, Field(gt=0, le=10)] = 0.5
    genomes: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
