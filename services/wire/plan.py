"""What a worker must know to score a batch, and how it is written down.

A batch object carries its plan, so that a worker needs nothing but the store and the batch's id. Plans hold
no name, URL, time or owner: two runs that ask the same get the same batch ids.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.errors import BadInput, CorruptData
from services.recognition.catalog import model_info, runtimes
from services.rendering.views import ViewRanges, ranges_of
from services.shape.catalog import basis_info
from services.storage.codec import Facts, decode, encode
from services.words import shown

FORMAT = 1

OK, NOT_FINITE, INVISIBLE, FAILED = 0, 1, 2, 3
STATUS_NAMES = ("ok", "not-finite", "invisible", "failed")
MEASURED = (OK, INVISIBLE)  # the others' rows of scores say nothing: no machine has seen these masks
_IS_MEASURED = np.isin(np.arange(len(STATUS_NAMES)), MEASURED)


@dataclass(frozen=True)
class Quantity:
    """One raw quantity to measure, by ``model``; ``kind`` is one of services.recognition.kinds.KINDS.

    target: SHA-256 key of the references under ``targets/``, where there are any. combine: how a face is
    compared with several: with their ``centroid``, with the ``best`` or with the ``worst`` match. threshold,
    scale, slope: how its answers read, where what is measured hangs on that (None: as the catalog and the
    kind have it).
    """

    kind: str
    model: str
    target: str | None = None
    combine: str = "centroid"
    threshold: float | None = None
    scale: float | None = None
    slope: float | None = None

    def meta(self) -> dict[str, Any]:
        """Its values as JSON has them; what only some quantities have is left out of the others."""
        always = {"kind": self.kind, "model": self.model, "target": self.target, "combine": self.combine}
        return always | {k: v for k, v in asdict(self).items() if k not in always and v is not None}


@dataclass(frozen=True)
class Plan:
    """How genomes of a run are scored.

    runtimes: versions of libraries that the bits of these models depend on, besides torch and numpy.
    residuals: whether scores tell, besides how far a face is from its target, which way. half: whether
    networks that can compute in 16 bits do, see services/recognition/networks/precision.py.
    """

    basis: str
    basis_sha256: str
    models: Mapping[str, str]
    quantities: tuple[Quantity, ...]
    ranges: ViewRanges
    runtimes: Mapping[str, str] = field(default_factory=dict)
    residuals: bool = False
    half: bool = False

    def digest(self) -> str:
        """SHA-256 of the plan's content."""
        return self._digest

    def meta(self) -> dict[str, Any]:
        """The plan as JSON values; not to be changed."""
        return self._meta

    @cached_property
    def _digest(self) -> str:
        return hashlib.sha256(json.dumps(self.meta(), sort_keys=True).encode()).hexdigest()

    @cached_property
    def _meta(self) -> Facts:
        meta = {
            "basis": self.basis,
            "basis_sha256": self.basis_sha256,
            "models": dict(sorted(self.models.items())),
            "measures": [m.meta() for m in self.quantities],
            "ranges": self.ranges.table(),
            **({"runtimes": dict(sorted(self.runtimes.items()))} if self.runtimes else {}),
            **({"residuals": True} if self.residuals else {}),
            **({"half": True} if self.half else {}),
        }
        return Facts(meta)  # names of fields, of models and of libraries are strings

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any], where: str) -> Plan:
        """The inverse of :meth:`meta`. :raises CorruptData: where a field is missing or unknown."""
        try:
            return cls(
                basis=str(meta["basis"]),
                basis_sha256=str(meta["basis_sha256"]),
                models={str(k): str(v) for k, v in meta["models"].items()},
                quantities=tuple(Quantity(**m) for m in meta["measures"]),
                ranges=ranges_of(meta["ranges"]),
                runtimes={str(k): str(v) for k, v in meta.get("runtimes", {}).items()},
                residuals=bool(meta.get("residuals", False)),
                half=bool(meta.get("half", False)),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise CorruptData(
                f"{where}: the scoring plan cannot be read ({error!r}); remove the object"
            ) from None


def make_plan(basis: str, quantities: tuple[Quantity, ...], ranges: ViewRanges) -> Plan:
    """A plan with the hashes of the basis and models as the catalogs pin them.

    :raises Unavailable: where a model's file or a library that it runs in is not here.
    """
    infos = {m.model: model_info(m.model) for m in quantities}
    return Plan(
        basis=basis,
        basis_sha256=basis_info(basis).sha256,
        models={name: info.sha256 for name, info in infos.items()},
        quantities=quantities,
        ranges=ranges,
        runtimes=runtimes(infos.values()),
    )


@dataclass(frozen=True)
class Batch:
    """Genomes float32 (n, d) and the views to score each of them under (sampled from ``view_seed``)."""

    plan: Plan
    genomes: NDArray[np.float32]
    view_seed: int
    view_count: int

    def encoded(self) -> bytes:
        """The immutable object for the store."""
        meta = {
            "format": FORMAT,
            "plan": self.plan.meta(),
            "view_seed": self.view_seed,
            "view_count": self.view_count,
        }
        return encode({"genomes": self.genomes}, meta)


def batch_id(data: bytes) -> str:
    """The id of an encoded batch: the hash of its content."""
    return hashlib.sha256(data).hexdigest()[:40]


def check_id(batch: str, data: bytes, where: str) -> None:
    """:raises CorruptData: if the bytes are not those that the id names."""
    if not batch.endswith(batch_id(data)):  # a stack has a letter before it
        raise CorruptData(f"{where}: it holds another batch; remove it, then run again with --resume")


def decode_batch(data: bytes, where: str) -> Batch:
    """:raises CorruptData: for damaged bytes; :raises BadInput: for a batch of another format."""
    arrays, meta = decode(data, where)
    if meta.get("format") != FORMAT:
        raise BadInput(
            f"{where}: batch format {shown(meta.get('format'))}, this version reads {FORMAT}; "
            "run the same datamask version on coordinator and workers"
        )
    try:
        return Batch(
            plan=Plan.from_meta(meta["plan"], where),
            genomes=arrays["genomes"],
            view_seed=int(meta["view_seed"]),
            view_count=int(meta["view_count"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptData(f"{where}: the batch cannot be read ({error!r}); remove the object") from None


@dataclass(frozen=True)
class Scores:
    """What was measured of n genomes under v views.

    raw: float32 (quantities, n, v): detector scores; for ``identity`` distances to the target; for
    ``consistent`` the largest distance to another view of the same mask.
    between: float32 (n,), distance to the batch's other masks (median of the largest); nan: none.
    status: uint8 (n,), index into STATUS_NAMES. flipped: float32 (n,), share of flipped area.
    coverage: float32 (n, v), share of the image that the mask covers.
    residuals: by the number of a quantity that compares with one reference, float32 (n, d): the embedding's
    mean over the views less the reference, in the space where the measure is a distance (cosine: unit
    vectors). Empty unless the plan asks for them.
    """

    raw: NDArray[np.float32]
    between: NDArray[np.float32]
    status: NDArray[np.uint8]
    flipped: NDArray[np.float32]
    coverage: NDArray[np.float32]
    residuals: Mapping[int, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def measured(self) -> NDArray[np.bool_]:
        """Which genomes some machine has seen, (n,): the others' numbers say nothing."""
        return _IS_MEASURED[self.status]

    def rows(self, rows: slice) -> Scores:
        """Those of some of the genomes; shares memory."""
        return Scores(
            self.raw[:, rows],
            *(self.between[rows], self.status[rows], self.flipped[rows], self.coverage[rows]),
            {k: array[rows] for k, array in self.residuals.items()},
        )

    def encoded(self, meta: Mapping[str, Any]) -> bytes:
        """The immutable object for the store."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        missed = {f"{_RESIDUALS}{k}": array for k, array in self.residuals.items()}
        return encode({**arrays, **missed}, {"format": FORMAT, **meta})


_ARRAYS = tuple(f.name for f in fields(Scores) if f.name != "residuals")
_RESIDUALS = "residuals."


def decode_scores(data: bytes, where: str) -> Scores:
    """:raises CorruptData: for damaged bytes."""
    arrays, _ = decode(data, where)
    try:
        return scores_of(arrays)
    except (KeyError, ValueError) as error:
        raise CorruptData(
            f"{where}: the scores cannot be read ({error!r}); remove the object and resume the run"
        ) from None


def scores_of(arrays: Mapping[str, NDArray[Any]]) -> Scores:
    """From the arrays of an object. Raises KeyError or ValueError where they are not a scorer's."""
    return Scores(
        **{name: arrays[name] for name in _ARRAYS},
        residuals={
            int(name.removeprefix(_RESIDUALS)): array
            for name, array in arrays.items()
            if name.startswith(_RESIDUALS)
        },
    )


def failed_scores(plan: Plan, count: int, views: int) -> Scores:
    """What stands for the scores of a batch that was set aside: every genome has status ``failed``."""
    return Scores(
        raw=np.zeros((len(plan.quantities), count, views), np.float32),
        between=np.full(count, np.nan, np.float32),
        status=np.full(count, FAILED, np.uint8),
        flipped=np.zeros(count, np.float32),
        coverage=np.zeros((count, views), np.float32),
    )


def joined_scores(parts: Sequence[Scores]) -> Scores:
    """The scores of several batches as of one. Residuals that a part lacks, for it failed, are nan."""
    widths = {k: array.shape[1] for part in parts for k, array in part.residuals.items()}

    def missed(part: Scores, k: int) -> NDArray[np.float32]:
        found = part.residuals.get(k)
        return np.full((len(part.status), widths[k]), np.nan, np.float32) if found is None else found

    return Scores(
        raw=np.concatenate([p.raw for p in parts], axis=1),
        between=np.concatenate([p.between for p in parts]),
        status=np.concatenate([p.status for p in parts]),
        flipped=np.concatenate([p.flipped for p in parts]),
        coverage=np.concatenate([p.coverage for p in parts]),
        residuals={k: np.concatenate([missed(p, k) for p in parts]) for k in sorted(widths)},
    )
