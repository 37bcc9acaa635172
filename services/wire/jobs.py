"""What a worker must know to write masks' files and a run's pictures, and what it answers.

A job is an object like a batch: immutable, under the hash of its content in ``batches/``, its answer beside
the scores. So it is sent, sent again, set aside and swept as batches are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from services.errors import BadInput, CorruptData
from services.storage.codec import decode, encode
from services.storage.keys import check_key
from services.wire.mask import Mask, pack, unpack
from services.wire.page_plan import PagePlan

FORMAT = 2
KIND = "realize"
# Who audit, and whose words a page shows.
PAGE_MODELS = ("dlib-hog", "dlib-landmarks-5", "dlib-mmod", "dlib-resnet")
_PAGE = "page."


@dataclass(frozen=True)
class AuditReport:
    """What machines that took no part, dlib's own whole pipeline and the run's own detectors (``judges``,
    which earlier versions did not ask) say of one mask on held-out views.

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
    judges: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """Masks to write the files of, the best first.

    :param labels: of the run's objectives, in the order of the masks' values. models: SHA-256 by name, as the
        run has them. page: where a run has come to its end: its masks are audited besides, and its pictures,
        film and page are made; None: the masks' own files are all that is wanted.
    """

    basis: str
    basis_sha256: str
    labels: tuple[str, ...]
    masks: tuple[Mask, ...]
    models: Mapping[str, str]
    page: PagePlan | None = None

    def encoded(self) -> bytes:
        """The immutable object for the store. :raises BadInput: as :func:`check_masks`."""
        check_masks(self.masks)
        arrays, known = pack(self.masks)
        meta: dict[str, Any] = {
            "format": FORMAT,
            "kind": KIND,
            "basis": [self.basis, self.basis_sha256],
            "models": dict(sorted(self.models.items())),
            "labels": list(self.labels),
            "masks": known,
            "page": None,
        }
        if self.page is not None:
            shown, meta["page"] = self.page.packed()
            arrays |= {f"{_PAGE}{name}": array for name, array in shown.items()}
        return encode(arrays, meta)


def check_masks(masks: Sequence[Mask]) -> None:
    """:raises BadInput: where there is no mask, or an id is there twice or cannot be a name in a store."""
    if not masks:
        raise BadInput("there is no elite to realize")
    seen = set()
    for mask in masks:
        check_key(f"masks/{mask.id}/genome.json")
        if "/" in mask.id or mask.id in seen:
            raise BadInput(f"mask id {mask.id!r}: expected one name a mask, such as 'i03-g0041-007'")
        seen.add(mask.id)


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
        basis, sha256 = meta["basis"]
        page = None
        if meta["page"] is not None:
            shown = {n.removeprefix(_PAGE): array for n, array in arrays.items() if n.startswith(_PAGE)}
            page = PagePlan.unpacked(shown, meta["page"])
        masks = tuple(unpack(arrays, meta["masks"]))
        job = Job(str(basis), str(sha256), tuple(meta["labels"]), masks, dict(meta["models"]), page)
        check_masks(job.masks)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise CorruptData(f"{where}: the job cannot be read ({error!r}); remove the object") from None
    return job


@dataclass(frozen=True)
class Answer:
    """reports: the audits, empty where nothing was to be audited. left_out: why pictures, film or page are
    missing, or "": a run is done without them."""

    reports: tuple[AuditReport, ...] = ()
    left_out: str = ""

    def encoded(self) -> bytes:
        """The object for the store."""
        reports = [asdict(report) for report in self.reports]
        return encode({}, {"format": FORMAT, "kind": KIND, "reports": reports, "left_out": self.left_out})


def decode_answer(data: bytes, where: str) -> Answer:
    """:raises CorruptData: if it is not the answer to a job."""
    _, meta = decode(data, where)
    names = {entry.name for entry in fields(AuditReport)}
    try:
        reports = tuple(
            AuditReport(**{n: report[n] for n in names & set(report)}) for report in meta["reports"]
        )
        return Answer(reports, str(meta["left_out"]))
    except (KeyError, TypeError) as error:
        raise CorruptData(f"{where}: not the answer to a job ({error!r}); remove the object") from None
