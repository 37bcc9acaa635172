"""The machines' verdict on a mesh that no genome makes: a solid, beside the mask that it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from services.recognition.agreement import Reading
from services.recognition.fitness import Objective, fitness, thresholds_of
from services.recognition.recognize import Recognizer
from services.rendering.views import Views
from services.shape.basis import Basis
from services.wire.plan import Quantity
from worker.agreeing import Agreeing
from worker.eye import Eye, Straightener, finders_for, of_faces
from worker.machines import Machines
from worker.scorer import combined, floored, references, self_distances

LOSS_SHARE = 0.10  # of the margin: more than this and the loss is explained
# Loss of margin below this is measuring noise: views have sensor noise of their own.
LOSS_LEAST = 0.02

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Scored:
    """A mesh under held-out views. accepted: share of views, by detector, at its objective's threshold;
    views: each detector's answers.
    """

    fitness: float
    values: dict[str, float]
    accepted: dict[str, float]
    views: dict[str, list[bool]] = field(repr=False)


class Rescorer:
    """Scores meshes of one mask by its run's objectives, under one set of views.

    :param targets: references by target key: embeddings float32 (photos, d), or a filter float32 (1, S, S).
        hashes: SHA-256 by model, as the run pinned them. combine: for each objective how several references
        are compared, see Quantity; "centroid" where it is not given.
    """

    def __init__(
        self,
        basis: str | Basis,
        objectives: Sequence[Objective],
        targets: Mapping[str, Float],
        views: Views,
        hashes: Mapping[str, str],
        combine: Sequence[str] = (),
    ) -> None:
        self._objectives, self._views = tuple(objectives), views
        said = tuple(combine) or ("centroid",) * len(self._objectives)
        self._combine = dict(zip(self._objectives, said, strict=True))
        self._targets = {key: torch.from_numpy(np.array(target)) for key, target in targets.items()}
        self._thresholds = thresholds_of(self._objectives)
        names = list(dict.fromkeys(o.model for o in self._objectives))
        self._machines = Machines(names, hashes)
        self._eye = Eye(basis, self._machines.aligned)
        finders = finders_for(self._eye, self._machines.detectors, self._machines.infos)
        self._straightener = Straightener(finders=finders) if self._machines.aligned else None
        readings = {o.model: o for o in self._objectives if o.known.together}
        self._agreeing = Agreeing(
            {name: Reading(o.reading[0], o.threshold, o.reading[1], o.slope) for name, o in readings.items()}
        )

    @torch.inference_mode()
    def score(
        self,
        vertices: Float,
        triangles: NDArray[np.int64],
        mask: Float,
        colors: Float | None = None,
        material: str | None = None,
    ) -> Scored:
        """Score a mesh ``(n, 3)`` in meters; landmarks are taken from ``mask``, the evolved vertices.

        colors: float32 ``(n, 3)`` in 0..1 (sRGB); None: the one color that a mask without paint is seen in.
        material: what it is seen in then, as ``services.rendering.materials`` names it; None: the views' own.
        """
        views = self._views if material is None else self._views.shown_in(material)
        seen = self._eye.mesh(vertices, triangles, mask, views, colors)
        images, machines = seen.images, self._machines
        found = self._agreeing.look(machines.detectors, images, seen.box_px)
        scores = {name: best.score for name, best in found.best.items()}
        where = {
            names: own if self._straightener is None
            else self._straightener.find(names, replace(seen, points_px=own))[0]
            for names, own in self._eye.points_by_names(seen.points_px).items()
        }  # fmt: skip
        embeddings = {
            n: of_faces(r.embed(images, where[r.points]), where[r.points])
            for n, r in machines.recognizers.items()
        }
        raw = []
        for objective in self._objectives:
            if objective.known.machine == "detect":
                said = found.together if objective.known.together else scores
                answers = said[objective.model]
            elif objective.known.machine == "correlate":
                correlator = machines.correlators[objective.model]
                template, points = self._targets[f"{objective.target}"][0], where[correlator.points]
                answers = of_faces(correlator.score(images, points, template), points)
            else:
                machine = machines.recognizers[objective.model]
                answers = self._likeness(objective, machine, embeddings[objective.model])
            if objective.known.machine != "detect" and not self._eye.sites:
                answers = floored(self._quantity(objective), machines.infos[objective.model], answers)
            raw.append(answers.numpy()[None].astype(np.float32))
        made = fitness(self._objectives, raw, np.full(1, np.nan, np.float32), np.ones(1, bool))
        labels = [o.label for o in self._objectives]
        verdicts = {n: [bool(s > self._thresholds[n]) for s in own.tolist()] for n, own in scores.items()}
        return Scored(
            float(made.fitness[0]),
            dict(zip(labels, map(float, made.values[0]), strict=True)),
            {name: float(np.mean(said)) for name, said in verdicts.items()},
            verdicts,
        )

    def _likeness(self, objective: Objective, machine: Recognizer, embeddings: torch.Tensor) -> torch.Tensor:
        """float32 (v,): each view against the references, as the search compares it, or how far it lies from
        the mask's other views.
        """
        if objective.target is None:
            unlike = machine.unlikeness(embeddings)
            within, _ = self_distances(unlike, len(embeddings), torch.ones(1, dtype=torch.bool))
            return within[0]
        quantity = self._quantity(objective)
        known = references(machine, quantity, self._targets[objective.target])
        answers = [machine.compare(embeddings, one) for one in known]
        return combined(quantity, self._machines.infos[objective.model], answers)

    def _quantity(self, objective: Objective) -> Quantity:
        """What the search measures for it."""
        combine, scale = self._combine[objective], objective.reading[1]
        return Quantity(
            objective.kind, objective.model, objective.target, combine, objective.threshold, scale
        )


def lost(before: Scored, after: Scored) -> list[str]:
    """Objectives that lost more than a tenth of their margin."""
    return [
        label
        for label, value in before.values.items()
        if value - after.values[label] > max(LOSS_SHARE * abs(value), LOSS_LEAST)
    ]
