"""Tables of a spec for whoever wants more than one winner: archive, front, masks to breed from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from coordinator.search.grid import Grid
from coordinator.spec.tables import Table
from services.shape.facts import Measure

MOST_CELLS = 10_000
MOST_MACHINES = 10


class ArchiveSpec(Table):
    """Keep the best mask of every kind: one for each cell of a grid over ``measures``, or for each set of
    ``machines``.

    measures: of the basis's own, all of them where nothing is said. cells: how many along each; ranges: the
    ends of each, in the measure's unit. admit: ``all`` masks, or ``accepted`` ones only (every objective's
    margin is positive). machines: detectors of the objectives, in place of measures: a cell for each set of
    them, of masks that are faces to all of the set and to no other.
    """

    on: bool = True
    measures: list[str] = Field(default=[], max_length=3)
    cells: list[Annotated[int, Field(ge=1, le=1000)]] = Field(default=[])
    ranges: list[tuple[float, float]] = Field(default=[])
    admit: Literal["all", "accepted"] = "all"
    machines: Annotated[list[str] | None, Field(min_length=2, max_length=MOST_MACHINES)] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.machines is not None:
            return self._check_machines(self.machines)
        if not self.measures:
            raise ValueError("measures is empty; name one to three, or leave it out for all of the basis's")
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

    def _check_machines(self, machines: Sequence[str]) -> Self:
        if len(set(machines)) < len(machines):
            raise ValueError("machines names one twice")
        if self.measures or self.cells or self.ranges:
            raise ValueError("cells are of machines or of measures; leave measures, cells and ranges out")
        if self.admit != "all":
            raise ValueError('a cell of machines says who accepts its masks; leave admit = "accepted" out')
        return self

    def grid(self, basis: str) -> Grid:
        """The cells of measures, of masks of a basis."""
        return Grid(basis, tuple(self.measures), tuple(self.cells), tuple(self.ranges))


def archive_as_usual(data: Any, measures: Sequence[Measure]) -> Any:
    """An archive's table as it is read, with what a basis of these measures has where it says nothing.

    :raises ValueError: for a measure that the basis does not have.
    """
    if isinstance(data, bool):
        data = {"on": data}
    if not isinstance(data, Mapping) or data.get("machines") is not None:
        return data
    known = {measure.name: measure for measure in measures}
    names = data.get("measures", list(known))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return data
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        *some, last = map(repr, known)
        raise ValueError(f"[archive] measures holds '{unknown}'; expected {', '.join(some)} or {last}")
    axes = [known[name] for name in names]
    usual = {"measures": names, "cells": [m.cells for m in axes], "ranges": [[m.low, m.high] for m in axes]}
    return {**usual, **data}


class ParetoSpec(Table):
    """What pulls apart: masks that nobody beats in all of these ``aims`` at once make the run's front.

    An aim is ``fitness`` (all objectives together), a measure of the basis (``abstraction``, ``relief``,
    ``asymmetry`` ...), or one objective by its label, such as ``identity:dlib-resnet``. More is better.
    """

    aims: list[str] = Field(default=[], min_length=2, max_length=4, validate_default=True)


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
