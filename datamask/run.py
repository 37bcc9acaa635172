"""One run, from its record: the same numbers that `datamask show` and the report page tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coordinator.record.chronicle import Chronicle
from coordinator.record.record import Record
from coordinator.spec.objectives import recorded_labels
from datamask.mask import Mask
from services.errors import BadInput, Unavailable
from services.storage.open import open_store
from services.storage.store import ObjectMissing
from services.wire.page_plan import controls_of, read_json
from services.words import shown

if TYPE_CHECKING:
    from pandas import DataFrame


def open(run: str | Path) -> Run:
    """Open a run that is there: a path or a URL, as `datamask evolve` printed it.

    Only what is committed is read, so that a run may grow meanwhile.

    :raises BadInput: where there is no run; :raises CorruptData: if its spec is damaged; :raises Unavailable:
        if its place is out of reach.
    """
    return Run(Record(open_store(run)))


@dataclass(frozen=True)
class Curves:
    """Fitness by generation. best, median: float64 (islands, generations), nan where no mask was scored.

    values: by objective, the margins of each generation's best mask, of the same shape.
    """

    best: NDArray[np.float64]
    median: NDArray[np.float64]
    values: Mapping[str, NDArray[np.float64]]


class Run:
    """A run in its store. Properties read the record when they are asked; nothing is ever written."""

    def __init__(self, record: Record) -> None:
        record.spec_table()  # says what is wrong where there is no run
        self._chronicle = Chronicle(record)
        self.record = record

    def __repr__(self) -> str:
        return f"datamask.open({self.url!r})"

    @property
    def url(self) -> str:
        """Where the run is."""
        return self.record.url

    @property
    def name(self) -> str:
        """The run's own name: the last part of where it is."""
        return self.record.name

    @cached_property
    def spec(self) -> Mapping[str, Any]:
        """What was asked, with every default, as `run.toml` has it."""
        table = self.record.spec_table()
        table.pop("versions", None)
        return table

    @cached_property
    def objectives(self) -> tuple[str, ...]:
        """The names of the objectives, as columns and tables have them."""
        return tuple(recorded_labels(self.spec))

    @property
    def manifest(self) -> Mapping[str, Any]:
        """Models with hashes and licences, thresholds, consent: `manifest.json`."""
        return self.record.manifest()

    @property
    def done(self) -> bool:
        """Whether the run is complete."""
        return self.record.head().done

    @property
    def generation(self) -> int:
        """How many generations are committed."""
        return self.record.head().generation(self.spec)

    @property
    def elites(self) -> list[Mask]:
        """The best masks, best first; their fitness and values are those of the ranking views."""
        return [Mask(self._chronicle, mask) for mask in self._chronicle.elites()]

    @property
    def masks(self) -> Masks:
        """Every recorded mask that was scored, by id."""
        return Masks(self._chronicle)

    @property
    def evaluations(self) -> DataFrame:
        """One row a mask: id, island, generation, parents, genome, fitness, status, and for each objective
        its value (a margin) and its scores by view. A row whose `status` is not `ok` was not scored. Where
        the spec's `[record] evaluations` says so, there are fewer.

        :raises Unavailable: without pandas.
        """
        try:
            import pandas as pd
        except ImportError:
            raise Unavailable("evaluations are a pandas DataFrame; pip install 'datamask[pandas]'") from None
        table = self._chronicle.table()
        return pd.DataFrame() if table is None else table.to_pandas()

    @property
    def curves(self) -> Curves:
        """The best and the median fitness of each generation of each island."""
        found = self._chronicle.curves()
        islands = self.spec["search"]["islands"]

        def array(rows: list[list[float | None]]) -> NDArray[np.float64]:
            return np.array(rows, np.float64).reshape(islands, -1)

        values = {label: array(rows) for label, rows in found["values"].items()}
        return Curves(array(found["best"]), array(found["median"]), values)

    @property
    def verification(self) -> Mapping[str, Any] | None:
        """What `datamask verify` found, or None where it was not run: docs/calibration.md has the fields."""
        found = read_json(self.record.store, "verify/verify.json")
        return found if isinstance(found, dict) else None

    @property
    def controls(self) -> Mapping[str, Any] | None:
        """The best mask beside noise, the first generation's best and zero, by the newest look of machines at
        them; None where none was asked about. docs/calibration.md, "Controls", has the fields.
        """
        return controls_of(self.record.store)

    @property
    def files(self) -> list[str]:
        """The names of everything in the run, such as `lineup.png`."""
        return sorted(self.record.store.list(""))

    def read(self, name: str) -> bytes:
        """One of :attr:`files`. :raises BadInput: where there is none of that name."""
        try:
            return self.record.store.get(name)
        except ObjectMissing:
            raise BadInput(f"{self.url}: there is no file {shown(name)} in this run; see Run.files") from None

    def _repr_html_(self) -> str:
        """Where the run stands, with its line-up where it has one."""
        from services.exhibition.inline import picture_uri, smaller

        try:
            picture = picture_uri(smaller(self.read("lineup.png"), 1200), quality=80)
        except BadInput:
            picture = ""
        state = "done" if self.done else "not done"
        of = self.spec["search"]["generations"]
        rows = "".join(
            f"<tr><td>{escape(mask.id)}</td><td>{mask.fitness:+.2f}</td>"
            + "".join(f"<td>{value:+.2f}</td>" for value in mask.values.values())
            + "</tr>"
            for mask in self.elites
        )
        header = "".join(f"<th>{escape(word)}</th>" for word in ("mask", "fitness", *self.objectives))
        shown = f'<img src="{picture}" style="max-width: 100%">' if picture else ""
        return (
            f"<p>{escape(self.name)} (seed {self.spec['seed']}): {state}, generation {self.generation} "
            f"of {of}</p>{shown}<table><tr>{header}</tr>{rows}</table>"
        )


class Masks(Mapping[str, Mask]):
    """The recorded masks of a run that were scored, by id, in the order of the record."""

    def __init__(self, chronicle: Chronicle) -> None:
        self._chronicle = chronicle

    def __getitem__(self, name: str) -> Mask:
        try:
            (found,) = self._chronicle.masks([name])
        except BadInput as error:
            raise UnknownMask(f"{self._chronicle.record.url}: {error}") from None
        return Mask(self._chronicle, found)

    def __iter__(self) -> Iterator[str]:
        return iter(self._chronicle.ids())

    def __len__(self) -> int:
        return len(self._chronicle.ids())

    def __contains__(self, name: object) -> bool:
        return name in set(self._chronicle.ids())

    def __repr__(self) -> str:
        return f"<{len(self)} masks of {self._chronicle.record.url}>"


class UnknownMask(BadInput, KeyError):
    """No mask of that id, or one that no machine has seen."""
