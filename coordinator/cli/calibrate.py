"""``datamask calibrate``: what a recognizer's threshold means on rendered heads, and on photographs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from coordinator.cli.layout import print_table
from coordinator.cli.terminal import print_json
from coordinator.record.record import Record
from coordinator.spec.spec import parse_spec
from services.recognition.photos import photo_folder
from services.recognition.statistics.calibration import Calibration, PairSet, file_name
from services.recognition.statistics.rates import Threshold
from services.rendering.views import ViewRanges
from services.shape.catalog import DEFAULT_BASIS
from services.storage.open import open_store

SPREADS = (0.4, 0.8)


def calibrate(
    model: Annotated[str, typer.Argument(help="A recognizer; see datamask models.")] = "dlib-resnet",
    spread: Annotated[
        list[float] | None,
        typer.Option(help="Spread of the random heads' genes; repeat for several.", show_default="0.4, 0.8"),
    ] = None,
    pairs: Annotated[
        int, typer.Option(help="Independent impostor pairs of each spread; FAR f needs 3/f.")
    ] = 30_000,
    photos: Annotated[
        Path | None,
        typer.Option(help="Folder of photos: one subfolder a person, or flat, each photo another person."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the random heads and views.", min=0)] = 1,
    out: Annotated[
        str, typer.Option(help="Folder or URL for the result and for the pieces that --pairs is drawn in.")
    ] = "runs/calibration",
    run: Annotated[
        str | None,
        typer.Option(help="A run: take its views and basis, and keep the result with it too."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The result for machines.")] = False,
) -> None:
    """Measure the thresholds of a recognizer: pairs of different random heads, and the same heads again.

    Renders against renders, renders against photos and photos against photos are kept apart, and so is each
    spread of the heads. A FAR that the pairs cannot carry is refused, not guessed. Writes MODEL.json and
    MODEL.png; an interrupted calibration goes on where it stopped. 30,000 pairs of one spread should take
    about ten minutes on two idle cores.

    Example: datamask calibrate dlib-resnet --pairs 3000 --spread 0.4
    """
    from worker.examination.calibrate import calibrate as measure

    basis, ranges, record = _conditions(run)
    found = photo_folder(photos) if photos is not None else []
    place = open_store(out, write=True)
    console = Console(stderr=True)
    with _bars(console) as bars:
        tasks: dict[str, Any] = {}

        def step(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=of)
            bars.update(tasks[what], completed=done)

        made, left_out = measure(model, basis, spread or SPREADS, pairs, seed, ranges, place, found, step)
    for line in left_out:
        console.print(f"left out: {line}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    from services.recognition.statistics.plots import calibration_plot

    name = file_name(model)
    files = {f"{name}.json": made.encoded(), f"{name}.png": calibration_plot(made)}
    for key, data in files.items():
        place.put(key, data)
        if record is not None:
            record.store.put(f"calibration/{key}", data)
    if as_json:
        print_json(json.loads(made.encoded()))
        return
    show_calibration(Console(), made)
    print(f"{place.url}/{name}.json")


def _conditions(run: str | None) -> tuple[str, ViewRanges, Record | None]:
    if run is None:
        return DEFAULT_BASIS, ViewRanges(), None
    record = Record(open_store(run))
    table = record.spec_table()
    table.pop("versions", None)
    spec = parse_spec(table, f"{record.url}/run.toml")
    return spec.mask.basis, spec.views.ranges(), record


def _bars(console: Console) -> Bars:
    return Bars(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("· left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def show_calibration(console: Console, calibration: Calibration) -> None:
    """Print the thresholds as a table, and what was refused."""
    word = "similarity" if calibration.similarity else "distance"
    header = ["pairs", "FAR", "threshold", "95% interval", "FAR < f for certain", "FRR there"]
    rows = [row for pairs in calibration.sets for row in (*_rows(pairs), [])]
    print_table(console, f"{calibration.model}: {word} at a false accept rate", header, rows)
    for pairs in calibration.sets:
        for refused in pairs.refused:
            console.print(
                f"{pairs.title}: FAR {refused.far:g} is not stated: {pairs.impostor_pairs} independent "
                f"impostor pairs, {refused.needed} are needed",
                style="yellow",
                highlight=False,
                soft_wrap=True,
            )


def _rows(pairs: PairSet) -> list[list[str]]:
    title = pairs.title.replace(", ", "\n")
    name = f"{title}\n{pairs.impostor_pairs} + {pairs.genuine_pairs}"
    rows = []
    for threshold in pairs.thresholds:
        rows.append([name, f"{threshold.far:g}", *_cells(threshold)])
        name = ""
    if pairs.published is not None:
        frr = pairs.published.frr
        rows.append(
            [
                name,
                f"{pairs.published.far.share:.3g}",
                f"{pairs.published.threshold:g} (published)",
                "",
                "",
                "-" if frr is None else f"{frr.share:.1%}",
            ]
        )
    return rows


def _cells(threshold: Threshold) -> list[str]:
    low = "none" if threshold.low is None else f"{threshold.low:.3f}"
    high = "none" if threshold.high is None else f"{threshold.high:.3f}"
    frr = "-" if threshold.frr is None else f"{threshold.frr.share:.1%}"
    return [f"{threshold.threshold:.3f}", f"{low} to {high}", f"{threshold.assured:.3f}", frr]
