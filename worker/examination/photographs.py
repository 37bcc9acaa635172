"""Photographs: of printed masks, which are judged apart from renders, and of people for a gallery."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from services.errors import BadInput
from services.recognition.dlib.audit import audit, embed_photo
from services.recognition.looking import look, read_shrunk
from services.recognition.statistics.rates import wilson_rate
from worker.examination.distances import compared
from worker.examination.match_rates import Cuts, matched
from worker.examination.panel import Float, Panel


def photo_entries(paths: Sequence[Path]) -> tuple[list[Float], list[str], list[str]]:
    """Embeddings and names of the people on photos, and a line for each photo that cannot be used.

    They are named by number, in the order given: a run does not say who was in somebody's folder.
    """
    embeddings, entries, left_out = [], [], []
    for k, path in enumerate(paths):
        try:
            embeddings.append(np.asarray(embed_photo(path)[0], np.float32))
            entries.append(f"photo {k + 1}")
        except BadInput as error:
            left_out.append(f"photo {k + 1}: {str(error).removeprefix(f'{path}: ')}")
    return embeddings, entries, left_out


def printed_rows(
    photos: Mapping[str, Sequence[Path]],
    panel: Panel,
    critics: Sequence[str],
    target: Float | None,
    cuts: Cuts,
    report: Callable[[str, int, int], None],
) -> list[dict[str, Any]]:
    """For each printed mask: how many of its photographs show a face, to whom, and whose.

    Only the audit and the critics are asked: both find the face by themselves. A photograph without a
    detection is never embedded, and counts as no match.
    """
    rows = []
    done, total = 0, sum(len(paths) for paths in photos.values())
    for mask, paths in photos.items():
        seen: dict[str, list[bool]] = {"audit": [], **{c: [] for c in critics if c in panel.detectors}}
        embeddings = np.full((len(paths), 128), np.nan, np.float32)
        left_out = []
        for k, path in enumerate(paths):
            try:
                picture = read_shrunk(path)
            except BadInput as error:
                left_out.append(str(error))
                continue
            (view,) = audit(picture[None])
            if view.embedding is not None:
                embeddings[k] = view.embedding
            seen["audit"].append(view.detected)
            for name in seen:
                if name != "audit":
                    limit = panel.infos[name].threshold
                    seen[name].append(look(panel.detectors[name], picture, limit).score > limit)
            report("photographs", done := done + 1, total)
        count = len(seen["audit"])
        row: dict[str, Any] = {"mask": mask, "photographs": count, "left_out": left_out, "detected": {}}
        if count:
            row["detected"] = {n: asdict(wilson_rate(sum(hits), count)) for n, hits in seen.items()}
            if target is not None:
                each = np.stack([compared("euclidean", embeddings, r[None]) for r in target])
                row["match"] = matched(each.min(axis=0), cuts)
        rows.append(row)
    return rows
