"""The run spec: what the user asks for, checked and with every default filled in.

A spec is a TOML file. Unknown keys are refused with the nearest known one, numbers out of range with the
range. The filled-in spec is what a run records in ``run.toml`` and what a resumed run is compared with.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Any, Literal, Self, get_args

import tomli_w
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from coordinator.search.grid import Grid
from coordinator.search.niches import Niches, niches_of
from coordinator.search.optimizers import OPTIMIZERS, Need, known_optimizer
from coordinator.search.pareto import known_aims
from coordinator.spec.diversity import ArchiveSpec, BreedSpec, ParetoSpec, archive_as_usual
from coordinator.spec.exhibiting import ExhibitionSpec
from coordinator.spec.objectives import (
    ConsentSpec,
    LicenceSpec,
    ModelSpec,
    ObjectiveSpec,
    is_photographed,
    labels_of,
)
from coordinator.spec.recording import RecordSpec
from coordinator.spec.tables import Before, Table
from coordinator.spec.terms import unacknowledged
from services.errors import BadInput
from services.names import SPEC_NAME_MOST, name_fault
from services.recognition.catalog import model_info, models
from services.rendering.materials import DEFAULT
from services.rendering.presets import PRESETS, PresetName
from services.rendering.views import ViewRanges
from services.shape.catalog import DEFAULT_BASIS, basis_info, check_face, facts_of, with_color, with_edge
from services.shape.installed import know
from services.words import nearest, shown

Range = tuple[float, float]
USUAL_NOISE = 20  # as many as there are usually views
# What a spec lacks for an optimizer, and how to mend it.
_MISSING = {
    Need.ARCHIVE: "an archive; add [archive] with on = true",
    Need.REFERENCE: "a face to come near: an objective of kind 'identity' or 'composite' with "
    'combine = "centroid"',
    Need.AIMS: 'aims to trade; add [pareto] with aims = ["fitness", "abstraction"]',
}


def _known_optimizer(name: str) -> str:
    if known_optimizer(name) is None:
        raise ValueError(f"expected one of: {', '.join(map(repr, OPTIMIZERS))}")
    return name


OptimizerName = Annotated[str, AfterValidator(_known_optimizer)]


class MaskSpec(Table):
    """What the genomes decode to and where the search starts."""

    start: Literal["noise", "neutral"] = "noise"
    basis: str = DEFAULT_BASIS
    # Color genes too, for masks that are printed or painted in color; what share of a blank's relief is at
    # its rim. Both choose the basis.
    color: Annotated[bool, Strict()] = False
    edge: Annotated[float | None, Field(ge=0, le=1, strict=True)] = None
    # What is not said is the basis's usual (services/shape/facts.py).
    spread: Annotated[float, Field(gt=0, le=5)] = 1.2  # standard deviation of the noise weights
    limit: Annotated[float, Field(gt=0, le=10)] = 3.0  # genes stay within [-limit, limit]
    # How far from zero masks are asked to stay; 1: as far as noise is (see search/dial.py).
    abstraction: Annotated[float | None, Field(ge=0, le=1)] = None

    @field_validator("basis")
    @classmethod
    def _known(cls, value: str) -> str:
        basis_info(value)
        return value

    @model_validator(mode="before")
    @classmethod
    def _chosen(cls, data: Any) -> Any:
        """Genomes with colors, or with another rim, are of another basis; and what is usual for that."""
        if not isinstance(data, dict) or not isinstance(data.get("basis", DEFAULT_BASIS), str):
            return data
        basis, edge = data.get("basis", DEFAULT_BASIS), data.get("edge")
        know(basis)
        if isinstance(edge, (int, float)) and 0 <= edge <= 1:
            basis = with_edge(basis, edge)
        if data.get("color") is True:
            basis = with_color(basis)
        facts = facts_of(basis)
        return {"spread": facts.spread, "limit": facts.limit, **data, "basis": basis}


Sides = Annotated[list[bool], Field(min_length=1)]


class SearchSpec(Table):
    """How many islands live for how long, and what breeds on them."""

    islands: Annotated[int, Field(ge=1, le=10_000)] = 4
    population: Annotated[int, Field(ge=4, le=4096)] = 24
    generations: Annotated[int, Field(ge=1, le=1_000_000)] = 60
    optimizers: list[OptimizerName] = Field(default=["sep-cma", "genetic"], min_length=1)
    sigma: Annotated[float, Field(gt=0, le=5)] = 0.5  # first step size of CMA, in gene units
    # Left and right change alike, and noise's asymmetry fades; a list goes round the islands. See Spec for
    # what it is where nothing is said.
    symmetric: Annotated[bool | Sides, Before(False)] = True
    # After how many generations a symmetric search goes on with each gene on its own; 0: never.
    release: Annotated[int, Field(ge=0)] = 0
    batch: Annotated[int, Field(ge=0, le=4096)] = 0  # genomes a batch; 0: the whole generation
    patience: Annotated[int, Field(ge=0)] = 0  # epochs without a better mask until a new start; 0: none
    # Share of the ranking views in which an island's best mask is accepted when it has found its face: then
    # it starts anew, away from what it found.
    found: Annotated[float | None, Field(gt=0, le=1)] = None

    def symmetric_on(self, island: int) -> bool:
        """Whether left and right change alike on an island."""
        sides = self.symmetric
        return sides if isinstance(sides, bool) else sides[island % len(sides)]

    @property
    def batch_size(self) -> int:
        """Genomes in one batch."""
        return self.batch or self.population


class MigrationSpec(Table):
    """Who sends its best to whom, and how often."""

    topology: Literal["ring", "full", "none"] = "ring"
    every: Annotated[int, Field(ge=1)] = 5
    count: Annotated[int, Field(ge=0, le=64)] = 2
    select: Literal["best", "random"] = "best"
    replace: Literal["worst"] = "worst"


def _range_field(name: str) -> Range:
    return next(f.default for f in fields(ViewRanges) if f.name == name)  # type: ignore[return-value]


MATERIAL = "material"
RANGE_NAMES = tuple(f.name for f in fields(ViewRanges) if isinstance(f.default, tuple) and f.name != MATERIAL)
_COUNTS = ("count", "first", "size_px", "preset", MATERIAL)


class ViewsSpec(BaseModel):
    """Views a genome is scored under: how many, how large, and the range of every quantity.

    preset: a place where a camera meets a face; whatever is set beside it counts more. first: how many views
    an island begins with; as its best mask comes to be accepted there are more of them, up to count.
    """

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    preset: PresetName | None = None
    count: Annotated[int, Field(ge=1, le=256)] = 5
    first: Annotated[int | None, Field(ge=1, le=256)] = None  # None: count from the start
    size_px: Annotated[int, Field(ge=96, le=1024)] = 160
    # What a mask without colors of its own is shown in: one name, or several of which each view has one.
    material: Annotated[list[str], BeforeValidator(lambda v: [v] if isinstance(v, str) else v)] = [DEFAULT]

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            preset = PRESETS.get(str(data.get("preset")), {})
            return {**cls.usual(), **{name: list(preset[name]) for name in preset}, **data}
        return data

    @model_validator(mode="after")
    def _check(self) -> Self:
        extra = self.__pydantic_extra__ or {}
        for key, value in extra.items():
            if key not in RANGE_NAMES:
                raise ValueError(f"unknown key '{key}'{nearest(key, [*RANGE_NAMES, *_COUNTS])}")
            if not (
                isinstance(value, (list, tuple))
                and len(value) == 2
                and all(isinstance(x, (int, float)) and math.isfinite(x) for x in value)
            ):
                raise ValueError(f"{key} = {shown(value)}: expected two numbers [low, high]")
            extra[key] = [float(value[0]), float(value[1])]
        if self.first is not None and self.first > self.count:
            raise ValueError(
                f"first = {self.first} is more than count = {self.count}: searches begin with few views"
            )
        self.ranges()
        return self

    @staticmethod
    def usual() -> dict[str, list[float]]:
        """The range of every quantity where nothing is said of it."""
        return {name: list(_range_field(name)) for name in RANGE_NAMES}

    @property
    def least(self) -> int:
        """The fewest views that a mask is scored under."""
        return self.count if self.first is None else self.first

    def at(self, accepted: float) -> int:
        """Views a mask, where the best mask is accepted in a share of its views."""
        return self.least + round(accepted * (self.count - self.least))

    def ranges(self) -> ViewRanges:
        """These settings as the renderer takes them."""
        extra = self.__pydantic_extra__ or {}
        return ViewRanges(
            size_px=self.size_px, material=tuple(self.material), **{k: (v[0], v[1]) for k, v in extra.items()}
        )


class VerifySpec(Table):
    """How the elites are cross-checked when the run ends."""

    critics: list[str] = Field(default=["viola-jones"])
    views: Annotated[int, Field(ge=1, le=10_000)] = 20
    # Noise masks beside the elites, each seen once: the held-out views are theirs in turn. 0: none.
    noise: Annotated[int, Field(ge=0, le=10_000)] = USUAL_NOISE

    @field_validator("critics")
    @classmethod
    def _known(cls, value: list[str]) -> list[str]:
        for name in value:
            if "critic" not in model_info(name, needed=False).roles:
                raise ValueError(f"model '{name}' cannot be a critic")
        return value


class ElitesSpec(Table):
    """How many masks a run keeps and on how many fixed views candidates are ranked."""

    count: Annotated[int, Field(ge=1, le=1024)] = 4
    candidates: Annotated[int, Field(ge=1, le=64)] = 2  # ranked per island and epoch
    ranking_views: Annotated[int, Field(ge=1, le=256)] = 10


class StoreSpec(Table):
    """What is kept as files under ``masks/`` while the run goes on.

    ``elites``: ``genome.json`` and ``mask.glb`` of every mask that became an elite at a checkpoint. ``all``:
    of every scored mask (110 kB each). Pictures and audits are made at the end, of the last elites.
    """

    masks: Literal["elites", "all"] = "elites"


class RunSpec(Table):
    """Promises of the run as a whole, and how finely networks compute on its GPUs."""

    exact: bool = True
    precision: Literal["full", "half"] = "full"


class Spec(Table):
    """Everything a run is asked for."""

    name: str = "run"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    mask: MaskSpec = MaskSpec()
    search: SearchSpec = SearchSpec()
    migration: MigrationSpec = MigrationSpec()
    views: ViewsSpec = ViewsSpec()
    objective: Annotated[list[ObjectiveSpec], Field(min_length=1)]
    consent: ConsentSpec | None = None
    licence: LicenceSpec = LicenceSpec()
    models: dict[str, ModelSpec] = Field(default={})
    verify: VerifySpec = VerifySpec()
    elites: ElitesSpec = ElitesSpec()
    archive: ArchiveSpec | None = None
    pareto: ParetoSpec | None = None
    breed: BreedSpec | None = None
    store: StoreSpec = StoreSpec()
    record: RecordSpec = RecordSpec()
    run: RunSpec = RunSpec()
    exhibition: ExhibitionSpec | None = None

    @field_validator("name")
    @classmethod
    def _callable(cls, value: str) -> str:
        fault = name_fault(value, SPEC_NAME_MOST)
        if fault is not None:
            raise ValueError(fault)
        return value

    @model_validator(mode="before")
    @classmethod
    def _sides(cls, data: Any) -> Any:
        """Any face at all may be symmetric; one that photographs show is not."""
        if not isinstance(data, Mapping):
            return data
        search, objectives = data.get("search", {}), data.get("objective")
        if not isinstance(search, Mapping) or "symmetric" in search or not isinstance(objectives, list):
            return data
        tables = [o for o in objectives if isinstance(o, Mapping)]
        if any(is_photographed(o.get("kind"), o.get("images")) for o in tables):
            return {**data, "search": {**search, "symmetric": False}}
        return data

    @model_validator(mode="before")
    @classmethod
    def _usual(cls, data: Any) -> Any:
        """What is usual for masks of the basis, where a table says nothing."""
        mask = data.get("mask", {}) if isinstance(data, Mapping) else None
        basis = mask.get("basis", DEFAULT_BASIS) if isinstance(mask, Mapping) else None
        if not isinstance(basis, str):
            return data
        know(basis)
        facts, found = facts_of(basis), dict(data)
        search, pareto = data.get("search", {}), data.get("pareto")
        if isinstance(search, Mapping):
            found["search"] = {"sigma": facts.sigma, **search}
        if "archive" in data:
            found["archive"] = archive_as_usual(data["archive"], facts.measures)
        if isinstance(pareto, Mapping):
            found["pareto"] = {"aims": ["fitness", facts.distance.name], **pareto}
        return found

    @model_validator(mode="before")
    @classmethod
    def _bits(cls, data: Any) -> Any:
        """A run promises its bytes unless it says otherwise, or a machine in its search does not."""
        if not isinstance(data, Mapping):
            return data
        run, objectives = data.get("run", {}), data.get("objective")
        if not isinstance(run, Mapping) or "exact" in run or not isinstance(objectives, list):
            return data
        names = [o.get("model") for o in objectives if isinstance(o, Mapping)]
        own = [name for name in names if isinstance(name, str) and name.startswith("own:")]
        if own and not all(model_info(name, needed=False).exact for name in own):
            return {**data, "run": {**run, "exact": False}}
        return data

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.migration.count >= self.search.population:
            raise ValueError(
                f"[migration] count = {self.migration.count} must be smaller than "
                f"[search] population = {self.search.population}"
            )
        has = {
            Need.ARCHIVE: self.archive is not None and self.archive.on,
            Need.REFERENCE: any(o.single_reference for o in self.objective),
            Need.AIMS: self.pareto is not None,
        }
        for name in self.search.optimizers:
            for need in OPTIMIZERS[name].needs:
                if not has[need]:
                    raise ValueError(f'[search] optimizers holds "{name}", which needs {_MISSING[need]}')
        self._check_aims()
        if self.record.evaluations != "all":
            if self.pareto is not None:
                raise ValueError("[pareto] is drawn from every mask: leave [record] evaluations at 'all'")
            if self.store.masks == "all":
                raise ValueError("[store] masks = 'all': leave [record] evaluations at 'all', too")
        if self.archive is not None and self.archive.machines is not None:
            niches_of(self.archive.machines, [{"kind": o.kind, "model": o.model} for o in self.objective])
        for kind in (o.kind for o in self.objective if o.known.machine == "correlate" and not o.images):
            check_face(self.mask.basis, f"an objective of kind '{kind}' without images")
        if self.breed is not None and len(self.breed.pin) > self.elites.count:
            raise ValueError(
                f"{len(self.breed.pin)} pinned masks, but [elites] count = {self.elites.count}; raise it"
            )
        used = {o.model for o in self.objective}
        for critic in self.verify.critics:
            if critic in used:
                raise ValueError(
                    f"'{critic}' is an objective and a critic; a critic must take no part in the search"
                )
        refusing = {o.model for o in self.objective if o.known.refuses}
        if refusing and all(o.known.refuses for o in self.objective):
            raise ValueError(
                "every objective is of kind 'refuse', and a blank is refused as it is; add one of a machine "
                'that is to see a face, e.g. kind = "detect"'
            )
        for name in (o.model for o in self.objective if not o.known.refuses and o.model in refusing):
            raise ValueError(f"'{name}' is to see a face and to see none; take one of its objectives out")
        across = [o.kind for o in self.objective if o.known.across_views]
        if self.views.least < 2 and across:
            key = "count" if self.views.first is None else "first"
            raise ValueError(f"[views] {key} must be 2 or more for an objective of kind '{across[0]}'")
        if len(across) > 1:
            raise ValueError(f"only one objective may be of kind '{across[0]}'")
        agreeing = [o.model for o in self.objective if o.known.together]
        if len(agreeing) == 1 or len(set(agreeing)) < len(agreeing):
            raise ValueError(
                "kind 'together' is about the one place where detectors agree: expected two such objectives "
                f"or more, of different models (given: {', '.join(agreeing)})"
            )
        for name in self.models:
            if not name.startswith("onnx:") or name not in self.model_names:
                raise ValueError(f"[models.'{name}'] is not an onnx: file among the objectives and critics")
        if not basis_info(self.mask.basis).landmark_names:
            self._check_faces()
        terms = unacknowledged(self.model_names, self.models, self.licence)
        if terms is not None:
            raise ValueError(terms)
        if self.identity:
            self._check_consent()
        return self

    def _check_aims(self) -> None:
        if self.pareto is None:
            return
        known = known_aims(self.mask.basis, labels_of((o.kind, o.model) for o in self.objective))
        for aim in self.pareto.aims:
            if aim not in known:
                raise ValueError(f"[pareto] aims holds '{aim}'{nearest(aim, known)}")
        if len(set(self.pareto.aims)) < len(self.pareto.aims):
            raise ValueError("[pareto] aims names one twice")

    def _check_faces(self) -> None:
        """On a basis without sites only a detector of the run can say where to align a face."""
        infos = [(o, model_info(o.model, needed=False)) for o in self.objective]
        # A machine that is to see no face cannot say where one is.
        seeing = [info for o, info in infos if not o.known.refuses]
        found = {"unknown" if info.kind == "unknown" else info.finds for info in seeing}
        for objective, info in infos:
            if objective.known.machine == "detect":
                continue
            if self.run.precision == "half":
                raise ValueError(
                    f"[run] precision = \"half\" is tried on faces before a run, and '{self.mask.basis}' has "
                    f"none for '{info.name}'; leave it out"
                )
            if info.aligns_by is not None and not found & {info.aligns_by, "unknown"}:
                able = [i.name for i in models() if i.finds == info.aligns_by and "objective" in i.roles]
                raise ValueError(
                    f"'{info.name}' aligns faces by {info.aligns_by}, and '{self.mask.basis}' has none: add "
                    f"an [[objective]] whose detector finds them: {', '.join(able)}"
                )

    def _check_consent(self) -> None:
        if self.consent is None:
            raise ValueError(
                "an identity objective needs a [consent] table (subject, granted_by, purpose) or "
                "--consent TEXT: it records whose face it is, who consented and for what"
            )
        if "evolve" not in self.consent.covers:
            raise ValueError('[consent] covers must contain "evolve"')
        people = self.consent.subjects
        for objective in self.objective:
            if not objective.photographed:
                continue
            several = objective.known.images == "people"
            expected = len(objective.images) if several else 1
            if len(people) > 1 and not objective.subject:
                raise ValueError(
                    f"[consent] lists {len(people)} subjects: say whose face '{objective.kind}' "
                    "is about, subject = ..."
                )
            if len(people) < expected and several:
                raise ValueError(
                    f"kind '{objective.kind}' is about {expected} people and [consent] covers {len(people)}; "
                    "list them all: subject = [...]"
                )
            for person in objective.subjects:
                if person not in people:
                    raise ValueError(f"[consent] does not cover '{person}'{nearest(person, people)}")

    def cells(self) -> Grid | Niches | None:
        """The cells of the archive, or None where there is none."""
        said = self.archive
        if said is None or not said.on:
            return None
        if said.machines is None:
            return said.grid(self.mask.basis)
        return niches_of(said.machines, [{"kind": o.kind, "model": o.model} for o in self.objective])

    @property
    def identity(self) -> bool:
        """Whether any objective is a real person's face."""
        return any(o.photographed for o in self.objective)

    @property
    def model_names(self) -> tuple[str, ...]:
        """The models that the spec names, objectives first, each once."""
        return tuple(dict.fromkeys([*(o.model for o in self.objective), *self.verify.critics]))

    def table(self) -> dict[str, Any]:
        """The whole spec as plain TOML values, every default filled in (None is left out)."""
        return plain(self.model_dump(mode="python"))  # type: ignore[no-any-return]

    def toml(self) -> str:
        """The whole spec as TOML text."""
        return tomli_w.dumps(self.table())


