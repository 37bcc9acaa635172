"""Identification: the masks, searched among rendered people and, if there are any, photographed ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from services.recognition.model import Comparison, is_similarity
from services.recognition.statistics.calibration import PairSet
from services.recognition.statistics.identification import (
    LARGE,
    candidates,
    extrapolated,
    false_positives,
    gallery_sizes,
    rank_of,
)
from services.rendering.views import ViewRanges
from worker.examination.distances import APART, PAIRS, Population, compared, draw
from worker.examination.panel import Float, Panel

DETECTOR = "dlib-hog"  # only whom it sees is enrolled, or searched for
STRANGERS = 200  # people who are in no gallery, to search for
SHOWN = 5  # candidates of each search


@dataclass(frozen=True)
class Gallery:
    """Enrolled people. embeddings: float32 (n, d); entries: their names; drawn: heads tried."""

    embeddings: Float
    entries: tuple[str, ...]
    drawn: int


def rendered_people(
    panel: Panel,
    models: Sequence[str],
    basis: str,
    spread: float,
    ranges: ViewRanges,
    seed: int,
    count: int,
    first: int = 0,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Gallery]:
    """``count`` random heads that the detector sees, each under a view of its own, or fewer if it sees few:
    the same people in one gallery for each recognizer of ``models``.

    first: block of the people to begin at; those of different blocks are different people. progress: called
    with how many there are.
    """
    population = Population(models[0], basis, spread, ranges, seed)
    detector = panel.detectors[DETECTOR]
    genes = len(panel.eye.basis.gene_names)
    found: dict[str, list[Float]] = {model: [] for model in models}
    drawn = have = number = 0
    while have < count and drawn < 10 * count:
        genomes, views = draw(population, APART + first + number, genes)
        # No more than are likely to be needed: rendering is what takes the time.
        likely = 2 * PAIRS if not drawn else round((count - have) * drawn / max(have, 1)) + 24
        most = min(2 * PAIRS, likely, max(48, 2 * (count - have)))
        pictures = panel.look(genomes[:most], views.take(slice(most)))
        seen = panel.scores(detector, pictures) > panel.infos[DETECTOR].threshold
        for model, parts in found.items():
            parts.append(panel.embed(panel.recognizers[model], pictures, seen)[seen])
        drawn, have, number = drawn + most, have + int(seen.sum()), number + 1
        if progress is not None:
            progress(min(have, count))
    names = tuple(f"rendered {k + 1}" for k in range(min(have, count)))
    return {model: Gallery(np.concatenate(parts)[:count], names, drawn) for model, parts in found.items()}


def identify(
    gallery: Gallery,
    strangers: Float,
    masks: Mapping[str, Float],
    target: int | None,
    pairs: PairSet,
    comparison: Comparison,
) -> dict[str, Any]:
    """Search every mask and every stranger in a gallery.

    strangers: float32 (s, d), people who are not in it. masks: float32 (n, d) by mask, nan where nothing was
    detected. target: the gallery's entry that the masks are to be, None where they are to be nobody.
    """
    similarity = is_similarity(comparison)
    sizes = gallery_sizes(len(gallery.entries))
    stranger_scores = _against(strangers, gallery.embeddings, comparison)
    per_mask = {
        name: _searched(embeddings, gallery, target, comparison) for name, embeddings in masks.items()
    }
    by_mask = [e[np.isfinite(e).all(axis=1)] for e in masks.values()]
    found, seen = np.concatenate(by_mask), sum(len(e) > 0 for e in by_mask)
    others = [k for k in range(len(gallery.entries)) if k != target]
    mask_scores = _against(found, gallery.embeddings[others], comparison) if len(found) else None
    rates = []
    for threshold in pairs.thresholds:
        cut = threshold.threshold
        rates.append(
            {
                "far": threshold.far,
                "threshold": cut,
                "strangers": [asdict(r) for r in false_positives(stranger_scores, cut, sizes, similarity)],
                "masks": []
                if mask_scores is None
                else [
                    asdict(r)
                    for r in false_positives(mask_scores, cut, sizes[:-1] or sizes, similarity, seen)
                ],
                "extrapolated": {
                    "size": LARGE,
                    "fpir": extrapolated(threshold.seen.share, LARGE),
                    "false_candidates": threshold.seen.share * LARGE,
                    "formula": "1 - (1 - FMR)^size, and FMR * size candidates: not measured",
                },
            }
        )
    return {
        "enrolled": len(gallery.entries),
        "drawn": gallery.drawn,
        "strangers": len(strangers),
        "calibrated_on": pairs.title,
        "rates": rates,
        "masks": per_mask,
    }


def _against(probes: Float, gallery: Float, comparison: Comparison) -> Float:
    return np.stack([compared(comparison, gallery, probe[None]) for probe in probes])


def _searched(
    embeddings: Float, gallery: Gallery, target: int | None, comparison: Comparison
) -> dict[str, Any]:
    """The first detected view's candidates, and over all detected views how often the target comes first."""
    usable = embeddings[np.isfinite(embeddings).all(axis=1)]
    if not len(usable):
        return {"searches": 0, "candidates": [], "target_ranks": None}
    similarity = is_similarity(comparison)
    scores = _against(usable, gallery.embeddings, comparison)
    shown = candidates(scores[0], gallery.entries, SHOWN, similarity)
    ranks = None if target is None else [rank_of(row, target, similarity) for row in scores]
    return {
        "searches": len(usable),
        "candidates": [asdict(c) for c in shown],
        "target_ranks": ranks,
    }


def with_entries(gallery: Gallery, embeddings: Sequence[Float], entries: Sequence[str]) -> Gallery:
    """The gallery with more people at its end."""
    if not entries:
        return gallery
    more = np.stack([np.asarray(e, np.float32) for e in embeddings])
    return Gallery(np.concatenate([gallery.embeddings, more]), (*gallery.entries, *entries), gallery.drawn)
