"""What stands beside an elite's rate: how often the same machine sees a face in its controls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Short enough for a caption; what is not here is called as the run calls it.
_SHORT = {"noise": "noise", "first": "first generation's best"}

Counts = dict[str, tuple[int, int]]  # in how many of how many views, by the control's name


def controls_of_facts(facts: Mapping[str, Any]) -> dict[str, Counts]:
    """:func:`controls_beside` of the audit that the elites' rates are from, else of the verification."""
    return controls_beside((facts.get("audit") or {}).get("controls") or facts.get("controls"))


def controls_beside(told: Mapping[str, Any] | None) -> dict[str, Counts]:
    """By detector, and by "audit" for dlib's own pipeline, which speaks for "dlib-hog" where that does not.

    :param told: as :func:`services.recognition.statistics.controls.against` gives it; None: {}.
    """
    if not told:
        return {}
    found: dict[str, Counts] = {}
    for row in told["rows"]:
        if row["what"] == "detect":
            found[row["machine"]] = {
                _SHORT.get(kind, name): (row[kind]["hits"], row[kind]["trials"])
                for kind, name in told["subjects"].items()
                if kind in row
            }
    return {"dlib-hog": found["audit"], **found} if "audit" in found else found


def in_words(counts: Counts) -> str:
    """``noise: 3 of 60, neutral head: 19 of 20``."""
    return ", ".join(f"{name}: {hits} of {of}" for name, (hits, of) in counts.items())
