"""The solids that a run's masks were printed as: what ``datamask print`` has left in the record."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from services.exhibition.labels import Print
from services.printing.catalog import ELSEWHERE, PROCESSES
from services.storage.store import Store
from services.wire.page_plan import read_json


def prints_of(run: Store, masks: Iterable[str]) -> dict[str, Print]:
    """By mask, what was printed of it last; masks of which nothing was are left out."""
    found = {}
    for mask in masks:
        for name in (ELSEWHERE, f"{mask}.print.json"):  # the first is taken away where files lie in the run
            made = _read(read_json(run, f"masks/{mask}/{name}"))
            if made is not None:
                found[mask] = made
                break
    return found


def _read(report: Any) -> Print | None:
    """None for a report that is damaged, or of a solid that failed its checks and was not written."""
    try:
        if not report["files"]:
            return None
        width, height, depth = (float(side) for side in report["size_mm"])
        medium = f"{report['process']}{_colored(report)}"
        return Print((width, height, depth), medium, report["material"], report.get("edition"), report)
    except (KeyError, TypeError, ValueError):
        return None


def _colored(report: dict[str, Any]) -> str:
    """``_dyed`` where it has one color that is not the material's, ``_full`` where it has several."""
    process = PROCESSES.get(report["process"])
    if process is None or "made_of" not in report:  # earlier versions did not say
        return ""
    if report["made_of"] is None:
        return "_full" if process.full_color else ""
    own = "#{:02x}{:02x}{:02x}".format(*process.color_srgb)
    return "" if report["made_of"]["color"] == own else "_dyed"
