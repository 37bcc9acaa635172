"""Machines that are asked about masks after the search, and what each of them says."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from services.recognition.detect import Detector
from services.recognition.dlib.audit import AuditView, audit
from services.recognition.recognize import Recognizer
from services.rendering.views import Views
from services.shape.catalog import DEFAULT_BASIS
from worker.examination.targets import build_filter
from worker.eye import Eye, Pictures, Straightener, finders_for, of_faces
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
    float32 (n, d) by recognizer, nan wherever the audit detected no face, or no detector of a mask without
    sites says where: nothing is embedded there. alike: bool (n,) by correlation filter: whether the picture
    answers to its reference; False where no face was seen. faces: bool (n,) by correlation filter: where one
    was.
    """

    audited: list[AuditView]
    detected: Mapping[str, Bool]
    embeddings: Mapping[str, Float]
    alike: Mapping[str, Bool]
    faces: Mapping[str, Bool]


class Panel:
    """The machines of one verification, loaded once.

    Masks without sites are aligned as the run's own detectors find landmarks, or worker.eye.PLACING.

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
        self._straightener = Straightener(device, finders_for(self.eye, self.detectors, self.infos))
        self._lanes = Lanes(device)

    @cached_property
    def of_heads(self) -> Panel:
        """The same machines before heads: the people that masks are compared with are random ones."""
        if self.eye.basis.facts.face:
            return self
        heads = copy.copy(self)
        heads.eye = Eye(DEFAULT_BASIS, self.machines.aligned, self.device)
        heads._straightener = Straightener(self.device)
        return heads

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
        answers = {name: self.answers(name, pictures) for name in self.templates}
        faces = {name: seen & np.isfinite(found) for name, found in answers.items()}
        alike = {
            name: seen & np.asarray(found > self.infos[name].threshold, np.bool_)
            for name, found in answers.items()
        }
        own = np.full((len(seen), 128), np.nan, np.float32)
        for k, view in enumerate(audited):
            if view.embedding is not None:
                own[k] = view.embedding
        return Answers(audited, detected, {AUDIT: own, **embeddings}, alike, faces)

    def scores(self, detector: Detector, pictures: Pictures) -> Float:
        """A detector's scores float32 (n,) of the pictures, over the mask."""

        def ask(part: slice) -> torch.Tensor:
            return detector.score(pictures.images[part], pictures.box_px[part]).score

        return self._in_parts(ask, len(pictures.images))

    def answers(self, name: str, pictures: Pictures) -> Float:
        """A correlation filter's answers float32 (n,); nan where no detector sees a face without sites."""
        machine, template = self.machines.correlators[name], self.templates[name]

        def ask(part: slice) -> torch.Tensor:
            shown = pictures.take(part)
            points = self.eye.points_of(machine, shown.points_px)
            if not self.eye.sites:
                points, _ = self._straightener.find(machine.points, replace(shown, points_px=points))
            return of_faces(machine.score(shown.images, points, template), points)

        return self._in_parts(ask, len(pictures.images))

    def embed(self, machine: Recognizer, pictures: Pictures, seen: Bool) -> Float:
        """Embeddings float32 (n, d) of the pictures that are ``seen`` (n,); nan in the others' place, and
        where no detector sees a face without sites.
        """
        found = np.full((len(seen), machine.size), np.nan, np.float32)
        where = torch.from_numpy(np.flatnonzero(seen)).to(pictures.images.device)
        shown = pictures.take(where)
        shown = replace(shown, points_px=self.eye.points_of(machine, shown.points_px))

        def ask(part: slice) -> torch.Tensor:
            straight, _ = self._straightener.find(machine.points, shown.take(part))
            return of_faces(machine.embed(shown.images[part], straight), straight)

        if len(where):
            found[seen] = self._in_parts(ask, len(where))
        return found

    def _in_parts(self, ask: Callable[[slice], torch.Tensor], count: int) -> Float:
        answers = [answer.cpu().numpy() for answer in self._lanes.map(ask, parts(count, self.device))]
        return np.asarray(np.concatenate(answers), np.float32)