def plain(value: Any) -> Any:
    """Values as TOML has them: lists for tuples, and nothing where there is None."""
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def parse_spec(data: Mapping[str, Any], where: str) -> Spec:
    """Check plain TOML values. :raises BadInput: naming ``where`` and the key."""
    try:
        return Spec.model_validate(dict(data))
    except ValidationError as error:
        raise BadInput(f"{where}: {told(_lines(error))}") from None
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from None


def spec_faults(data: Mapping[str, Any]) -> list[str]:
    """What :func:`parse_spec` would refuse plain TOML values for, one line a fault; none: it would not."""
    try:
        Spec.model_validate(dict(data))
    except ValidationError as error:
        return _lines(error)
    except BadInput as error:
        return [str(error)]
    return []


def told(faults: Sequence[str]) -> str:
    """The first fault, and how many more there are."""
    return faults[0] + (f" (and {len(faults) - 1} more)" if len(faults) > 1 else "")


def _lines(error: ValidationError) -> list[str]:
    # An unknown key explains itself better than whatever its absence caused elsewhere.
    return [_line(d) for d in sorted(error.errors(), key=lambda d: d["type"] != "extra_forbidden")]


def _line(detail: ErrorDetails) -> str:
    place = [str(p) for p in detail["loc"]]
    if detail["type"] == "extra_forbidden":
        *tables, key = place
        return f"{_key(tables)}unknown key {shown(key)}{nearest(key, _known_keys(tables))}"
    if detail["type"] == "missing":
        *tables, key = place
        hint = '; add e.g. [[objective]] kind = "detect", model = "dlib-hog"' if key == "objective" else ""
        return f"{_key(tables)}'{key}' is missing{hint}"
    message = detail["msg"].removeprefix("Value error, ")
    given = detail.get("input")
    said = f" (given: {shown(given)})" if isinstance(given, (str, int, float, bool)) else ""
    return f"{_where(place)}{message}{said}"


def _key(place: Sequence[str]) -> str:
    return f"[{'.'.join(place)}] " if place else ""


def _where(place: Sequence[str]) -> str:
    """``[search] islands: `` for a value, ``[views] `` for a table."""
    if not place or _known_keys(place):
        return _key(place)
    return f"{_key(place[:-1])}{place[-1]}: "


def _known_keys(tables: Sequence[str]) -> list[str]:
    model: type[BaseModel] = Spec
    for table in tables:
        if table.isdigit():
            continue
        if model is ModelSpec:  # tables of [models] are called by the model
            continue
        if table not in model.model_fields:
            return []
        annotation = model.model_fields[table].annotation
        candidates = [a for a in _walk(annotation) if isinstance(a, type) and issubclass(a, BaseModel)]
        if not candidates:
            return []
        model = candidates[0]
    return list(model.model_fields)


def _walk(annotation: Any) -> Iterator[Any]:
    yield annotation
    for argument in get_args(annotation):
        yield from _walk(argument)
