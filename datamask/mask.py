"""One mask of a run: its shape, how machines see it, where it comes from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coordinator.record.chronicle import Chronicle
from coordinator.record.lineage import Ancestor, family_tree
from coordinator.spec.objectives import recorded_labels
from coordinator.spec.spec import Spec, parse_spec
from datamask.basis import Basis
from services.errors import BadInput
from services.recognition.catalog import model_info
from services.recognition.kinds import CONSISTENT, CORRELATE, DETECT
from services.recognition.margins import margin
from services.recognition.model import FIVE, ModelInfo
from services.rendering.views import Views, frontal_view, sample_views
from services.shape.catalog import basis_info
from services.wire.mask import Mask as Recorded
from services.wire.objects import read_target
from services.wire.plan import Batch, Quantity, make_plan

if TYPE_CHECKING:
    from trimesh import Trimesh

PICTURE_PX, VIEWER_PX = 360, 420


@dataclass(frozen=True)
class Answers:
    """What one machine says of a mask under some views.

    :param raw: float32 (views,) in the machine's own measure: score, probability, distance or similarity.
    :param margins: float32 (views,), how far beyond the threshold each is: 0 at it, positive where accepted.
    :param asked: `detect`: is there a face; `identity`, `composite`: is it who the run is about;
        `consistent`: how far the view lies from the mask's other views; `correlate`: does it answer to the
        filter.
    """

    machine: str
    asked: str
    measure: str
    threshold: float
    raw: NDArray[np.float32]
    margins: NDArray[np.float32]

    @property
    def accepted(self) -> float:
        """The share of the views that the machine accepts."""
        return float((self.margins > 0).mean())


class Mask:
    """A mask that machines have seen. It shows itself in Jupyter: a picture, and in 3D."""

    def __init__(self, chronicle: Chronicle, recorded: Recorded) -> None:
        self._chronicle, self._recorded = chronicle, recorded

    def __repr__(self) -> str:
        values = ", ".join(f"{label} {value:+.2f}" for label, value in self.values.items())
        return f"<mask {self.id}: fitness {self.fitness:+.2f} ({values})>"

    @property
    def id(self) -> str:
        """Such as `i03-g0041-007`: island, generation and place in it."""
        return self._recorded.id

    @property
    def island(self) -> int:
        """The island that it lived on."""
        return self._recorded.island

    @property
    def generation(self) -> int:
        """The generation that it was born in, from 0."""
        return self._recorded.generation

    @property
    def genome(self) -> NDArray[np.float32]:
        """Its weights float32 (genes,)."""
        return self._recorded.genome.copy()

    @property
    def fitness(self) -> float:
        """The weighted mean of the objectives, on the views that it was scored under."""
        return self._recorded.fitness

    @property
    def values(self) -> Mapping[str, float]:
        """Its margin for each objective: 0 at the threshold, positive beyond it."""
        labels = recorded_labels(self._chronicle.record.spec_table())
        return dict(zip(labels, map(float, self._recorded.values), strict=True))

    @property
    def accepted(self) -> bool:
        """Whether every objective's margin is positive."""
        return self._recorded.accepted

    @property
    def basis(self) -> Basis:
        """What its weights move."""
        return Basis(self._spec().mask.basis)

    @property
    def mesh(self) -> Trimesh:
        """Its shape in meters, with its colors where it has any; the face looks along +Z, up is +Y."""
        return self.basis.mesh(self.genome)

    @property
    def lineage(self) -> list[Ancestor]:
        """The mask itself, its line back to noise, and what branches off it."""
        return family_tree(self._chronicle.births(), self.id)

    @property
    def audit(self) -> Mapping[str, Any] | None:
        """What dlib's own pipeline and critics said when the run ended; None for masks that were no elite."""
        from services.wire.page_plan import audit_of

        return audit_of(self._chronicle.record.store, self.id)

    def render(self, views: int | Views | None = None, *, seed: int = 0) -> NDArray[np.uint8]:
        """Pictures uint8 (views, S, S, 3) as machines receive them.

        :param views: how many to draw from the run's ranges, or the views themselves; None: one, from the
            front.
        :param seed: of the draw.
        :raises BadInput: for fewer than one view.
        """
        ranges = self._spec().views.ranges()
        if views is None:
            views = frontal_view(ranges.size_px)
        elif isinstance(views, (int, np.integer)):
            views = sample_views(ranges, int(views), seed)
        pictures: NDArray[np.uint8] = self.basis.render(self.genome[None], views)[0]
        return pictures

    def scores(
        self, machines: Iterable[str] | None = None, *, views: int = 20, seed: int = 0
    ) -> dict[str, Answers]:
        """What machines say of the mask under views drawn from the run's ranges.

        On a blank a recognizer looks where a detector sees a face; a view in which none does has the answer
        that is 3 scales beyond the catalog's threshold, and no view has a worse one.

        :param machines: names of any that `datamask.machines` lists; None: the run's objectives.
        :param views: how many, at least 2 where a recognizer compares a mask's views with each other.
        :param seed: of the draw; equal arguments give equal answers.
        :raises BadInput, Unavailable: for an unknown machine, or one whose weights are not here.
        """
        from worker.fingerprint import pick_device
        from worker.passes import LEAST
        from worker.scorer import Scorer

        spec = self._spec()
        names = [o.model for o in spec.objective] if machines is None else list(machines)
        names = list(dict.fromkeys([names] if isinstance(names, str) else names))
        targets: dict[str, NDArray[np.float32]] = {}
        quantities = tuple(self._quantity(spec, model_info(name), targets) for name in names)
        if not names:
            raise BadInput("scores: name at least one machine; datamask.machines lists them")
        if views < 1:
            raise BadInput(f"scores: expected 1 view or more, got {views}")
        if views < 2 and any(q.kind == CONSISTENT.name for q in quantities):
            raise BadInput("scores: a recognizer without a target compares views: ask for 2 or more")
        plan = make_plan(spec.mask.basis, quantities + _finders(spec, names), spec.views.ranges())
        device = pick_device()
        images = LEAST if device == "cuda" else None  # one shape of passes: nothing to try out
        scorer = Scorer(plan, targets, device, images, _LOADED)
        _LOADED.update(scorer.machines.held)
        raw = scorer.score(Batch(plan, self.genome[None], seed, int(views))).raw[: len(quantities), 0]
        said = {o.model: o.threshold for o in reversed(spec.objective) if o.threshold is not None}
        answers = {}
        for quantity, row in zip(quantities, raw, strict=True):
            info = model_info(quantity.model)
            threshold = said.get(info.name, info.threshold)
            margins = margin(row, threshold, info.measure, info.scale)
            if quantity.kind == CONSISTENT.name and info.measure == "similarity":  # told as distances
                margins = margin(row, 1.0 - threshold, "distance", info.scale)
            answers[info.name] = Answers(info.name, quantity.kind, info.measure, threshold, row, margins)
        return answers

    def _quantity(self, spec: Spec, info: ModelInfo, targets: dict[str, NDArray[np.float32]]) -> Quantity:
        """What is asked of a machine; fills in what it compares with."""
        if info.kind == "detect":
            return Quantity(DETECT.name, info.name)
        if info.kind not in ("recognize", "correlate"):
            raise BadInput(f"scores: {info.name!r} is a {info.kind} model and gives no scores of its own")
        record = self._chronicle.record
        held = record.manifest()["objectives"]
        for objective, entry in zip(spec.objective, held, strict=True):
            if objective.model == info.name and entry["target"] is not None:
                targets[entry["target"]] = read_target(record.store, entry["target"])
                return Quantity(objective.kind, info.name, entry["target"], objective.combine)
        if info.kind == "recognize":
            return Quantity(CONSISTENT.name, info.name)
        from worker.examination.targets import build_filter

        targets[info.name] = build_filter([], info.name, spec.mask.basis)
        return Quantity(CORRELATE.name, info.name, info.name)

    def _spec(self) -> Spec:
        return _parsed(self._chronicle.record.url, json.dumps(self._chronicle.record.spec_table()))

    def picture(self, size_px: int = PICTURE_PX) -> NDArray[np.uint8]:
        """A studio picture uint8 (size, size, 3) from the front, for people."""
        return self.basis.picture(self.genome, size_px)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        from services.exhibition.inline import text_of
        from services.exhibition.palette import png

        return {
            "image/png": text_of(png(self.picture())),
            "text/html": self.basis.viewer(self.genome, repr(self)),
            "text/plain": repr(self),
        }


def _finders(spec: Spec, names: Sequence[str]) -> tuple[Quantity, ...]:
    """Detectors to ask, too, so that machines of these names know where a face of a blank is."""
    from worker.eye import ALIGNING, PLACING

    if basis_info(spec.mask.basis).landmark_names:
        return ()
    infos = [model_info(name) for name in names]
    wanted = {info.aligns_by for info in infos} - {info.finds for info in infos}
    finders = {"eye corners": ALIGNING, FIVE: PLACING}
    return tuple(Quantity(DETECT.name, finder) for marks, finder in finders.items() if marks in wanted)


_LOADED: dict[Any, Any] = {}  # networks, each once


@lru_cache(maxsize=8)
def _parsed(url: str, table: str) -> Spec:
    spec = json.loads(table)
    spec.pop("versions", None)
    return parse_spec(spec, f"{url}/run.toml")
