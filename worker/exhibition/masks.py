"""What a run leaves for people: meshes, pictures, audits."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from services.errors import BadInput
from services.exhibition.composite import composite
from services.exhibition.film import Frame, film_strip
from services.exhibition.front import portrait
from services.exhibition.lineup import Caption, lineup
from services.exhibition.palette import png, signed
from services.exhibition.studio import Sitting, Studio, dressed, one_by_one, one_thread
from services.exhibition.views_sheet import Seen, contact_sheet
from services.recognition import catalog
from services.recognition.dlib.audit import AuditView, audit
from services.rendering.views import ViewRanges, Views, sample_views
from services.shape.basis import Basis
from services.shape.decode import Decoder
from services.shape.export import write_glb
from services.storage.store import Store
from services.wire.jobs import AuditReport, EliteMask, StoryFrame, check_masks
from worker.eye import Eye

GENOME_FORMAT = 1
AUDIT_FORMAT = 1
DISTANCES = (0.6, 0.45)

Float = NDArray[np.float32]
Progress = Callable[[str, int, int], None]
Critic = Callable[[NDArray[np.uint8], Float], list[bool]]


def realize(
    run: Store,
    basis: str,
    elites: Sequence[EliteMask],
    story: Sequence[StoryFrame],
    ranges: ViewRanges,
    audit_seed: int,
    audit_views: int,
    target: Float | None,
    critics: Sequence[str],
    progress: Progress | None = None,
    research_only: Sequence[str] = (),
    hashes: Mapping[str, str] | None = None,
) -> list[AuditReport]:
    """Write the elites' meshes, pictures and audits into a run's store; returns the audits.

    :param elites: the best first. story: from the first generation to the last; empty: no search to show, and
        the film shows the best mask alone. audit_seed, audit_views: the held-out views. target: reference
        embeddings float32 (k, 128), or None. critics: model names. progress: called with stage, done, total.
        research_only: models whose terms the pictures' captions have to name. hashes: SHA-256 by model, for
        files that people bring.
    :raises BadInput: where there is no elite, an id cannot be a name in a store, a genome does not fit the
        basis or is not finite, or a critic cannot be used.
    """
    check_masks(elites)
    machines = {name: _critic(name, (hashes or {}).get(name)) for name in critics}
    with one_thread(), ThreadPoolExecutor(1) as auditor:
        try:
            eye = Eye(basis)
            plan = _Exhibition(run, eye.decoder, elites, story)
            views = sample_views(ranges, audit_views, audit_seed)
            audits = [auditor.submit(_audited, run, eye, elite, views, target, machines) for elite in elites]
            plan.hang_masks(progress or _silent)
            plan.hang_pictures(progress or _silent)
            reports = []
            for k, pending in enumerate(audits):
                reports.append(pending.result())
                (progress or _silent)("audit", k + 1, len(elites))
        except BaseException:
            auditor.shutdown(wait=False, cancel_futures=True)
            raise
        table = {
            "format": AUDIT_FORMAT,
            "view_seed": audit_seed,
            "views": audit_views,
            "masks": _table(reports),
        }
        run.put("audit.json", _json(table))
        plan.hang_lineup(reports, research_only)
    return reports


def write_meshes(run: Store, decoder: Decoder, masks: Sequence[EliteMask]) -> None:
    """Write ``genome.json`` and ``mask.glb`` of each mask: what takes no time (10 ms a mask).

    :raises BadInput: where a genome does not fit the basis or is not finite.
    """
    for mask, points in zip(masks, _decoded(decoder, masks), strict=True):
        _write_mask(run, decoder, mask, points, None)


class _Exhibition:
    """The pictures of one run and the masks that sit for them."""

    def __init__(
        self, run: Store, decoder: Decoder, elites: Sequence[EliteMask], story: Sequence[StoryFrame]
    ) -> None:
        self.run, self.decoder, self.elites = run, decoder, elites
        self.vertices = _decoded(decoder, elites)
        self.colors = self._paint(np.stack([elite.genome for elite in elites]))
        best = elites[0]
        self._frames = [Frame(s.genome, s.generation, s.fitness) for s in story]
        self._frames = self._frames or [Frame(best.genome, best.generation, best.fitness)]
        self._studio = Studio(decoder.basis.triangles)
        self._masks: list[Sitting] = []

    def hang_masks(self, report: Progress) -> None:
        """Each mask's own files."""
        self._masks = dressed(one_by_one(self._studio.sit, self.vertices), self.colors)
        basis = self.decoder.basis
        for k, (elite, points) in enumerate(zip(self.elites, self.vertices, strict=True)):
            colors = None if self.colors is None else self.colors[k]
            front = png(portrait(self._masks[k], points, basis.triangles, colors=colors))
            _write_mask(self.run, self.decoder, elite, points, front)
            report("masks", k + 1, len(self.elites))

    def hang_pictures(self, report: Progress) -> None:
        """The pictures that need no audit."""
        basis = self.decoder.basis
        landmarks = np.array(sorted(basis.landmarks.values()), np.int64)
        paint = None if self.colors is None else self._paint
        pictures: tuple[tuple[str, Callable[[], bytes]], ...] = (
            ("composite.png", lambda: png(composite(self._studio, self.vertices, landmarks))),
            ("filmstrip.png", lambda: png(film_strip(self._studio, self._decode, self._frames, paint=paint))),
        )
        for k, (key, make) in enumerate(pictures):
            self.run.put(key, make())
            report("pictures", k + 1, len(pictures))

    def hang_lineup(self, reports: Sequence[AuditReport], research_only: Sequence[str]) -> None:
        """The line-up, with what the audit said and on what terms the machines were used."""
        captions = [
            _caption(elite, audit, research_only) for elite, audit in zip(self.elites, reports, strict=True)
        ]
        self.run.put("lineup.png", png(lineup(self._masks, captions)))

    def _decode(self, genomes: Float) -> Float:
        return _vertices(self.decoder, genomes)

    def _paint(self, genomes: Float) -> NDArray[np.uint8] | None:
        return self.decoder.paint_bytes(torch.from_numpy(np.array(genomes, np.float32)))


