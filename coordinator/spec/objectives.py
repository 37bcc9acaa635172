"""The tables of a spec that say which machines a mask is to satisfy, on whose behalf, and on what terms."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from coordinator.spec.tables import Table
from services.recognition.catalog import families, model_info, models
from services.recognition.fitness import label_of
from services.recognition.kinds import KINDS, ObjectiveKind


def _known_kind(name: str) -> str:
    if name not in KINDS:
        raise ValueError(f"expected one of: {', '.join(map(repr, KINDS))}")
    return name


KindName = Annotated[str, AfterValidator(_known_kind)]
Text = Annotated[str, Field(min_length=1)]


def labels_of(objectives: Iterable[tuple[str, str]]) -> list[str]:
    """What tables call objectives of these kinds and models, as `Objective.label` does."""
    seen: Counter[tuple[str, str]] = Counter()
    labels = []
    for kind, model in objectives:
        seen[kind, model] += 1
        labels.append(label_of(kind, model, seen[kind, model]))
    return labels


def recorded_labels(spec: Mapping[str, Any]) -> list[str]:
    """The labels of the objectives of a recorded spec table."""
    return labels_of((str(o["kind"]), str(o["model"])) for o in spec["objective"])


def is_photographed(kind: object, images: object) -> bool:
    """Whether an objective of this kind, with these images, is about real people's faces."""
    return bool(images) or (isinstance(kind, str) and kind in KINDS and KINDS[kind].portrays)


class ObjectiveSpec(Table):
    """One machine that a mask is to satisfy; of kind ``refuse``, one that is to see no face in it.

    images: photos of the one person (``identity``), one photo of each person (``composite``), or what a
    correlation filter is built from (``correlate``; none: the neutral head). subject: whose face, where
    [consent] lists several people; a list, one for each image, for ``composite``. combine: ``centroid``: the
    middle of the references; ``best``: the nearest of them; ``worst`` (``composite``): the furthest of them.
    far: take threshold and scale from the model's calibration on renders: a margin of 0 is the threshold at
    that false accept rate, -1 the median of different people. calibration: a file of ``datamask calibrate``;
    none: the shipped one. aggregate: from views to one value; k belongs to ``worst-k``, q to ``quantile``.
    gate: whether the value sinks to the bottom of the scale where no detector sees a face (default: for
    ``consistent`` only). saturate: the part of a detector's value above 0 that fitness counts, so that its
    contentment cannot pay for another's refusal (default: 1, all of it; 0.25 for ``together``
    and ``refuse``).
    """

    kind: KindName
    model: str
    weight: Annotated[float, Field(gt=0, le=1000)] = 1.0
    threshold: float | None = None  # None: the catalog's
    scale: Annotated[float | None, Field(gt=0)] = None  # what a margin of 1 is; None: the catalog's
    far: Annotated[float | None, Field(gt=0, lt=1, strict=True)] = None
    calibration: Text | None = None
    images: list[str] = Field(default=[])
    subject: Text | list[Text] | None = None
    combine: Literal["centroid", "best", "worst"] = "centroid"
    aggregate: Literal["mean-min", "worst-k", "quantile"] = "mean-min"
    k: Annotated[int, Field(ge=1, le=256)] = 1
    q: Annotated[float, Field(ge=0, le=1)] = 0.25
    gate: bool | None = None
    saturate: Annotated[float | None, Field(gt=0, le=1)] = None

    @property
    def known(self) -> ObjectiveKind:
        """What the table of kinds says of its kind."""
        return KINDS[self.kind]

    @property
    def photographed(self) -> bool:
        """Whether it is about real people's faces."""
        return is_photographed(self.kind, self.images)

    @property
    def single_reference(self) -> bool:
        """Whether a recognizer compares masks with one embedding, so that it can tell which way they miss."""
        return self.known.portrays and self.combine == "centroid"

    @model_validator(mode="before")
    @classmethod
    def _usual(cls, data: Any) -> Any:
        """A run records how its kind of objective saturates, where it does."""
        kind = KINDS.get(str(data.get("kind"))) if isinstance(data, Mapping) else None
        return data if kind is None or kind.slope == 1.0 else {"saturate": kind.slope, **data}

    @model_validator(mode="after")
    def _check(self) -> Self:
        info = model_info(self.model, needed=False)
        wanted, images = self.known.machine, self.known.images
        if info.kind not in (wanted, "unknown"):
            raise ValueError(
                f"model '{self.model}' is a {info.kind} model; kind '{self.kind}' needs one to {wanted}"
            )
        if "objective" not in info.roles:
            raise ValueError(f"model '{self.model}' is a critic: it may stand under [verify] critics only")
        if images == "person" and not self.images:
            raise ValueError(f"kind '{self.kind}' needs images = [\"photo.jpg\"] (or --target PHOTO)")
        if images == "people" and len(self.images) < 2:
            raise ValueError(f"kind '{self.kind}' needs images of two people or more, one of each")
        if images == "none" and self.images:
            others = ", ".join(f"'{kind.name}'" for kind in KINDS.values() if kind.images != "none")
            raise ValueError(f"kind '{self.kind}' takes no images; {others} do")
        if self.far is not None and wanted != "recognize":
            raise ValueError(f"far is a false accept rate of a recognizer; kind '{self.kind}' has none")
        if self.calibration is not None and self.far is None:
            raise ValueError("calibration says where thresholds come from; add the rate, e.g. far = 0.01")
        if self.known.together and info.kind == wanted and not info.windows:
            raise ValueError(
                f"model '{self.model}' does not say what it sees in every place; kind '{self.kind}' takes "
                + ", ".join(known.name for known in models() if known.windows)
            )
        if self.saturate is not None and wanted != "detect":
            raise ValueError(f"kind '{self.kind}' takes no saturate: detectors do")
        self._check_combination()
        return self

    def _check_combination(self) -> None:
        if self.combine not in self.known.combine:
            words = " or ".join(self.known.combine if len(self.known.combine) > 1 else ("none",))
            raise ValueError(f"combine = '{self.combine}': kind '{self.kind}' takes {words}")
        if self.known.gates and self.gate is not None:
            raise ValueError(f"kind '{self.kind}' takes no gate: detectors are what opens it")
        several = self.known.images == "people"
        if isinstance(self.subject, list) and not several:
            raise ValueError(f"kind '{self.kind}' is about one subject, not a list of them")
        if self.subject is not None and not self.images:
            raise ValueError("subject says whose photos the images are, and there are none")
        if several and self.subject is not None and len(self.subjects) != len(self.images):
            raise ValueError(
                f"subject lists {len(self.subjects)} people for {len(self.images)} images; expected one each"
            )

    @property
    def subjects(self) -> list[str]:
        """The people it names."""
        if self.subject is None:
            return []
        return [self.subject] if isinstance(self.subject, str) else self.subject


