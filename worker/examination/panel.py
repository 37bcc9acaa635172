"""Machines that are asked about masks after the search, and what each of them says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from services.recognition.detect import Detector
from services.recognition.dlib.audit import AuditView, audit
from services.recognition.recognize import Recognizer
from services.rendering.views import Views
from worker.examination.targets import build_filter
from worker.eye import Eye, Pictures, Straightener
from worker.lanes import Lanes
from worker.machines import Machines
from worker.passes import parts

Float = NDArray[np.float32]
Bool = NDArray[np.bool_]

AUDIT = "audit"  # the name under which dlib's own whole pipeline answers


@dataclass(frozen=True)
class Answers:
    """What every machine says of one subject's n pictures.

    audited: dlib's whole own pipeline. detected: bool (n,) by detector, the audit among them. embeddings:
    float32 (n, d) by recognizer, nan wherever the audit detected no face: nothing is embedded there. alike:
    bool (n,) by correlation filter: whether the picture answers to its reference; False where no face was
    seen.
    """

    audited: list[AuditView]
    detected: Mapping[str, Bool]
    embeddings: Mapping[str, Float]
    alike: Mapping[str, Bool]


class Panel:
    """The machines of one verification, loaded once.

    :param filters: what correlation filters compare with, float32 (1, S, S) by model; none: the neutral head.
    :raises Unavailable, BadInput: as the catalog does, for a machine that cannot be loaded.
    """

    def __init__(
        self,
        basis: str,
        names: Sequence[str],
        hashes: Mapping[str, str],
        device: str,
        filters: Mapping[str, Float] | None = None,
    ) -> None:
        self.device = device
        self.machines = Machines(names, hashes, device)
        self.infos = self.machines.infos
        self.detectors, self.recognizers = self.machines.detectors, self.machines.recognizers
        self.templates: dict[str, torch.Tensor] = {}
        for name in self.machines.correlators:
            template = (filters or {}).get(name)
            template = build_filter([], name, basis) if template is None else template
            self.templates[name] = torch.from_numpy(np.array(template[0])).to(device)
        self.eye = Eye(basis, self.machines.aligned, device)
        self._straightener = Straightener(device)
        self._lanes = Lanes(device)

    def look(self, genomes: Float, views: Views) -> Pictures:
        """Mask k under view k, for genomes float32 (n, d) and n views."""
        return self.eye.each_in_lanes(genomes, views, self._lanes)

    def ask(self, pictures: Pictures) -> Answers:
        """Every machine's answers; the recognizers see only what the audit detected."""
        audited = audit(pictures.images.cpu().numpy(), None, pictures.box_px.cpu().numpy())
        seen = np.array([view.detected for view in audited], np.bool_)
        detected = {AUDIT: seen}
        for name, detector in self.detectors.items():
            detected[name] = self.scores(detector, pictures) > self.infos[name].threshold
        embeddings = {name: self.embed(r, pictures, seen) for name, r in self.recognizers.items()}
        alike = {name: seen & self.answers(name, pictures) for name in self.templates}
        own = np.full((len(seen), 128), np.nan, np.float32)
        for k, view in enumerate(audited):
            if view.embedding is not None:
                own[k] = view.embedding
        return Answers(audited, detected, {AUDIT: own, **embeddings}, alike)

    def scores(self, detector: Detector, pictures: Pictures) -> Float:
        """A detector's scores float32 (n,) of the pictures, over the mask."""

        def ask(part: slice) -> torch.Tensor:
            return detector.score(pictures.images[part], pictures.box_px[part]).score

        return self._in_parts(ask, len(pictures.images))

    def answers(self, name: str, pictures: Pictures) -> Bool:
        """Whether each picture (n,) answers to a correlation filter beyond its threshold."""
        machine, template = self.machines.correlators[name], self.templates[name]

        def ask(part: slice) -> torch.Tensor:
            own = self.eye.points_of(machine, pictures.points_px[part])
            return machine.score(pictures.images[part], own, template)

        return np.asarray(self._in_parts(ask, len(pictures.images)) > self.infos[name].threshold, np.bool_)

    def embed(self, machine: Recognizer, pictures: Pictures, seen: Bool) -> Float:
        """Embeddings float32 (n, d) of the pictures that are ``seen`` (n,); nan in the others' place."""
        found = np.full((len(seen), machine.size), np.nan, np.float32)
        where = torch.from_numpy(np.flatnonzero(seen)).to(pictures.images.device)
        shown = pictures.take(where)
        shown = replace(shown, points_px=self.eye.points_of(machine, shown.points_px))

        def ask(part: slice) -> torch.Tensor:
            straight, _ = self._straightener.find(machine.points, shown.take(part))
            return machine.embed(shown.images[part], straight)

        if len(where):
            found[seen] = self._in_parts(ask, len(where))
        return found

    def _in_parts(self, ask: Callable[[slice], torch.Tensor], count: int) -> Float:
        answers = [answer.cpu().numpy() for answer in self._lanes.map(ask, parts(count, self.device))]
        return np.asarray(np.concatenate(answers), np.float32)
