"""The machines' verdict on a mesh that no genome makes: a solid, beside the mask that it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from services.recognition import catalog
from services.recognition.fitness import Objective, fitness
from services.recognition.recognize import Recognizer
from services.rendering.torch_renderer import TorchRenderer
from services.rendering.views import Views
from services.shape.decode import Decoder
from services.wire.plan import Measure
from worker.scorer import Landmarks, combined, references, self_distances
from worker.straighten import Straightener

LOSS_SHARE = 0.10  # of the margin: more than this and the loss is explained
# Loss of margin below this is measuring noise: views have sensor noise of their own.
LOSS_LEAST = 0.02

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Scored:
    """A mesh under held-out views. accepted: share of views, by detector; views: each detector's answers."""

    fitness: float
    values: dict[str, float]
    accepted: dict[str, float]
    views: dict[str, list[bool]] = field(repr=False)


class Rescorer:
    """Scores meshes of one mask by its run's objectives, under one set of views.

    :param targets: references by target key: embeddings float32 (photos, d), or a filter float32 (1, S, S).
        hashes: SHA-256 by model, as the run pinned them. combine: for each objective how several references
        are compared, see Measure; "centroid" where it is not given.
    """

    def __init__(
        self,
        decoder: Decoder,
        objectives: Sequence[Objective],
        targets: Mapping[str, Float],
        views: Views,
        hashes: Mapping[str, str],
        combine: Sequence[str] = (),
    ) -> None:
        self._objectives, self._views, self._hashes = tuple(objectives), views, hashes
        said = tuple(combine) or ("centroid",) * len(self._objectives)
        self._combine = dict(zip(self._objectives, said, strict=True))
        self._targets = {key: torch.from_numpy(np.array(target)) for key, target in targets.items()}
        kinds: dict[str, str] = {o.model: o.kind for o in objectives}
        self._detectors, self._recognizers, self._correlators = {}, {}, {}
        for name, kind in kinds.items():
            if kind == "detect":
                self._detectors[name] = catalog.detector(name, "cpu", hashes.get(name))
            elif kind == "correlate":
                self._correlators[name] = catalog.correlator(name, "cpu", hashes.get(name))
            else:
                self._recognizers[name] = catalog.recognizer(name, "cpu", hashes.get(name))
        self._thresholds = {n: catalog.model_info(n, hashes.get(n)).threshold for n in self._detectors}
        self._points = Landmarks(decoder, (*self._recognizers.values(), *self._correlators.values()))
        aligned = self._recognizers or self._correlators
        self._straightener = Straightener("cpu") if aligned else None

    @torch.inference_mode()
    def score(
        self, vertices: Float, triangles: NDArray[np.int64], mask: Float, colors: Float | None = None
    ) -> Scored:
        """Score a mesh ``(n, 3)`` in meters; landmarks are taken from ``mask``, the evolved vertices.

        colors: float32 ``(n, 3)`` in 0..1 (sRGB); None: the one color that a mask without paint is seen in.
        """
        marks = np.asarray(mask[self._points.vertices.cpu().numpy()], np.float32).reshape(-1, 3)
        points = torch.from_numpy(np.concatenate([vertices, marks]).astype(np.float32))[None]
        renderer = TorchRenderer(
            torch.from_numpy(np.array(triangles, np.int64)), vertex_count=points.shape[1]
        )
        tint = None
        if colors is not None:  # landmarks are no part of the mesh: any color will do
            tint = torch.from_numpy(np.concatenate([colors, np.ones_like(marks)]).astype(np.float32))[None]
        seen = renderer.render(points, self._views, torch.arange(len(vertices), points.shape[1]), tint)
        images, regions, own = seen.images[0], seen.box_px[0], seen.points_px[0]
        scores = {name: d.score(images, regions).score for name, d in self._detectors.items()}
        where = {
            names: points_px if self._straightener is None
            else self._straightener.find(names, images, regions, points_px)[0]
            for names, points_px in self._points.each(own).items()
        }  # fmt: skip
        embeddings = {n: r.embed(images, where[r.points]) for n, r in self._recognizers.items()}
        raw = []
        for objective in self._objectives:
            if objective.kind == "detect":
                answers = scores[objective.model]
            elif objective.kind == "correlate":
                correlator = self._correlators[objective.model]
                template = self._targets[f"{objective.target}"][0]
                answers = correlator.score(images, where[correlator.points], template)
            else:
                machine = self._recognizers[objective.model]
                answers = self._likeness(objective, machine, embeddings[objective.model])
            raw.append(answers.numpy()[None].astype(np.float32))
        made = fitness(self._objectives, raw, np.full(1, np.nan, np.float32), np.ones(1, bool))
        labels = [o.label for o in self._objectives]
        verdicts = {n: [bool(s > self._thresholds[n]) for s in found.tolist()] for n, found in scores.items()}
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
        measure = Measure(objective.kind, objective.model, objective.target, self._combine[objective])
        found = references(machine, measure, self._targets[objective.target])
        answers = [machine.compare(embeddings, one) for one in found]
        return combined(measure, self._hashes.get(objective.model), answers)


def lost(before: Scored, after: Scored) -> list[str]:
    """Objectives that lost more than a tenth of their margin."""
    return [
        label
        for label, value in before.values.items()
        if value - after.values[label] > max(LOSS_SHARE * abs(value), LOSS_LEAST)
    ]
