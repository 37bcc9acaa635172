"""What machines received of one mask: three held-out views, in the very pixels, and what was made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from services.exhibition.glyphs import embedding_strip, hog_glyphs
from services.exhibition.inline import picture_uri
from services.numbers import finite
from services.recognition import catalog
from services.recognition.dlib.audit import AuditView, audit, landmarks
from services.recognition.dlib.fhog import ORIENTATIONS, features
from services.rendering.views import ranges_of, sample_views
from services.storage.store import Store
from services.wire.objects import read_target
from services.wire.page_plan import PagePlan
from worker.eye import Eye

Float = NDArray[np.float32]

GRADED = ("dlib-hog", "dlib-mmod")  # whose scores the page shows
_WHY = ("The view HOG likes most", "One in the middle", "The view HOG likes least")
_CANDIDATES = 20


def machine_views(run: Store, eye: Eye, genome: Float, plan: PagePlan) -> list[dict[str, Any]]:
    """Up to three views of a mask, genome float32 (d,), as JSON values for the page.

    :param eye: with dlib's landmarks (alignment.POINT_NAMES) as its points.

    The pixels are PNG, untouched. Scores are graded: also below a threshold, where dlib itself says nothing.
    """
    views = sample_views(
        ranges_of(plan.work["ranges"]), min(plan.work["held_out_views"], _CANDIDATES), plan.work["audit_seed"]
    )
    _, rendered = eye.every(genome[None], views)
    images, regions = rendered.images[0], rendered.box_px[0]
    graded = {"dlib-hog": _graded("dlib-hog", images, regions)}
    order = np.argsort(-graded["dlib-hog"], kind="stable")
    picked = _pick(len(order))
    rows = [int(order[k]) for k in picked]
    for label in plan.facts["asked"]["objectives"]:
        if label["model"] in GRADED and label["model"] not in graded:
            graded[label["model"]] = np.full(len(order), np.nan, np.float32)
            graded[label["model"]][rows] = _graded(label["model"], images[rows], regions[rows])
    key = plan.work["target"]
    target = read_target(run, key) if key and run.exists(f"targets/{key}.npz") else None
    said = audit(images[rows].numpy(), target, regions[rows].numpy())
    shown = []
    for row, view, why in zip(rows, said, picked.values(), strict=True):
        pixels = images[row].numpy()
        shown.append(
            {
                "why": why,
                "yaw_deg": round(float(views.yaw_deg[row]), 1),
                "pitch_deg": round(float(views.pitch_deg[row]), 1),
                "size_px": int(pixels.shape[0]),
                "pixels": picture_uri(pixels),
                "hog": picture_uri(hog_glyphs(_orientations(images[row])), quality=80),
                "box_px": None if view.box is None else [round(float(e), 1) for e in view.box],
                "points_px": [] if view.box is None else _rounded(landmarks(pixels, view.box)),
                "own_points_px": _rounded(rendered.points_px[0, row].numpy()),
                "embedding": None if view.embedding is None else picture_uri(embedding_strip(view.embedding)),
                "scores": _scores(graded, row, view, plan.work["thresholds"]),
            }
        )
    return shown


def _pick(count: int) -> dict[int, str]:
    """The first, the middle and the last place of a ranking, each once, and why it is shown."""
    places = {0: _WHY[0]}
    if count > 2:
        places[(count - 1) // 2] = _WHY[1]
    if count > 1:
        places[count - 1] = _WHY[2]
    return places


def _graded(model: str, images: torch.Tensor, regions: torch.Tensor) -> Float:
    scores: Float = catalog.detector(model).score(images, regions).score.numpy()
    return scores


def _orientations(image: torch.Tensor) -> Float:
    """The nine unsigned directions of dlib's HOG of uint8 (H, W, 3), at the picture's own size."""
    found = features(image.float()[..., None])[..., ORIENTATIONS : ORIENTATIONS + ORIENTATIONS // 2, 0]
    orientations: Float = found.numpy()
    return orientations


def _scores(
    graded: Mapping[str, Float], row: int, view: AuditView, thresholds: Mapping[str, float]
) -> list[dict[str, Any]]:
    rows = [
        {
            "machine": model,
            "value": finite(scores[row], 4),
            "threshold": thresholds.get(model, 0.0),
            "lower_is_better": False,
        }
        for model, scores in graded.items()
    ]
    if view.distance is not None:
        rows.append(
            {
                "machine": "dlib-resnet, to its goal",
                "value": round(view.distance, 4),
                "threshold": thresholds.get("dlib-resnet", 0.6),
                "lower_is_better": True,
            }
        )
    return rows


def _rounded(points: NDArray[Any]) -> list[list[float]]:
    return [[round(float(x), 2), round(float(y), 2)] for x, y in points]
