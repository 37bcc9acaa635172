"""What a run leaves of each mask: its genome, mesh, portrait and audit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from services.errors import BadInput
from services.exhibition.front import portrait
from services.exhibition.palette import png, signed
from services.exhibition.studio import Studio, dressed, one_by_one, one_thread
from services.exhibition.views_sheet import Seen, contact_sheet
from services.numbers import finite
from services.progress import Progress, silent
from services.recognition import catalog
from services.recognition.dlib.audit import AuditView, audit
from services.recognition.statistics.controls import against
from services.rendering.views import Views, ranges_of, sample_views
from services.shape.decode import Decoder
from services.shape.export import notes_of, write_glb
from services.storage.store import Store
from services.wire.jobs import AuditReport, Job, check_masks
from services.wire.mask import Mask
from services.wire.objects import read_target
from services.wire.page_plan import PagePlan
from worker.examination.controls import (
    DISTANCES,
    Said,
    Subject,
    Witnesses,
    first_of,
    noise_of,
    rates_of,
    zero_of,
)
from worker.eye import Eye

GENOME_FORMAT = 1
AUDIT_FORMAT = 1

Float = NDArray[np.float32]


def audit_masks(run: Store, job: Job, progress: Progress | None = None) -> list[AuditReport]:
    """Write the files and the audit of every mask of a job, with a portrait and its audited views.

    What the plan names as controls is looked at under the same views, by the same machines.

    :param progress: called with stage, done, total.
    :raises BadInput: where an id cannot be a name in a store, a genome does not fit the basis or is not
        finite, or a critic cannot be used.
    """
    page = job.page
    if page is None:
        raise ValueError("job: it asks for no audits; write_masks is what it wants")
    check_masks(job.masks)
    tell, work, eye = progress or silent, page.work, Eye(job.basis)
    said = work.get("thresholds", {})
    asked = {
        **{("fitted", n): _detector(n, job.models.get(n), said.get(n)) for n in work.get("judges", ())},
        **{("critic", n): _critic(n, job.models.get(n), said.get(n)) for n in work["critics"]},
    }
    target = None if work["target"] is None else read_target(run, work["target"])
    witnesses = Witnesses(asked, target)
    views = sample_views(ranges_of(work["ranges"]), work["held_out_views"], work["audit_seed"])
    controls = _controls(eye, page, len(views))
    with one_thread(), ThreadPoolExecutor(1) as auditor:
        try:
            vertices = _decoded(eye.decoder, job.masks)
            audits = [auditor.submit(_audited, run, eye, mask, views, witnesses) for mask in job.masks]
            beside = [
                auditor.submit(witnesses.rows, subject, eye, views_of(subject, views)) for subject in controls
            ]
            colors = eye.decoder.paint_bytes(torch.from_numpy(np.stack([m.genome for m in job.masks])))
            triangles = eye.basis.triangles
            studio = Studio(triangles, eye.basis.facts.center_m)
            lit = dressed(one_by_one(studio.light, vertices), colors)
            for k, mask in enumerate(job.masks):
                own = None if colors is None else colors[k]
                front = png(portrait(lit[k], vertices[k], triangles, colors=own))
                _write_mask(run, eye.decoder, job.labels, mask, vertices[k], front)
                tell("masks", k + 1, len(job.masks))
            reports, rows = [], []
            for k, pending in enumerate(audits):
                report, own = pending.result()
                reports.append(report)
                rows += own
                tell("audit", k + 1, len(audits))
            for k, looked in enumerate(beside):
                rows += looked.result()
                tell("controls", k + 1, len(beside))
        except BaseException:
            auditor.shutdown(wait=False, cancel_futures=True)
            raise
    table = {
        "format": AUDIT_FORMAT,
        "view_seed": work["audit_seed"],
        "views": work["held_out_views"],
        "masks": _table(reports),
        "controls": against(rows),
    }
    run.put("audit.json", _json(table))
    return reports


def _controls(eye: Eye, page: PagePlan, count: int) -> list[Subject]:
    """Whom the elites are measured against, under ``count`` views; nobody where the plan names none."""
    wanted = page.work.get("controls")
    if not wanted:
        return []
    genes = len(eye.basis.gene_names)
    found = [zero_of(eye.basis.facts, genes, count)]
    if wanted["first"] is not None:
        found.append(first_of(wanted["first"], page.genomes[wanted["first"]], count))
    if wanted["noise"]:
        rng = np.random.default_rng([page.work["audit_seed"], 1])
        found.append(noise_of(rng, genes, wanted["noise"], wanted["spread"], wanted["limit"]))
    return found


def views_of(subject: Subject, views: Views) -> Views:
    """A view for each picture of a subject: all of them in turn, or as many as there are, evenly apart."""
    count, wanted = len(views), len(subject.genomes)
    rows = np.arange(wanted)
    return views.take(rows % count if wanted >= count else rows * count // wanted)


def write_masks(run: Store, decoder: Decoder, labels: Sequence[str], masks: Sequence[Mask]) -> None:
    """Write ``genome.json`` and ``mask.glb`` of each mask: what takes no time (10 ms a mask).

    :raises BadInput: where a genome does not fit the basis or is not finite.
    """
    for mask, points in zip(masks, _decoded(decoder, masks), strict=True):
        _write_mask(run, decoder, labels, mask, points, None)


def _decoded(decoder: Decoder, masks: Sequence[Mask]) -> Float:
    count = len(decoder.basis.gene_names)
    for mask in masks:
        if np.shape(mask.genome) != (count,) or not np.isfinite(mask.genome).all():
            raise BadInput(
                f"mask {mask.id}: expected a genome of {count} finite weights, one per gene of basis "
                f"{decoder.basis.id!r}; got shape {np.shape(mask.genome)}"
            )
    decoded: Float = decoder.decode(torch.from_numpy(np.stack([mask.genome for mask in masks]))).numpy()
    return decoded


def _write_mask(
    run: Store, decoder: Decoder, labels: Sequence[str], mask: Mask, points: Float, front: bytes | None
) -> None:
    basis = decoder.basis
    colors = decoder.paint_bytes(torch.from_numpy(np.array(mask.genome[None], np.float32)))
    facts = {
        "format": GENOME_FORMAT,
        "id": mask.id,
        "basis": {"id": basis.id, "sha256": basis.sha256},
        "island": mask.island,
        "generation": mask.generation,
        "fitness": finite(mask.fitness),
        "values": {x: finite(float(v)) for x, v in zip(labels, mask.values, strict=True)},
        "flipped": finite(mask.flipped),
        "weights": dict(zip(basis.gene_names, map(float, mask.genome), strict=True)),
    }
    run.put(f"masks/{mask.id}/genome.json", _json(facts))
    extras = {"mask": mask.id, **notes_of(basis.id), "units": "m"}
    own = None if colors is None else colors[0]
    run.put(f"masks/{mask.id}/mask.glb", write_glb(points, basis.triangles, own, mask.id, extras))
    if front is not None:
        run.put(f"masks/{mask.id}/front.png", front)


def _audited(
    run: Store,
    eye: Eye,
    mask: Mask,
    views: Views,
    witnesses: Witnesses,
) -> tuple[AuditReport, list[dict[str, Any]]]:
    """The report on a mask, and its rates as rows of ``verify.json``."""
    _, rendered = eye.every(mask.genome[None], views)
    images, regions = rendered.images[0].numpy(), rendered.box_px[0].numpy()
    seen = audit(images, witnesses.target, regions)
    said = {who: ask(images, regions) for who, ask in witnesses.detectors.items()}
    made = _report(mask.id, views, seen, said, witnesses.target is not None)
    run.put(f"masks/{mask.id}/audit.json", _json({"format": AUDIT_FORMAT, **asdict(made)}))
    shown = [
        Seen(image, view.box, (box[0], box[1], box[2], box[3]), _words(made.per_view[k]))
        for k, (image, view, box) in enumerate(zip(images, seen, regions.tolist(), strict=True))
    ]
    note = (
        f"{mask.id}: its pixels as they were scored, twice their size; beside them the mask's box (gray) "
        "and dlib's (gold)."
    )
    run.put(
        f"masks/{mask.id}/views.png",
        png(contact_sheet(shown, "What the machine received", note)),
    )
    distances = [np.inf if v.distance is None else v.distance for v in seen]
    rows = rates_of([v.detected for v in seen], None if witnesses.target is None else distances, said)
    return made, [{"subject": mask.id, "kind": "elite", **row} for row in rows]


def _table(reports: Sequence[AuditReport]) -> list[dict[str, Any]]:
    return [{key: value for key, value in asdict(r).items() if key != "per_view"} for r in reports]


def _report(
    mask: str,
    views: Views,
    seen: Sequence[AuditView],
    said: Mapping[tuple[str, str], Sequence[bool]],
    targeted: bool,
) -> AuditReport:
    count = len(seen)
    by_side: dict[str, dict[str, Sequence[bool]]] = {"fitted": {}, "critic": {}}
    for (side, name), verdicts in said.items():
        by_side[side][name] = verdicts
    critics = by_side["critic"]
    scores = [v.hog_score for v in seen if v.hog_score is not None]
    distances = np.array([v.distance for v in seen if v.distance is not None], np.float64)
    embeddings = np.array([v.embedding for v in seen if v.embedding is not None], np.float64)
    pairs = np.zeros(0)
    if len(embeddings) > 1:
        first, second = np.triu_indices(len(embeddings), 1)
        pairs = np.linalg.norm(embeddings[first] - embeddings[second], axis=1)
    per_view = [
        {
            "yaw_deg": round(float(views.yaw_deg[k]), 2),
            "pitch_deg": round(float(views.pitch_deg[k]), 2),
            "detected": view.detected,
            "hog_score": finite(view.hog_score),
            "box_px": None if view.box is None else [float(edge) for edge in view.box],
            "distance": finite(view.distance),
            "critics": {name: bool(verdicts[k]) for name, verdicts in critics.items()},
        }
        for k, view in enumerate(seen)
    ]
    return AuditReport(
        id=mask,
        views=count,
        hog_rate=sum(v.detected for v in seen) / count,
        hog_median_score=float(np.median(scores)) if scores else None,
        critics={name: float(np.mean(verdicts)) for name, verdicts in critics.items()},
        judges={name: float(np.mean(verdicts)) for name, verdicts in by_side["fitted"].items()},
        distance_median=float(np.median(distances)) if len(distances) else None,
        distance_below={f"{d:g}": float((distances < d).sum() / count) for d in DISTANCES}
        if targeted
        else None,
        self_distance_max=float(pairs.max()) if len(pairs) else None,
        self_distance_median=float(np.median(pairs)) if len(pairs) else None,
        per_view=per_view,
    )


def _critic(name: str, sha256: str | None, threshold: float | None) -> Said:
    """A yes or no per image from a critic. :raises BadInput: if it cannot be one."""
    info = catalog.model_info(name, sha256)
    if "critic" not in info.roles or info.kind != "detect":
        raise BadInput(
            f"[verify] critics: model {name!r} cannot be a critic here; use a detector: viola-jones"
        )
    return _detector(name, sha256, threshold)


def _detector(name: str, sha256: str | None, threshold: float | None) -> Said:
    """A yes or no per image at a threshold; None: the catalog's."""
    detector = catalog.detector(name, "cpu", sha256)
    least = catalog.model_info(name, sha256).threshold if threshold is None else threshold

    def ask(images: NDArray[np.uint8], regions: Float) -> list[bool]:
        score = detector.score(torch.from_numpy(images), torch.from_numpy(regions)).score
        return [bool(s > least) for s in score.tolist()]

    return ask


def _words(view: Mapping[str, Any]) -> tuple[str, ...]:
    words = [f"HOG {signed(view['hog_score'])}" if view["detected"] else "HOG: no face"]
    if view["distance"] is not None:
        words.append(f"distance {view['distance']:.2f}")
    words += [f"{name}: {'face' if yes else 'no face'}" for name, yes in view["critics"].items()]
    words.append(f"yaw {signed(view['yaw_deg'], 0)}°, pitch {signed(view['pitch_deg'], 0)}°")
    return tuple(words)


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()