def read_genome(data: bytes, basis: Basis, where: str) -> Float:
    """The genome float32 (d,) of a ``genome.json``. :raises BadInput: if it is not one of this basis."""
    try:
        content = json.loads(data)
        weights = content["weights"]
        same = content["format"] == GENOME_FORMAT and content["basis"]["sha256"] == basis.sha256
        if not same or set(weights) != set(basis.gene_names):
            raise BadInput(
                f"{where}: format {content['format']} of basis {content['basis']['id']}, not {basis.id}"
            )
        return np.array([weights[name] for name in basis.gene_names], np.float32)
    except (ValueError, TypeError, KeyError) as error:
        raise BadInput(f"{where}: not a genome.json of a mask ({error!r})") from None


def _decoded(decoder: Decoder, elites: Sequence[EliteMask]) -> Float:
    count = len(decoder.basis.gene_names)
    for elite in elites:
        if np.shape(elite.genome) != (count,) or not np.isfinite(elite.genome).all():
            raise BadInput(
                f"mask {elite.id}: expected a genome of {count} finite weights, one per gene of basis "
                f"{decoder.basis.id!r}; got shape {np.shape(elite.genome)}"
            )
    return _vertices(decoder, np.stack([elite.genome for elite in elites]))


def _vertices(decoder: Decoder, genomes: Float) -> Float:
    decoded: Float = decoder.decode(torch.from_numpy(np.array(genomes, np.float32))).numpy()
    return decoded


def _write_mask(run: Store, decoder: Decoder, elite: EliteMask, points: Float, front: bytes | None) -> None:
    basis = decoder.basis
    colors = decoder.paint_bytes(torch.from_numpy(np.array(elite.genome[None], np.float32)))
    facts = {
        "format": GENOME_FORMAT,
        "id": elite.id,
        "basis": {"id": basis.id, "sha256": basis.sha256},
        "island": elite.island,
        "generation": elite.generation,
        "fitness": _number(elite.fitness),
        "values": {label: _number(value) for label, value in elite.values.items()},
        "flipped": _number(elite.flipped),
        "weights": dict(zip(basis.gene_names, map(float, elite.genome), strict=True)),
    }
    run.put(f"masks/{elite.id}/genome.json", _json(facts))
    extras = {"mask": elite.id, "basis": basis.id, "units": "m"}
    own = None if colors is None else colors[0]
    run.put(f"masks/{elite.id}/mask.glb", write_glb(points, basis.triangles, own, elite.id, extras))
    if front is not None:
        run.put(f"masks/{elite.id}/front.png", front)


