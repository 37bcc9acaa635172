"""An elite beside its controls: what machines say of masks that no search has made, under the same views."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from services.recognition.statistics.rates import Rate, more

# What an elite is measured against: noise, the best of the first generation, and the basis as it is.
KINDS = ("noise", "first", "neutral")


def against(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The best elite beside each control, machine by machine.

    :param rows: of ``verify.json``: subject, kind, machine, side, what, and ``rate`` or ``matches``; the best
        elite first.
    :returns: ``elite``: its id; ``subjects``: what each control is called, by kind; ``rows``: for each
        machine, question and threshold the rates of all, a control's with ``more``: by how much the elite's
        is larger, with its interval. None where there is no elite, or nothing to measure it against.
    """
    elite = next((row["subject"] for row in rows if row["kind"] == "elite"), None)
    subjects = {row["kind"]: row["subject"] for row in rows if row["kind"] in KINDS}
    if elite is None or not subjects:
        return None
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in rows:
        if row["subject"] != elite and row["kind"] not in KINDS:
            continue
        for threshold, rate in _rates(row):
            place = (row["machine"], row["what"], threshold)
            told = {**dict(zip(("machine", "what", "threshold"), place, strict=True)), "side": row["side"]}
            found.setdefault(place, told)[row["kind"]] = rate
    return {
        "elite": elite,
        "subjects": {kind: subjects[kind] for kind in KINDS if kind in subjects},
        "rows": [_with_more(row) for row in found.values() if "elite" in row],
    }


def _rates(row: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every rate of a row and the threshold it holds at, "" where a machine has one only."""
    if "rate" in row:
        yield "", row["rate"]
    for match in row.get("matches", ()):
        yield match["name"], match["rate"]


def _with_more(row: Mapping[str, Any]) -> dict[str, Any]:
    told = dict(row)
    for kind in KINDS:
        if kind in told:
            apart = more(Rate(**told["elite"]), Rate(**told[kind]))
            told[kind] = {**told[kind], "more": dict(zip(("share", "low", "high"), apart, strict=True))}
    return told
