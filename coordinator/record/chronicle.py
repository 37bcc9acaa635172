"""What a run's record has to tell to people: plain numbers and words for its page, pictures and film.

Only what ``HEAD`` lists is read, so that a run that still grows can be told at any time. No torch.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from coordinator.record.evaluations import (
    best_of_first,
    joined,
    measured,
    medians_of,
    statuses_of,
    views_of,
)
from coordinator.record.lineage import Ancestor, Birth, Births, family_tree, moves
from coordinator.record.rankings import Ranking, Rankings
from coordinator.record.record import Head, Record, checkpoint_key
from coordinator.search.archive import coverage, grid_of, placed, read_archive
from coordinator.search.elites import choose_elites
from coordinator.search.grid import Grid
from coordinator.search.niches import Niches
from coordinator.search.pareto import Aims, aims_of, front, unit_of
from coordinator.search.seeds import audit_seed
from coordinator.search.topology import sources
from coordinator.spec.objectives import recorded_labels
from coordinator.spec.spec import USUAL_NOISE
from services.errors import BadInput, CorruptData
from services.exhibition.questions import asks
from services.numbers import finite
from services.recognition.catalog import model_info
from services.recognition.kinds import COMPOSITE, CONSISTENT, IDENTITY, KINDS
from services.rendering.materials import DEFAULT
from services.rendering.views import ViewRanges
from services.shape.catalog import every_measure, facts_of
from services.shape.character import apart_mm
from services.storage.store import Store
from services.wire.mask import Mask, decode_masks
from services.wire.page_plan import PagePlan, audit_of, controls_of, read_json, visitors_files

FRAMES = 12  # moments of the film between noise and face
MOST_ON_LINE = 600  # generations that they are chosen from
MOST_MASKS = 64  # masks that a page shows; a run may keep more
MOST_ARROWS = 2000
MOST_KINDS = 400  # cells of the archive that a page shows
MOST_IN_CLOUD, MOST_ON_FRONT = 1500, 24  # masks of the front's plot

Float = NDArray[np.float32]


class Chronicle:
    """Tells one run. Evaluations that were read once are kept: their files never change."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self._tables: dict[str, pa.Table] = {}
        self._rankings = Rankings(record)
        self._told: tuple[tuple[str, ...], _Rows] | None = None

    def table(self) -> pa.Table | None:
        """Every row of the evaluations that is committed now, or None while there is none."""
        return self._table(self.record.head())

    def ids(self) -> list[str]:
        """The ids of all recorded masks that were scored."""
        rows, _ = self._rows()
        return [rows.ids[row] for row in np.flatnonzero(rows.scored)]

    def masks(self, ids: Sequence[str]) -> list[Mask]:
        """Any masks that were ever scored. :raises BadInput: for an id that is none of them."""
        rows, _ = self._rows()
        return [_as_scored(rows, name) for name in ids]

    def elites(self) -> list[Mask]:
        """The run's elites, best first; none before its first checkpoint."""
        return self._elites(self.record.head(), self.record.spec_table()["elites"]["count"])

    def births(self) -> Births:
        """Where every mask comes from."""
        return self._rows()[0].births()

    def curves(self) -> dict[str, Any]:
        """See :meth:`_Rows.curves`."""
        rows, islands = self._rows()
        return rows.curves(islands)

    def _rows(self) -> tuple[_Rows, int]:
        """The evaluations as columns, and how many islands the run has."""
        spec, head = self.record.spec_table(), self.record.head()
        held = tuple(head.evaluations.values())
        if self._told is None or self._told[0] != held:
            self._told = held, _Rows(self._table(head), recorded_labels(spec))
        return self._told[1], spec["search"]["islands"]

    def plan(self, *, ids: Sequence[str] = (), done: bool = False) -> PagePlan:
        """The facts of the run as it is committed now, and the genomes that its pictures need.

        :param ids: masks to show in place of the elites: any that were ever scored, each once. done: tell of
            the run as of one that is done, for it is about to be.
        :raises BadInput: where there is no run, or no such mask; :raises CorruptData: if a committed object
            is gone or was changed. A run without a checkpoint has no masks yet.
        """
        spec, head = self.record.spec_table(), self.record.head()
        table = self._table(head)
        try:
            labels = recorded_labels(spec)
            kinds = [KINDS[o["kind"]] for o in spec["objective"]]
            detect = [
                x for x, k in zip(labels, kinds, strict=True) if k.machine == "detect" and not k.refuses
            ]
            rows = _Rows(table, labels, detect)
            elites = self._elites(head, spec["elites"]["count"])
            known = {mask.id: mask for mask in elites}
            asked = [known.get(name) or _as_scored(rows, name) for name in dict.fromkeys(ids)]
            chosen = asked or elites[:MOST_MASKS]
            facts = self._facts(spec, head, rows, labels, done)
            grid = grid_of(spec)
            kept = None if grid is None else read_archive(self.record, head, grid)
        except (KeyError, TypeError, IndexError) as error:
            raise CorruptData(
                f"{self.record.url}: run.toml or the evaluations lack {error}; restore them from a copy"
            ) from None
        births = rows.births()
        trees = {mask.id: family_tree(births, mask.id) for mask in chosen}
        story = _story(births, rows, chosen, spec["mask"]["basis"])
        facts["masks"] = [
            {**_mask(mask, labels, trees[mask.id], self.record.store), "ranked": mask.id in known}
            for mask in chosen
        ]
        facts["chosen"] = bool(ids)
        facts["story"] = [
            {"id": b.id, "generation": b.generation, "fitness": _number(b.fitness), "seen": list(seen)}
            for b, seen in story
        ]
        facts["migration"]["moves"] = _thin(moves(births.by_id))
        facts["files"] = visitors_files(self.record.store, {mask.id for mask in chosen})
        genomes = {mask.id: mask.genome for mask in chosen}
        facts["archive"] = facts["wall"] = None
        if isinstance(grid, Niches) and kept:
            facts["wall"] = _wall(kept[:MOST_KINDS], grid)
            genomes |= {mask.id: mask.genome for mask in kept[:MOST_KINDS]}
        elif isinstance(grid, Grid) and kept:
            in_sight = _in_sight(kept, grid)
            facts["archive"] = _kinds(kept, in_sight, grid, labels)
            genomes |= {mask.id: mask.genome for mask in in_sight[:MOST_KINDS]}
        aims = aims_of(spec)
        facts["front"] = None
        if aims is not None and table is not None:
            facts["front"] = _front(aims, aims.in_table(table), rows)
            genomes |= rows.genomes([mask["id"] for mask in facts["front"]["masks"]])
        wanted = {node.id for tree in trees.values() for node in tree} | {b.id for b, _ in story}
        first = best_of_first(table)
        wanted |= set() if first is None else {first}
        genomes |= rows.genomes(sorted(wanted - set(genomes)))
        work = self._work(spec, facts["manifest"])
        work["controls"] = {
            "first": first,
            "noise": spec["verify"].get("noise", USUAL_NOISE),
            "spread": spec["mask"]["spread"],
            "limit": spec["mask"]["limit"],
        }
        return PagePlan(facts, genomes, work)

    def _work(self, spec: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
        names = [f.name for f in fields(ViewRanges)]
        views = {name: spec["views"][name] for name in names if name in spec["views"]}
        if views.get("material") == [DEFAULT]:  # as in ViewRanges.table
            del views["material"]
        # dlib's audit compares 128 numbers of its own network; other networks' targets have other lengths.
        targets = [
            entry.get("target")
            for said, entry in zip(spec["objective"], manifest.get("objectives", ()), strict=False)
            if said["kind"] == IDENTITY.name and said["model"] == "dlib-resnet"
        ]
        models = manifest.get("models", {})
        thresholds = {name: m["threshold"] for name, m in models.items() if m.get("threshold") is not None}
        # Of several objectives of one machine the first one's; a consistent one asks about no person.
        stated = zip(spec["objective"], manifest.get("objectives", ()), strict=False)
        for said, entry in reversed(list(stated)):
            if KINDS[said["kind"]] != CONSISTENT and "threshold" in entry:
                thresholds[said["model"]] = entry["threshold"]
        # Of HOG the audit asks dlib's own: its answers once more would be no news.
        judges = [o["model"] for o in spec["objective"] if KINDS[o["kind"]].machine == "detect"]
        judges = [name for name in judges if name != "dlib-hog"]
        return {
            "ranges": views,
            "held_out_views": spec["verify"]["views"],
            "audit_seed": audit_seed(spec["seed"]),
            "target": next((target for target in targets if target), None),
            "thresholds": thresholds,
            # Recognizers and filters are asked by datamask verify; the audit at a run's end asks detectors.
            "judges": _detectors(judges),
            "critics": _detectors(spec["verify"].get("critics", ())),
            "research_only": [name for name, m in models.items() if m.get("research_only")],
        }

    def _table(self, head: Head) -> pa.Table | None:
        found = {}
        for key, sha256 in self.record.evaluations(head).items():
            found[sha256] = self._tables.get(sha256)
            if found[sha256] is None:
                data = self.record.part(key, sha256)
                try:
                    found[sha256] = pq.read_table(io.BytesIO(data))
                except pa.ArrowException as error:
                    raise CorruptData(f"{self.record.url}/{key}: not a parquet file ({error})") from None
        self._tables = found
        return joined([*found.values()])

    def _elites(self, head: Head, count: int) -> list[Mask]:
        key = checkpoint_key(head.epoch, "elites")
        if key not in head.parts:
            return []
        ranked = decode_masks(self.record.part(key, head.parts[key]), f"{self.record.url}/{key}")
        return choose_elites(ranked, count)

    def _facts(
        self, spec: Mapping[str, Any], head: Head, rows: _Rows, labels: Sequence[str], done: bool
    ) -> dict[str, Any]:
        search, migration, islands = spec["search"], spec["migration"], spec["search"]["islands"]
        manifest = self.record.manifest() if self.record.store.exists("manifest.json") else {}
        rankings = self._rankings.until(head)
        basis = facts_of(spec["mask"]["basis"])
        return {
            "format": 1,
            "name": spec["name"],
            "run": self.record.name,
            "seed": spec["seed"],
            "exhibition": dict(spec.get("exhibition", {})),
            "state": "done" if head.done or done else "growing",
            "generation": head.generation(spec),
            "generations": search["generations"],
            "masks_scored": rows.count,
            "views_scored": rows.views + sum(ranking.views for ranking in rankings.values()),
            "views_ranked": sum(ranking.views for ranking in rankings.values()) if rankings else None,
            "asked": {
                "aim": _aim(spec),
                "start": spec["mask"]["start"],
                "basis": spec["mask"]["basis"],
                "title": basis.title,
                "zero": basis.zero,
                "face": basis.face,
                "islands": islands,
                "population": search["population"],
                "optimizers": list(search["optimizers"]),
                "views": spec["views"]["count"],
                "size_px": spec["views"]["size_px"],
                "yaw_deg": list(spec["views"].get("yaw_deg", ())),
                "pitch_deg": list(spec["views"].get("pitch_deg", ())),
                "objectives": [
                    {
                        **{"label": label, "kind": o["kind"], "model": o["model"], "weight": o["weight"]},
                        **{"asks": list(asks(o["kind"])), "saturate": o.get("saturate", 1.0)},
                    }
                    for label, o in zip(labels, spec["objective"], strict=True)
                ],
                "critics": list(spec["verify"]["critics"]),
                "held_out_views": spec["verify"]["views"],
                "ranking_views": spec["elites"]["ranking_views"],
            },
            "objectives": list(labels),
            "curves": {**rows.curves(islands), "ranked": _ranked(rankings, spec, islands, labels)},
            "migration": {
                "topology": migration["topology"],
                "every": migration["every"],
                "count": migration["count"],
                "sources": [list(sources(migration["topology"], k, islands)) for k in range(islands)]
                if islands <= 64
                else [],
            },
            "manifest": _shown(manifest),
            "versions": dict(spec.get("versions", {})),
            "verification": read_json(self.record.store, "verify/verify.json"),
            "audit": read_json(self.record.store, "audit.json"),
            "controls": controls_of(self.record.store),
        }


def _aim(spec: Mapping[str, Any]) -> str:
    """Whose face the search was for: ``identity``, one person's; ``several`` people's; ``archetype``, any."""
    portraits = [KINDS[o["kind"]] for o in spec["objective"] if KINDS[o["kind"]].portrays]
    if not portraits:
        return "archetype"
    subject = (spec.get("consent") or {}).get("subject", "")
    listed = isinstance(subject, list) and len(subject) > 1
    return "several" if listed or COMPOSITE in portraits else "identity"


def _detectors(names: Iterable[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if model_info(name, needed=False).kind == "detect"]


class _Rows:
    """The evaluations as columns. labels: of all objectives; detect: of those that are detectors'."""

    def __init__(self, table: pa.Table | None, labels: Sequence[str], detect: Sequence[str] = ()) -> None:
        self._table, self.labels, self.detect = table, labels, detect
        empty: list[Any] = []
        self.ids: list[str] = empty if table is None else table["id"].to_pylist()
        self.island = self._column("island", np.int64)
        self.generation = self._column("generation", np.int64)
        self.fitness = self._column("fitness", np.float64)
        statuses: list[str] = empty if table is None else table["status"].to_pylist()
        self.scored = np.array([status == "ok" for status in statuses], np.bool_)
        self.values = {label: self._value(label) for label in labels}
        self.views = views_of(measured(table), labels[0]) if labels and table is not None else 0
        statuses_by_island = {} if table is None else statuses_of(table)
        self.count = sum(found["ok"] for found in statuses_by_island.values())  # of masks that were scored

    def _column(self, name: str, dtype: type) -> NDArray[Any]:
        if self._table is None:
            return np.zeros(0, dtype)
        return np.asarray(self._table[name].to_numpy(), dtype)

    def _value(self, label: str) -> NDArray[np.float64]:
        # Earlier versions wrote numbers for masks that were never scored, too.
        return np.where(self.scored, self._column(f"value {label}", np.float64), np.nan)

    def births(self) -> Births:
        """Every row as a birth."""
        if self._table is None:
            return Births([])
        parents = self._table["parents"].to_pylist()
        return Births(
            Birth(name, island, generation, fitness, tuple(p or ()))
            for name, island, generation, fitness, p in zip(
                self.ids,
                self.island.tolist(),
                self.generation.tolist(),
                self.fitness.tolist(),
                parents,
                strict=True,
            )
        )

    def genomes(self, ids: Sequence[str]) -> dict[str, Float]:
        """Genomes float32 (d,) of some masks."""
        if self._table is None or not ids:
            return {}
        place = {name: k for k, name in enumerate(self.ids)}
        rows = [place[name] for name in ids]
        taken = self._table["genome"].take(pa.array(rows)).to_pylist()
        return {name: np.asarray(genome, np.float32) for name, genome in zip(ids, taken, strict=True)}

    def first_faces(self, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Of masks in the order in which they came: for whom each is the first face, where it is one."""
        first: dict[str, tuple[str, ...]] = {}
        place = {name: k for k, name in enumerate(self.ids)}
        order = np.array([place[name] for name in ids], np.int64)
        for label in self.detect:
            faces = np.flatnonzero(self.values[label][order] > 0)
            if len(faces):
                name = ids[int(faces[0])]
                first[name] = (*first.get(name, ()), label)
        return first

    def row(self, name: str) -> int | None:
        """The place of a mask, or None."""
        try:
            return self.ids.index(name)
        except ValueError:
            return None

    def flipped(self, row: int) -> float:
        """Share of folded area of the mask in a row."""
        return float(self._column("flipped", np.float64)[row])

    def curves(self, islands: int) -> dict[str, Any]:
        """By island and generation: the best and the median fitness, and the best mask's objectives."""
        count = int(self.generation.max()) + 1 if len(self.ids) else 0
        best = np.full((islands, count), np.nan)
        median = np.full((islands, count), np.nan)
        values = {label: np.full((islands, count), np.nan) for label in self.labels}
        place = self.island * max(count, 1) + self.generation
        order = np.argsort(place, kind="stable")
        starts = np.flatnonzero(np.diff(place[order], prepend=-1))
        for group in np.split(order, starts[1:]) if len(order) else []:
            island, generation = int(self.island[group[0]]), int(self.generation[group[0]])
            known = group[np.isfinite(self.fitness[group])]
            if island >= islands or not len(known):
                continue
            top = known[int(np.argmax(self.fitness[known]))]
            best[island, generation] = self.fitness[top]
            median[island, generation] = np.median(self.fitness[known])
            for label, column in self.values.items():
                values[label][island, generation] = column[top]
        medians = {} if self._table is None else medians_of(self._table)
        for (island, generation), told in medians.items():
            if island < islands and generation < count:
                median[island, generation] = np.nan if told is None else told
        return {
            "best": [_numbers(row) for row in best],
            "median": [_numbers(row) for row in median],
            "values": {label: [_numbers(row) for row in column] for label, column in values.items()},
        }


def _ranked(
    rankings: Mapping[int, Ranking], spec: Mapping[str, Any], islands: int, labels: Sequence[str]
) -> dict[str, Any] | None:
    """Of each island at the last generation of each epoch: the best mask that it has had, as it was ranked.

    None where the record holds no rankings.
    """
    if not rankings:
        return None
    every, last = int(spec["migration"]["every"]), int(spec["search"]["generations"])
    best: list[list[float | None]] = [[] for _ in range(islands)]
    values: dict[str, list[list[float | None]]] = {label: [[] for _ in range(islands)] for label in labels}
    for island in range(islands):
        top = None
        for _, ranking in sorted(rankings.items()):
            for mask in ranking.masks:
                if mask.island == island and (top is None or mask.fitness > top.fitness):
                    top = mask
            best[island].append(None if top is None else _number(top.fitness))
            for k, label in enumerate(labels):
                values[label][island].append(None if top is None else _number(top.values[k]))
    at = [min((epoch + 1) * every, last) - 1 for epoch in sorted(rankings)]
    return {"generations": at, "best": best, "values": values}


def _as_scored(rows: _Rows, name: str) -> Mask:
    """A mask with its fitness and values on its own generation's views."""
    row = rows.row(name)
    if row is None:
        from services.words import nearest

        hint = nearest(name, rows.ids) if 0 < len(rows.ids) < 20_000 else ""
        raise BadInput(
            f"no mask {name!r} among {len(rows.ids)} recorded ones{hint if len(hint) < 200 else ''}"
        )
    if not rows.scored[row]:
        raise BadInput(f"mask {name}: it was never scored, so there is nothing to show; choose another")
    values = np.array([rows.values[label][row] for label in rows.labels], np.float32)
    return Mask(
        name,
        int(rows.island[row]),
        int(rows.generation[row]),
        rows.genomes([name])[name],
        float(rows.fitness[row]),
        values,
        rows.flipped(row),
    )


def _story(
    births: Births, rows: _Rows, chosen: Sequence[Mask], basis: str
) -> list[tuple[Birth, tuple[str, ...]]]:
    """The best masks on the best mask's island at equal steps of shape, from the first to its own, and those
    in which a detector first sees a face; with each, whose first face it is.
    """
    if not chosen:
        return []
    island, last = chosen[0].island, chosen[0].generation
    line = [births.fittest[key] for key in sorted(births.fittest) if key[0] == island]
    line = [birth for birth in line if birth.generation < last]
    if line:
        few = np.linspace(0, len(line) - 1, min(len(line), MOST_ON_LINE))
        line = [line[k] for k in np.unique(few.round().astype(int))]
    own = births.by_id.get(chosen[0].id)
    whole = [*line, own] if own is not None else line
    firsts = rows.first_faces([birth.id for birth in whole])
    if not line:
        return [(birth, firsts.get(birth.id, ())) for birth in whole]
    genomes = rows.genomes([birth.id for birth in line])
    left = apart_mm(basis, np.stack([genomes[birth.id] for birth in line]), chosen[0].genome[None])[:, 0]
    # What is left of the way to the last mask only ever shrinks: masks that strayed are passed over.
    left = np.minimum.accumulate(left)
    first_seen = {k for k, birth in enumerate(line) if birth.id in firsts}
    steps = np.linspace(left[0], 0.0, FRAMES - len(first_seen - {0}))[:-1]
    picked = {int(np.argmax(left <= step)) for step in steps if (left <= step).any()}
    picked |= first_seen | {0}
    shown = [whole[k] for k in sorted(picked)] + ([own] if own is not None else [])
    return [(birth, firsts.get(birth.id, ())) for birth in shown]


def _in_sight(kept: Sequence[Mask], grid: Grid) -> list[Mask]:
    """The best mask of each cell of the first two measures, whatever it is in the third; best first."""
    best: dict[tuple[int, ...], Mask] = {}
    for mask in kept:
        place = tuple(grid.place(placed(mask))[:2])
        if place not in best or mask.rank > best[place].rank:
            best[place] = mask
    return sorted(best.values(), key=lambda mask: mask.rank, reverse=True)


def _kinds(
    kept: Sequence[Mask], in_sight: Sequence[Mask], grid: Grid, labels: Sequence[str]
) -> dict[str, Any]:
    """The archive as the page and its picture take it: how full it is, and the masks in sight, or the best
    of them.
    """
    return {
        **coverage(kept, grid),
        "filled_in_sight": len(in_sight),
        "measures": [
            {"name": name, "unit": every_measure()[name].unit, "cells": cells, "low": low, "high": high}
            for name, cells, (low, high) in zip(grid.measures, grid.cells, grid.ranges, strict=True)
        ],
        "masks": [
            {
                "id": mask.id,
                "place": [*grid.place(placed(mask)), 0][:2],
                "fitness": _number(mask.fitness),
                "accepted": mask.accepted,
                "measures": [_number(value) for value in mask.measures],
                "values": {x: _number(float(v)) for x, v in zip(labels, mask.values, strict=True)},
            }
            for mask in in_sight[:MOST_KINDS]
        ],
    }


def _wall(kept: Sequence[Mask], niches: Niches) -> dict[str, Any]:
    """An archive of machines as its picture takes it: for each set of machines its mask."""
    told = coverage(kept, niches)
    return {
        "machines": list(niches.machines),
        **{key: told[key] for key in ("cells", "filled", "qd_score")},
        "masks": [
            {
                "id": mask.id,
                "sees": list(niches.members(placed(mask))),
                "clearness": _number(niches.quality(mask)),
                "margins": [_number(value) for value in mask.measures],
            }
            for mask in kept
        ],
    }


def _front(aims: Aims, told: NDArray[np.float64], rows: _Rows) -> dict[str, Any]:
    """What the run trades: a cloud of its masks, and those that nobody beats in everything."""
    known = np.flatnonzero(np.isfinite(told).all(axis=1))
    cloud = known[:: max(1, math.ceil(len(known) / MOST_IN_CLOUD))]
    best = front(told)
    shown = [
        best[k] for k in np.unique(np.linspace(0, len(best) - 1, min(len(best), MOST_ON_FRONT), dtype=int))
    ]
    return {
        "aims": [{"name": name, "unit": unit_of(name)} for name in aims.names],
        "count": len(best),
        "cloud": [_numbers(told[row]) for row in cloud],
        "masks": [
            {
                "id": rows.ids[row],
                "aims": _numbers(told[row]),
                "fitness": _number(float(rows.fitness[row])),
                "accepted": all(bool(column[row] > 0) for column in rows.values.values()),
            }
            for row in shown
        ],
    }


def _mask(mask: Mask, labels: Sequence[str], tree: Sequence[Ancestor], store: Store) -> dict[str, Any]:
    return {
        "id": mask.id,
        "island": mask.island,
        "generation": mask.generation,
        "fitness": _number(mask.fitness),
        "values": {label: _number(float(v)) for label, v in zip(labels, mask.values, strict=True)},
        "flipped": _number(mask.flipped),
        "lineage": [_ancestor(node) for node in tree],
        "audit": audit_of(store, mask.id),
    }


def _ancestor(node: Ancestor) -> dict[str, Any]:
    return {
        "id": node.id,
        "island": node.island,
        "generation": node.generation,
        "fitness": _number(node.fitness),
        "child": node.child,
        "edge": node.edge,
        "trunk": node.trunk,
        "noise": node.noise,
        "skipped": node.skipped,
    }


def _shown(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What of the manifest is for visitors."""
    keys = ("started", "basis", "models", "objectives", "consent", "photos_sha256", "calibrations")
    return {key: manifest[key] for key in keys if key in manifest}


def _thin(found: Sequence[Any]) -> list[Any]:
    step = max(1, math.ceil(len(found) / MOST_ARROWS))
    return [list(entry) for entry in found[::step]]


def _numbers(row: NDArray[np.float64]) -> list[float | None]:
    return [_number(value) for value in row.tolist()]


_number = partial(finite, digits=4)
