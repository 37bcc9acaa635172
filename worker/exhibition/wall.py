"""The wall of an archive of machines: every mask of it under held-out views, as picture and as numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from services.exhibition import palette
from services.exhibition.controls import controls_of_facts
from services.exhibition.studio import LitMask
from services.exhibition.wall_sheet import Verdicts, wall_sheet
from services.progress import Progress
from services.recognition import catalog
from services.rendering.views import ranges_of, sample_views
from services.storage.store import Store
from services.wire.page_plan import PagePlan
from worker.eye import Eye

PICTURE, NUMBERS = "wall.png", "wall.json"
FORMAT = 1


def hang(
    run: Store,
    eye: Eye,
    plan: PagePlan,
    genomes: Sequence[NDArray[np.float32]],
    lit: Sequence[LitMask],
    tell: Progress,
) -> list[str]:
    """Write ``wall.png`` and ``wall.json`` of a run whose archive is of machines; returns the keys.

    genomes: float32 (d,), lit: of the masks of ``plan.facts["wall"]``, in their order.
    """
    wall = plan.facts["wall"]
    machines: list[str] = wall["machines"]
    hits = _hits(eye, plan, machines, genomes, tell)
    count = plan.work["held_out_views"]
    verdicts = [
        Verdicts(mask["id"], tuple(mask["sees"]), dict(zip(machines, said, strict=True)), count)
        for mask, said in zip(wall["masks"], hits, strict=True)
    ]
    noise = _noise(plan.facts, machines)
    run.put(PICTURE, palette.png(wall_sheet(lit, verdicts, machines, wall["cells"], noise)))
    told = {
        "format": FORMAT,
        "machines": machines,
        "cells": wall["cells"],
        "views": count,
        "view_seed": plan.work["audit_seed"],
        "masks": [{**mask, "hits": said.hits} for mask, said in zip(wall["masks"], verdicts, strict=True)],
    }
    run.put(NUMBERS, (json.dumps(told, indent=1, allow_nan=False) + "\n").encode())
    return [PICTURE, NUMBERS]


def _hits(
    eye: Eye,
    plan: PagePlan,
    machines: Sequence[str],
    genomes: Sequence[NDArray[np.float32]],
    tell: Progress,
) -> list[list[int]]:
    """In how many held-out views each machine sees a face, a list a mask."""
    work, models = plan.work, plan.facts["manifest"].get("models", {})
    views = sample_views(ranges_of(work["ranges"]), work["held_out_views"], work["audit_seed"])
    asked = []
    for name in machines:
        sha256 = models.get(name, {}).get("sha256")
        threshold = work["thresholds"].get(name, catalog.model_info(name, sha256).threshold)
        asked.append((catalog.detector(name, "cpu", sha256), threshold))
    found = []
    for k, genome in enumerate(genomes):
        with torch.inference_mode():
            _, seen = eye.every(genome[None], views)
            images, regions = seen.images[0], seen.box_px[0]
            scores = [(detector.score(images, regions).score, threshold) for detector, threshold in asked]
        found.append([int((score > threshold).sum()) for score, threshold in scores])
        tell("wall", k + 1, len(genomes))
    return found


def _noise(facts: Mapping[str, Any], machines: Sequence[str]) -> str:
    """What the machines see in noise, where the run's audit asked them."""
    told = controls_of_facts(facts)
    rows = [(name, told[name]["noise"]) for name in machines if "noise" in told.get(name, {})]
    return (
        "In noise: " + ", ".join(f"{name} {hits} of {of}" for name, (hits, of) in rows) + "." if rows else ""
    )
