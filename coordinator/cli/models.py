"""``datamask models``: the detectors and recognizers, whose they are, and whether they are here."""

from __future__ import annotations

import math
from typing import Annotated, Any

import typer
from rich.console import Console

from coordinator.cli.layout import print_table
from coordinator.cli.terminal import print_json
from services.errors import CorruptData, Unavailable
from services.recognition.catalog import ModelInfo, families, found, installed, locate, verify
from services.recognition.catalog import models as catalog


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for machines.")] = False,
) -> None:
    """List every detector and recognizer: roles, licence, hash, installed or not, how to get it.

    Kinds: detect finds faces, recognize tells people apart, correlate compares with a picture. Roles: an
    objective drives the search, a critic is kept out of it and cross-checks, the audit is the same weights
    through dlib's own pipeline. Files that you bring (onnx:, insightface:) are listed where they are found.
    --json adds sources, training data and full hashes.
    """
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