class ConsentSpec(Table):
    """Whose face, who consented, for what, until when. Required where photos of a face are a target.

    subject: one person, or a list of them; granted_by: one name for all, or a list in the same order.
    covers: what may be done; "cloud": pictures of mask and person may go to another company's service.
    """

    subject: Text | Annotated[list[Text], Field(min_length=1)]
    granted_by: Text | Annotated[list[Text], Field(min_length=1)]
    purpose: Text
    covers: list[Literal["evolve", "print", "exhibit", "cloud"]] = Field(default=["evolve"])
    expires: datetime.date | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if isinstance(self.granted_by, list) and len(self.granted_by) != len(self.subjects):
            raise ValueError(
                f"granted_by lists {len(self.granted_by)} names for {len(self.subjects)} subjects; expected "
                "one each, or one for all"
            )
        return self

    @property
    def subjects(self) -> list[str]:
        """The people whose faces it is about."""
        return [self.subject] if isinstance(self.subject, str) else self.subject


class LicenceSpec(Table):
    """Terms that whoever starts the run has read. acknowledge: names of models, or of whole families."""

    acknowledge: list[str] = Field(default=[])

    @field_validator("acknowledge")
    @classmethod
    def _known(cls, value: list[str]) -> list[str]:
        prefixes = [family.prefix for family in families()]
        for name in value:
            if name not in prefixes:
                model_info(name, needed=False)
        return value

    def covers(self, name: str) -> bool:
        """Whether the terms of the model of that name are acknowledged."""
        return name in self.acknowledge or name.partition(":")[0] in self.acknowledge


class ModelSpec(Table):
    """What the user says of a model file that the user brings (a table [models."onnx:FILE.onnx"])."""

    licence: Text
    source: Text | None = None
    training_data: Text | None = None
    research_only: bool = False
    threshold: float | None = None
