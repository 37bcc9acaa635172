"""A run's figures for a paper, from its record."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from coordinator.search.archive import grid_of, placed, read_archive
from coordinator.search.niches import Niches
from datamask.run import Run
from datamask.run import open as open_run
from services.errors import BadInput, CorruptData, reason_of
from services.exhibition.paper import (
    Chart,
    Format,
    Gazed,
    archive_chart,
    curves_chart,
    gaze_chart,
    matrix_chart,
    rates_chart,
)
from services.exhibition.sets_chart import sets_chart
from services.shape.catalog import every_measure
from services.words import shown

FORMATS: tuple[Format, ...] = ("svg", "pdf", "png")
Bar = tuple[str, str, tuple[float, float, float], int]


def figures(
    run: Run | str | Path, folder: str | Path, formats: Sequence[Format] = ("svg", "pdf")
) -> list[Path]:
    """Write what the record has figures for: curves, rates and matrices of `datamask verify`, gaze, archive.

    :param run: a run, its path or its URL. folder: where to write; made if it is not there.
    :param formats: of `svg`, `pdf` and `png`; beside each figure lies a CSV file with its numbers.
    :returns: the files. One run gives the same bytes with the same versions.
    :raises BadInput: for an unknown format, a place that cannot be written to, or a run without a checkpoint.
    """
    wrong = [kind for kind in formats if kind not in FORMATS]
    if wrong or not formats:
        raise BadInput(f"formats {shown(list(formats))}: expected some of {', '.join(FORMATS)}")
    opened = run if isinstance(run, Run) else open_run(run)
    return write(list(charts(opened)), Path(folder), formats)


def write(made: Sequence[Chart], folder: Path, formats: Sequence[Format]) -> list[Path]:
    """Write charts into a folder. :raises BadInput: where it cannot be written to."""
    files: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for chart in made:
            for kind in formats:
                files.append(folder / f"{chart.name}.{kind}")
                files[-1].write_bytes(chart.file(kind))
            files.append(folder / f"{chart.name}.csv")
            files[-1].write_bytes(chart.csv())
    except OSError as error:
        raise BadInput(f"{folder}: cannot be written to ({reason_of(error)}); give another folder") from None
    return files


def charts(run: Run) -> Iterator[Chart]:
    """Every figure that the record has the numbers for."""
    found = run.curves
    if not found.best.size:
        raise BadInput(f"{run.url}: this run has no checkpoint yet, so there is nothing to draw")
    yield curves_chart(
        {
            f"island {k}": (best.tolist(), median.tolist())
            for k, (best, median) in enumerate(zip(found.best, found.median, strict=True))
        }
    )
    if run.verification is not None:
        for name, title, bars in verified_bars(run.verification):
            yield rates_chart(bars, f"rates-{name}", title)
            yield matrix_chart(bars, f"matrix-{name}", title)
    gazes = list(_gazes(run))
    if gazes:
        yield gaze_chart(gazes)
    yield from _archive(run)


def verified_bars(found: Mapping[str, Any]) -> list[tuple[str, str, list[Bar]]]:
    """What a verification counted: a name, words, and shares by subject and machine.

    :raises CorruptData: where it lacks something.
    """
    try:
        rows = found["rows"]
        said = {"detect": "a face is seen", "correlate": "like the reference of a filter"}
        told = []
        for what, title in said.items():
            bars = [_bar(r, r["rate"]) for r in rows if r["what"] == what]
            told.append((what, title, bars))
        asked = "the person" if found["question"] == "target" else "another view of itself"
        matched = [r for r in rows if r["what"] == "match"]
        for cut in dict.fromkeys(m["name"] for r in matched for m in r["matches"]):
            bars = [_bar(r, m["rate"]) for r in matched for m in r["matches"] if m["name"] == cut]
            name = "".join(c if c.isalnum() or c == "." else "-" for c in cut).strip("-").lower()
            told.append((f"match-{name}", f"taken for {asked}, {cut}", bars))
        return [entry for entry in told if entry[2]]
    except (KeyError, TypeError) as error:
        raise CorruptData(
            f"verify/verify.json: it lacks {error}; write it anew with datamask verify"
        ) from None


def _bar(row: Mapping[str, Any], rate: Mapping[str, Any]) -> Bar:
    side = "" if row["machine"] == row["side"] else f" ({row['side']})"
    return row["subject"], row["machine"] + side, (rate["share"], rate["low"], rate["high"]), rate["trials"]


def _gazes(run: Run) -> Iterator[Gazed]:
    from services.recognition.attribution import surface_regions

    files = run.files
    for mask in run.elites:
        start = f"masks/{mask.id}/gaze-"
        for name in files:
            if not (name.startswith(start) and name.endswith(".json")):
                continue
            basis = mask.basis
            neutral = basis.decode(np.zeros((1, len(basis.genes)), np.float32))[0]
            try:
                said = json.loads(run.read(name))
                shares, cut = np.array(said["shares"], np.float64), said["deletion"]
                yield Gazed(
                    *(mask.id, str(said["model"]), shares, basis.decode(mask.genome[None])[0]),
                    *(basis.triangles, surface_regions(neutral, basis.triangles)),
                    *(float(cut["top"]), [float(x) for x in cut["random"]]),
                )
            except (ValueError, KeyError, TypeError) as error:
                raise CorruptData(
                    f"{run.url}/{name}: damaged ({error!r}); write it anew with datamask gaze"
                ) from None


def _archive(run: Run) -> Iterator[Chart]:
    spec = dict(run.spec)
    grid = grid_of(spec)
    kept = None if grid is None else read_archive(run.record, run.record.head(), grid)
    if grid is None or not kept:
        return
    if isinstance(grid, Niches):
        cells = [(grid.members(placed(mask)), mask.id, grid.quality(mask), mask.measures) for mask in kept]
        yield sets_chart(cells, grid.machines, grid.count)
        return
    masks = []
    for mask in kept:
        place = [*grid.place(placed(mask)), 0]
        masks.append(((place[0], place[1]), mask.id, mask.fitness, mask.accepted, mask.measures))
    units = {name: measure.unit for name, measure in every_measure().items()}
    measures = [
        (f"{name} ({units[name]})" if units[name] else name, cells, low, high)
        for name, cells, (low, high) in zip(grid.measures, grid.cells, grid.ranges, strict=True)
    ]
    yield archive_chart(masks, measures)