def _audited(
    run: Store,
    eye: Eye,
    elite: EliteMask,
    views: Views,
    target: Float | None,
    critics: Mapping[str, Critic],
) -> AuditReport:
    _, rendered = eye.every(elite.genome[None], views)
    images, regions = rendered.images[0].numpy(), rendered.box_px[0].numpy()
    seen = audit(images, target, regions)
    said = {name: critic(images, regions) for name, critic in critics.items()}
    made = _report(elite.id, views, seen, said, target is not None)
    run.put(f"masks/{elite.id}/audit.json", _json({"format": AUDIT_FORMAT, **asdict(made)}))
    shown = [
        Seen(image, view.box, (box[0], box[1], box[2], box[3]), _words(made.per_view[k]))
        for k, (image, view, box) in enumerate(zip(images, seen, regions.tolist(), strict=True))
    ]
    note = f"{elite.id}: its pixels as they were scored, twice their size; beside them its box and dlib's."
    run.put(
        f"masks/{elite.id}/views.png",
        png(contact_sheet(shown, "What the machine received", note)),
    )
    return made


def _table(reports: Sequence[AuditReport]) -> list[dict[str, Any]]:
    return [{key: value for key, value in asdict(r).items() if key != "per_view"} for r in reports]


def _report(
    mask: str, views: Views, seen: Sequence[AuditView], said: Mapping[str, Sequence[bool]], targeted: bool
) -> AuditReport:
    count = len(seen)
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
            "hog_score": _number(view.hog_score),
            "box_px": None if view.box is None else [float(edge) for edge in view.box],
            "distance": _number(view.distance),
            "critics": {name: bool(verdicts[k]) for name, verdicts in said.items()},
        }
        for k, view in enumerate(seen)
    ]
    return AuditReport(
        id=mask,
        views=count,
        hog_rate=sum(v.detected for v in seen) / count,
        hog_median_score=float(np.median(scores)) if scores else None,
        critics={name: float(np.mean(verdicts)) for name, verdicts in said.items()},
        distance_median=float(np.median(distances)) if len(distances) else None,
        distance_below={f"{d:g}": float((distances < d).sum() / count) for d in DISTANCES}
        if targeted
        else None,
        self_distance_max=float(pairs.max()) if len(pairs) else None,
        self_distance_median=float(np.median(pairs)) if len(pairs) else None,
        per_view=per_view,
    )


def _critic(name: str, sha256: str | None = None) -> Critic:
    """A yes or no per image from a detector of the catalog. :raises BadInput: if it cannot be a critic."""
    info = catalog.model_info(name, sha256)
    if "critic" not in info.roles or info.kind != "detect":
        raise BadInput(
            f"[verify] critics: model {name!r} cannot be a critic here; use a detector: viola-jones"
        )
    detector = catalog.detector(name, "cpu", sha256)

    def ask(images: NDArray[np.uint8], regions: Float) -> list[bool]:
        score = detector.score(torch.from_numpy(images), torch.from_numpy(regions)).score
        return [bool(s > info.threshold) for s in score.tolist()]

    return ask


def _caption(elite: EliteMask, audit: AuditReport, research_only: Sequence[str] = ()) -> Caption:
    rows = [("fitness", signed(elite.fitness))]
    rows += [(label, signed(value)) for label, value in elite.values.items()]
    rows.append(("folded area", f"{elite.flipped:.0%}"))
    rows.append(("audit: HOG", _share(audit.hog_rate, audit.views)))
    if audit.distance_median is not None:
        rows.append(("audit: distance", f"{audit.distance_median:.2f}"))
    rows += [(f"critic: {name}", _share(rate, audit.views)) for name, rate in audit.critics.items()]
    rows += [("research only", name) for name in research_only]
    return Caption(elite.id, tuple(rows))


def _words(view: Mapping[str, Any]) -> tuple[str, ...]:
    words = [f"HOG {signed(view['hog_score'])}" if view["detected"] else "HOG: no face"]
    if view["distance"] is not None:
        words.append(f"distance {view['distance']:.2f}")
    words += [f"{name}: {'face' if yes else 'no face'}" for name, yes in view["critics"].items()]
    words.append(f"yaw {signed(view['yaw_deg'], 0)}°, pitch {signed(view['pitch_deg'], 0)}°")
    return tuple(words)


def _share(rate: float, views: int) -> str:
    return f"{round(rate * views)} of {views}"


def _number(value: float | None) -> float | None:
    """A value for JSON, which has no infinities."""
    return float(value) if value is not None and math.isfinite(value) else None


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def _silent(stage: str, done: int, total: int) -> None:
    pass
