"""Machines that are asked about masks after the search: pictures of subjects, and what each machine says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from services.recognition import catalog
from services.recognition.correlate import Correlator
from services.recognition.detect import Detector
from services.recognition.dlib.audit import AuditView, audit
from services.recognition.model import ModelInfo
from services.recognition.recognize import Recognizer
from services.rendering.torch_renderer import TorchRenderer
from services.rendering.views import Views
from services.shape.basis import load_basis
from services.shape.decode import Decoder
from worker.examination.targets import build_filter
from worker.lanes import Lanes
from worker.passes import parts
from worker.scorer import Landmarks
from worker.straighten import Straightener

Float = NDArray[np.float32]
Bool = NDArray[np.bool_]

AUDIT = "audit"  # the name under which dlib's own whole pipeline testifies


@dataclass(frozen=True)
class Pictures:
    """n pictures. images: uint8 (n, S, S, 3); points_px: float32 (n, p, 2); box_px: float32 (n, 4)."""

    images: torch.Tensor
    points_px: torch.Tensor
    box_px: torch.Tensor


@dataclass(frozen=True)
class Testimony:
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


class Witnesses:
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
        self.infos: dict[str, ModelInfo] = {n: catalog.model_info(n, hashes.get(n)) for n in names}
        self.decoder = Decoder(load_basis(basis), device)
        self.renderer = TorchRenderer(self.decoder.triangles, self.decoder.vertex_faces, device)
        self.detectors: dict[str, Detector] = {
            n: catalog.detector(n, device, hashes.get(n)) for n, i in self.infos.items() if i.kind == "detect"
        }
        self.recognizers: dict[str, Recognizer] = {
            n: catalog.recognizer(n, device, hashes.get(n))
            for n, i in self.infos.items()
            if i.kind == "recognize"
        }
        self.correlators: dict[str, tuple[Correlator, torch.Tensor]] = {}
        for name in (n for n, i in self.infos.items() if i.kind == "correlate"):
            template = (filters or {}).get(name)
            template = build_filter([], name, basis) if template is None else template
            machine = catalog.correlator(name, device, hashes.get(name))
            self.correlators[name] = machine, torch.from_numpy(np.array(template[0])).to(device)
        aligned: list[Recognizer | Correlator] = [*self.recognizers.values()]
        self._points = Landmarks(self.decoder, [*aligned, *(c for c, _ in self.correlators.values())])
        self._straightener = Straightener(device)
        self._lanes = Lanes(device)

    def look(self, genomes: Float, views: Views) -> Pictures:
        """Mask k under view k, for genomes float32 (n, d) and n views."""
        seen = self._lanes.map(
            lambda part: self._render(genomes[part], views.take(part)), parts(len(genomes), self.device)
        )
        return Pictures(*(torch.cat(tensors) for tensors in zip(*seen, strict=True)))

    def testify(self, pictures: Pictures) -> Testimony:
        """Every machine's answers; the recognizers see only what the audit detected."""
        audited = audit(pictures.images.cpu().numpy(), None, pictures.box_px.cpu().numpy())
        seen = np.array([view.detected for view in audited], np.bool_)
        detected = {AUDIT: seen}
        for name, detector in self.detectors.items():
            detected[name] = self.scores(detector, pictures) > self.infos[name].threshold
        embeddings = {name: self.embed(r, pictures, seen) for name, r in self.recognizers.items()}
        alike = {name: seen & self.answers(name, pictures) for name in self.correlators}
        own = np.full((len(seen), 128), np.nan, np.float32)
        for k, view in enumerate(audited):
            if view.embedding is not None:
                own[k] = view.embedding
        return Testimony(audited, detected, {AUDIT: own, **embeddings}, alike)

    def scores(self, detector: Detector, pictures: Pictures) -> Float:
        """A detector's scores float32 (n,) of the pictures, over the mask."""

        def ask(part: slice) -> torch.Tensor:
            return detector.score(pictures.images[part], pictures.box_px[part]).score

        return self._in_parts(ask, len(pictures.images))

    def answers(self, name: str, pictures: Pictures) -> Bool:
        """Whether each picture (n,) answers to a correlation filter beyond its threshold."""
        machine, template = self.correlators[name]

        def ask(part: slice) -> torch.Tensor:
            own = self._points.of(machine, pictures.points_px[part])
            return machine.score(pictures.images[part], own, template)

        return np.asarray(self._in_parts(ask, len(pictures.images)) > self.infos[name].threshold, np.bool_)

    def embed(self, machine: Recognizer, pictures: Pictures, seen: Bool) -> Float:
        """Embeddings float32 (n, d) of the pictures that are ``seen`` (n,); nan in the others' place."""
        found = np.full((len(seen), machine.size), np.nan, np.float32)
        where = torch.from_numpy(np.flatnonzero(seen)).to(pictures.images.device)
        images, points, boxes = (t[where] for t in (pictures.images, pictures.points_px, pictures.box_px))

        def ask(part: slice) -> torch.Tensor:
            own = self._points.of(machine, points[part])
            straight, _ = self._straightener.find(machine.points, images[part], boxes[part], own)
            return machine.embed(images[part], straight)

        if len(where):
            found[seen] = self._in_parts(ask, len(where))
        return found

    def _in_parts(self, ask: Callable[[slice], torch.Tensor], count: int) -> Float:
        answers = [answer.cpu().numpy() for answer in self._lanes.map(ask, parts(count, self.device))]
        return np.asarray(np.concatenate(answers), np.float32)

    @torch.inference_mode()
    def _render(self, genomes: Float, views: Views) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        weights = torch.from_numpy(np.ascontiguousarray(genomes)).to(self.device)
        vertices, colors = self.decoder.decode(weights), self.decoder.colors(weights)
        rendered = self.renderer.render_each(vertices, views, self._points.vertices, colors)
        return rendered.images[:, 0], rendered.points_px[:, 0], rendered.box_px[:, 0]
