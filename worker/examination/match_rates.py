"""From machines' answers to rates: detection, matches at calibrated thresholds, the gap to the critics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.recognition.model import Comparison, ModelInfo, is_similarity
from services.recognition.statistics.calibration import MIXED, PERSON, RENDERS, Calibration, PairSet, set_of
from services.recognition.statistics.rates import matches, wilson_rate
from worker.examination.distances import compared
from worker.examination.panel import Float


@dataclass(frozen=True)
class Cut:
    """A threshold to match by. far: the false accept rate that it was calibrated to; None: as published."""

    name: str
    far: float | None
    threshold: float


@dataclass(frozen=True)
class Cuts:
    """The thresholds of one recognizer, and on which pairs they were calibrated ('' where on none)."""

    similarity: bool
    pairs: str
    cuts: tuple[Cut, ...]


def likeness(embeddings: Float, references: Float, comparison: Comparison) -> Float:
    """Embeddings (n, d) against references (k, d), the most alike of which counts: float32 (n,)."""
    each = np.stack([compared(comparison, embeddings, reference[None]) for reference in references])
    return np.asarray(each.max(axis=0) if is_similarity(comparison) else each.min(axis=0), np.float32)


def person_pairs(info: ModelInfo, others: Float, references: Float, spread: float) -> PairSet | None:
    """Other people's heads (n, d) against one person's references (k, d): whose photographs they pass for.

    The heads are independent of each other, the person is the same: the FAR is that of claims to be this
    person. None where there are too few heads for any FAR.
    """
    if not len(others):
        return None
    pairs = set_of(info, PERSON, spread, likeness(others, references, info.comparison))
    return pairs if pairs.thresholds else None


def cuts_of(
    info: ModelInfo,
    calibration: Calibration | None,
    target: bool,
    spread: float,
    person: PairSet | None = None,
) -> Cuts:
    """Thresholds for a question. Where a target is asked for: of other heads against that very person, where
    there are enough of them, else of renders against photos, where those were calibrated. Otherwise of
    renders against renders, of the spread that is nearest to the masks'.
    """
    cuts, pairs = [], person
    if pairs is None and calibration is not None:
        pairs = calibration.nearest(MIXED, spread) if target else None
        if pairs is None or not pairs.thresholds:
            pairs = calibration.nearest(RENDERS, spread)
    if pairs is not None:
        cuts = [Cut(f"FAR {t.far:g}", t.far, t.threshold) for t in pairs.thresholds]
    if math.isfinite(info.threshold):
        cuts.append(Cut(f"published {info.threshold:g}", None, info.threshold))
    return Cuts(info.measure == "similarity", "" if pairs is None else pairs.title, tuple(cuts))


def detected_row(detected: NDArray[np.bool_]) -> dict[str, Any]:
    """The share of views (n,) in which a detector sees a face over the mask."""
    return {"what": "detect", "rate": asdict(wilson_rate(int(detected.sum()), len(detected)))}


def alike_row(alike: NDArray[np.bool_], faces: NDArray[np.bool_]) -> dict[str, Any]:
    """The share of views (n,) in which a correlation filter sees its reference, and the views with a face."""
    return {
        "what": "correlate",
        "compared": int(faces.sum()),
        "rate": asdict(wilson_rate(int(alike.sum()), len(alike))),
    }


def matched_row(
    embeddings: Float, target: Float | None, comparison: Comparison, cuts: Cuts
) -> dict[str, Any]:
    """Matches with a target, or of one head's views with each other, at every threshold.

    embeddings: float32 (n, d), nan where no face was detected, which is no match. target: references (k, d),
    the most alike of which counts. Without one, views 2i and 2i + 1 are compared: n / 2 pairs.
    """
    if target is None:
        scores = compared(comparison, embeddings[0::2], embeddings[1::2])
    else:
        scores = likeness(embeddings, target, comparison)
    return {"what": "match", **matched(scores, cuts)}


def matched(scores: Float, cuts: Cuts) -> dict[str, Any]:
    """Median and match rates of scores (n,), of which nan ones count as tried and not matched."""
    usable = scores[np.isfinite(scores)]
    return {
        "compared": len(usable),
        "median": float(np.median(usable)) if len(usable) else None,
        "matches": [
            {
                **asdict(cut),
                "rate": asdict(
                    wilson_rate(int(matches(scores, cut.threshold, cuts.similarity).sum()), len(scores))
                ),
            }
            for cut in cuts.cuts
        ],
    }


def gap(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How much less the critics see than the fitted models: mean rates over elites, by question.

    A critic that nobody named leaves its question open: ``gap`` is None.
    """
    found = {}
    for what in ("detect", "match", "correlate"):
        means = {side: _mean(rows, what, side) for side in ("fitted", "critic")}
        both = None not in means.values()
        found[what] = {
            **means,
            "gap": means["fitted"] - means["critic"] if both else None,  # type: ignore[operator]
        }
    return found


def _mean(rows: Sequence[Mapping[str, Any]], what: str, side: str) -> float | None:
    """Mean rate of one side's machines over all elites; of matches, at the loosest calibrated FAR."""
    rates = []
    for row in rows:
        if row["kind"] == "elite" and row["what"] == what and row["side"] == side:
            if "rate" in row:
                rates.append(row["rate"]["share"])
            else:
                calibrated = [m for m in row["matches"] if m["far"] is not None] or row["matches"]
                rates += [m["rate"]["share"] for m in calibrated[:1]]
    return float(np.mean(rates)) if rates else None
