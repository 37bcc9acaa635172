"""What a worker must know to realize masks, and what it answers. Torch-free.

A job is an object like a batch: immutable, under the hash of its content in ``batches/``, its answer beside
the scores. So it is sent, sent again, set aside and swept as batches are. There are two kinds: masks to
realize (:class:`Job`), and an exhibition to hang (:class:`services.wire.exhibition_plan.ExhibitionPlan`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.errors import BadInput, CorruptData
from services.rendering.views import ViewRanges, ranges_of
from services.storage.codec import decode, encode
from services.storage.keys import check_key
from services.wire import exhibition_plan
from services.wire.exhibition_plan import ExhibitionPlan

FORMAT = 1
KIND = "realize"

Float = NDArray[np.float32]


@dataclass(frozen=True)
class EliteMask:
    """A mask to keep. genome: float32 (d,). values: by objective. flipped: share of folded area."""

    id: str
    island: int
    generation: int
    genome: Float
    fitness: float
    values: dict[str, float]
    flipped: float


@dataclass(frozen=True)
class StoryFrame:
    """One moment of the search, for the film. genome: float32 (d,)."""

    genome: Float
    generation: int
    fitness: float | None


@dataclass(frozen=True)
class AuditReport:
    """What machines that took no part, or dlib's own whole pipeline, say of one mask on held-out views.

    Rates are shares of all views. hog_median_score and distances: over the views in which dlib detected the
    face; None where there are none. distance_below: share of all views that are detected and nearer than the
    key. self_distance_*: between embeddings of two views of the mask, over all pairs.
    """

    id: str
    views: int
    hog_rate: float
    hog_median_score: float | None
    critics: dict[str, float]
    distance_median: float | None
    distance_below: dict[str, float] | None
    self_distance_max: float | None
    self_distance_median: float | None
    per_view: list[dict[str, Any]]


@dataclass(frozen=True)
class Exhibition:
    """What a run's end adds to its masks' own files: pictures, film, audits.

    story: from the first generation to the last. audit_seed, audit_views: the held-out views. target: key of
    the reference embeddings, or None. critics: model names. research_only: models whose terms the pictures'
    captions have to name.
    """

    story: tuple[StoryFrame, ...]
    ranges: ViewRanges
    audit_seed: int
    audit_views: int
    target: str | None
    critics: tuple[str, ...]
    research_only: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """Masks to realize, the best first. exhibition: None where their own files are all that is wanted.

    models: SHA-256 by name, as the run has them.
    """

    basis: str
    basis_sha256: str
    masks: tuple[EliteMask, ...]
    models: Mapping[str, str]
    exhibition: Exhibition | None = None

    def encoded(self) -> bytes:
        """The immutable object for the store. :raises BadInput: as :func:`check_masks`."""
        check_masks(self.masks)
        labels = list(self.masks[0].values)
        arrays: dict[str, NDArray[Any]] = {
            "genomes": np.stack([m.genome for m in self.masks]),
            "fitness": np.array([m.fitness for m in self.masks], np.float64),
            "flipped": np.array([m.flipped for m in self.masks], np.float64),
            "values": np.array([[m.values[label] for label in labels] for m in self.masks], np.float64),
        }
        meta: dict[str, Any] = {
            "format": FORMAT,
            "kind": KIND,
            "basis": [self.basis, self.basis_sha256],
            "models": dict(sorted(self.models.items())),
            "labels": labels,
            "masks": [[m.id, m.island, m.generation] for m in self.masks],
            "exhibition": None,
        }
        if (show := self.exhibition) is not None:
            if show.story:
                arrays["story"] = np.stack([frame.genome for frame in show.story])
            arrays["story.fitness"] = np.array(
                [np.nan if f.fitness is None else f.fitness for f in show.story], np.float64
            )
            meta["exhibition"] = {
                "generations": [frame.generation for frame in show.story],
                "ranges": asdict(show.ranges),
                "audit_seed": show.audit_seed,
                "audit_views": show.audit_views,
                "target": show.target,
                "critics": list(show.critics),
                "research_only": list(show.research_only),
            }
        return encode(arrays, meta)


def check_masks(masks: Sequence[EliteMask]) -> None:
    """:raises BadInput: where there is no mask, or an id is there twice or cannot be a name in a store."""
    if not masks:
        raise BadInput("there is no elite to realize")
    seen = set()
    for mask in masks:
        check_key(f"masks/{mask.id}/genome.json")
        if "/" in mask.id or mask.id in seen:
            raise BadInput(f"mask id {mask.id!r}: expected one name a mask, such as 'i03-g0041-007'")
        seen.add(mask.id)


def decode_any(data: bytes, where: str) -> Job | ExhibitionPlan:
    """A job of either kind. :raises CorruptData, BadInput: as :func:`decode_job`."""
    if decode(data, where).meta.get("kind") == exhibition_plan.KIND:
        return exhibition_plan.decode_plan(data, where)
    return decode_job(data, where)


def decode_job(data: bytes, where: str) -> Job:
    """The inverse of :meth:`Job.encoded`.

    :raises CorruptData: for damaged bytes; :raises BadInput: for a job of another format.
    """
    arrays, meta = decode(data, where)
    if meta.get("kind") != KIND or meta.get("format") != FORMAT:
        raise BadInput(
            f"{where}: not a job to realize masks, format {FORMAT}; "
            "run the same datamask version on coordinator and workers"
        )
    try:
        rows = zip(arrays["genomes"], arrays["fitness"], arrays["values"], arrays["flipped"], strict=True)
        masks = tuple(
            EliteMask(
                str(name),
                int(island),
                int(generation),
                genome,
                float(fitness),
                dict(zip(meta["labels"], map(float, values), strict=True)),
                float(flipped),
            )
            for (name, island, generation), (genome, fitness, values, flipped) in zip(
                meta["masks"], rows, strict=True
            )
        )
        basis, sha256 = meta["basis"]
        show = meta["exhibition"]
        exhibition = None if show is None else _exhibition(show, arrays)
        job = Job(str(basis), str(sha256), masks, dict(meta["models"]), exhibition)
        check_masks(job.masks)
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptData(f"{where}: the job cannot be read ({error!r}); remove the object") from None
    return job


def _exhibition(show: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Exhibition:
    story = tuple(
        StoryFrame(arrays["story"][k], int(generation), None if np.isnan(fitness) else float(fitness))
        for k, (generation, fitness) in enumerate(
            zip(show["generations"], arrays["story.fitness"], strict=True)
        )
    )
    return Exhibition(
        story=story,
        ranges=ranges_of(show["ranges"]),
        audit_seed=int(show["audit_seed"]),
        audit_views=int(show["audit_views"]),
        target=show["target"],
        critics=tuple(show["critics"]),
        research_only=tuple(show["research_only"]),
    )


def encode_reports(reports: Sequence[AuditReport]) -> bytes:
    """The answer to a job, empty where nothing was to be audited."""
    return encode({}, {"format": FORMAT, "kind": KIND, "reports": [asdict(r) for r in reports]})


def decode_reports(data: bytes, where: str) -> list[AuditReport]:
    """:raises CorruptData: if it is not the answer to a job."""
    _, meta = decode(data, where)
    names = {field.name for field in fields(AuditReport)}
    try:
        return [AuditReport(**{name: report[name] for name in names}) for report in meta["reports"]]
    except (KeyError, TypeError) as error:
        raise CorruptData(f"{where}: not the answer to a job ({error!r}); remove the object") from None
