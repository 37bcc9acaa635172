"""An elite beside its controls: every rate of the rows, side by side; without controls nothing."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from services.recognition.statistics.controls import against
from services.recognition.statistics.rates import more, wilson_rate


def row(subject: str, kind: str, machine: str, hits: int, trials: int = 20) -> dict[str, Any]:
    told = {"subject": subject, "kind": kind, "machine": machine, "side": "critic", "what": "detect"}
    return {**told, "rate": asdict(wilson_rate(hits, trials))}


def test_the_best_elite_stands_beside_each_control() -> None:
    match = {"name": "FAR 0.01", "rate": asdict(wilson_rate(4, 10))}
    rows = [
        row("best", "elite", "yunet", 19),
        {**row("best", "elite", "sface", 0), "what": "match", "rate": None, "matches": [match]},
        row("second", "elite", "yunet", 20),
        row("neutral head", "neutral", "yunet", 18),
        row("random heads", "random", "yunet", 17),
        row("noise, spread 1.2", "noise", "yunet", 3, 60),
        row("noise, spread 1.2", "noise", "asked of nobody else", 3, 60),
    ]
    rows[1].pop("rate")
    found = against(rows)
    assert found is not None
    assert found["elite"] == "best"
    assert found["subjects"] == {"noise": "noise, spread 1.2", "neutral": "neutral head"}
    face, alike = found["rows"]
    assert (face["machine"], face["threshold"], face["elite"]["hits"]) == ("yunet", "", 19)
    assert (face["noise"]["hits"], face["noise"]["trials"], face["neutral"]["hits"]) == (3, 60, 18)
    share, low, high = more(wilson_rate(19, 20), wilson_rate(3, 60))
    assert face["noise"]["more"] == {"share": share, "low": low, "high": high}
    assert (alike["machine"], alike["threshold"], alike["elite"]["hits"]) == ("sface", "FAR 0.01", 4)
    assert "noise" not in alike  # nobody asked it


def test_without_elite_or_control_nothing_is_said() -> None:
    assert against([]) is None
    assert against([row("best", "elite", "yunet", 19)]) is None
    assert against([row("neutral head", "neutral", "yunet", 19)]) is None
