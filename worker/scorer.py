"""The inner loop: genomes in, raw scores out, everything between as batched tensors on one device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from services.errors import BadInput, CorruptData
from services.recognition import align, catalog, template
from services.recognition.detect import Detections
from services.recognition.landmarks import LandmarkPredictor
from services.recognition.recognize import Recognizer
from services.rendering.torch_renderer import TorchRenderer
from services.rendering.views import Views, sample_views
from services.shape.basis import load_basis
from services.shape.decode import Decoder
from services.shape.measure import flipped_share
from worker.lanes import Lanes
from worker.plan import INVISIBLE, NOT_FINITE, OK, Batch, Plan, Scores

# Images that go through renderer and networks at a time, in each lane. It bounds memory and belongs to a
# run's fingerprint: networks may round differently for other batch sizes.
MICRO_IMAGES = 24

# Where this detector sees the mask, its box and dlib's landmarks straighten the face for dlib's recognizer, just
# as dlib does; elsewhere, and in runs without it, the mask's own landmarks do. A detector that finds landmarks
# itself (SCRFD) does the same for the recognizers that align by those.
_ALIGNING = "dlib-hog"


@dataclass(frozen=True)
class _Pass:
    """What one micro-batch of m masks measured: scores (m, v) and embeddings (m, v, d) by model."""

    detections: dict[str, torch.Tensor]
    embeddings: dict[str, torch.Tensor]
    coverage: torch.Tensor
    flipped: torch.Tensor


class Landmarks:
    """The vertices that several recognizers align by, each once, and which of them are whose."""

    def __init__(self, decoder: Decoder, machines: Sequence[Recognizer]) -> None:
        names = list(dict.fromkeys(name for machine in machines for name in machine.points))
        self._columns = {
            machine.points: [names.index(name) for name in machine.points] for machine in machines
        }
        self.vertices = decoder.landmark_indices(names)

    def of(self, machine: Recognizer, points_px: torch.Tensor) -> torch.Tensor:
        """One recognizer's own points (n, k, 2), of all points (n, p, 2)."""
        return points_px[:, self._columns[machine.points]]


class Scorer:
    """Scores batches of one plan. Loads basis and networks once.

    :param targets: reference embeddings float32 (photos, d) by target key, for identity measures.
    :raises CorruptData: if a basis or weights file has not the hash that the plan names.
    """

    def __init__(
        self, plan: Plan, targets: Mapping[str, NDArray[np.float32]] | None = None, device: str = "cpu"
    ) -> None:
        self.plan = plan
        self.device = device
        basis = load_basis(plan.basis)
        if basis.sha256 != plan.basis_sha256:
            raise CorruptData(
                f"basis {plan.basis}: sha256 {basis.sha256}, the run has {plan.basis_sha256}; "
                "use the datamask version that the run was started with"
            )
        for name, sha256 in plan.models.items():
            found = catalog.model_info(name, sha256).sha256
            if found != sha256:
                raise BadInput(f"model {name}: this worker has sha256 {found}, the run has {sha256}")
        self.decoder = Decoder(basis, device)
        self.renderer = TorchRenderer(self.decoder.triangles, self.decoder.vertex_faces, device)
        self._lanes = Lanes(device)
        measures = plan.measures
        self._detectors = {
            m.model: catalog.detector(m.model, device, plan.models[m.model])
            for m in measures
            if m.kind == "detect"
        }
        self._recognizers = {
            m.model: catalog.recognizer(m.model, device, plan.models[m.model])
            for m in measures
            if m.kind != "detect"
        }
        self._points = Landmarks(self.decoder, tuple(self._recognizers.values()))
        by_dlib = any(r.points == align.POINT_NAMES for r in self._recognizers.values())
        self._predictor = LandmarkPredictor(device) if by_dlib and _ALIGNING in self._detectors else None
        self._thresholds = {n: catalog.model_info(n, plan.models[n]).threshold for n in self._detectors}
        self._targets = {
            m.target: self._recognizers[m.model].center(
                torch.from_numpy(np.array(_target(targets, m.target))).to(device)
            )
            for m in measures
            if m.target is not None
        }

    def score(self, batch: Batch) -> Scores:
        """Scores of all genomes of a batch under all its views."""
        finite: NDArray[np.bool_] = np.asarray(np.isfinite(batch.genomes).all(axis=1))
        genomes = np.where(finite[:, None], batch.genomes, 0.0).astype(np.float32)
        views = sample_views(self.plan.ranges, batch.view_count, batch.view_seed)
        masks = max(1, MICRO_IMAGES // batch.view_count)
        chunks = [_filled(genomes[k : k + masks], masks) for k in range(0, len(genomes), masks)]
        passes = self._lanes.map(lambda chunk: self._pass(chunk, views), chunks)
        return self._lanes.map(lambda _: self._gather(passes, finite, batch.view_count), [None])[0]

    @torch.inference_mode()
    def _pass(self, genomes: NDArray[np.float32], views: Views) -> _Pass:
        vertices = self.decoder.decode(torch.from_numpy(genomes).to(self.device))
        rendered = self.renderer.render(vertices, views, self._points.vertices)
        m, v = rendered.images.shape[:2]
        images = rendered.images.flatten(0, 1)
        regions = rendered.box_px.flatten(0, 1)
        found = {name: detector.score(images, regions) for name, detector in self._detectors.items()}
        detections = {name: detection.score.view(m, v) for name, detection in found.items()}
        own = rendered.points_px.flatten(0, 1)
        seen = self._seen_points(images, found)
        embeddings = {}
        for name, machine in self._recognizers.items():
            points = self._points.of(machine, own)
            for there, instead in seen.get(machine.points, ()):
                points = torch.where(there[:, None, None], instead, points)
            embeddings[name] = machine.embed(images, points).view(m, v, -1)
        return _Pass(detections, embeddings, rendered.coverage, flipped_share(vertices, self.decoder))

    def _seen_points(
        self, images: torch.Tensor, found: Mapping[str, Detections]
    ) -> dict[tuple[str, ...], list[tuple[torch.Tensor, torch.Tensor]]]:
        """By names of landmarks: where detectors see a face, bool (n,), and its points there, (n, k, 2)."""
        seen: dict[tuple[str, ...], list[tuple[torch.Tensor, torch.Tensor]]] = {}
        for name, face in found.items():
            there = face.score > self._thresholds[name]
            if name == _ALIGNING and self._predictor is not None:
                points = self._predictor.find(images, face.box_px)
                seen.setdefault(align.POINT_NAMES, []).append((there, points))
            if face.points_px is not None:
                seen.setdefault(template.POINT_NAMES, []).append((there, face.points_px))
        return seen

    @torch.inference_mode()
    def _gather(self, passes: Sequence[_Pass], finite: NDArray[np.bool_], v: int) -> Scores:
        n = len(finite)
        raw = np.zeros((len(self.plan.measures), n, v), np.float32)
        between = torch.full((n,), torch.nan)
        for k, measure in enumerate(self.plan.measures):
            if measure.kind == "detect":
                values = torch.cat([p.detections[measure.model] for p in passes])[:n]
            else:
                machine = self._recognizers[measure.model]
                embeddings = torch.cat([p.embeddings[measure.model] for p in passes])[:n]
                if measure.target is not None:
                    values = machine.compare(embeddings, self._targets[measure.target])
                else:
                    usable = torch.from_numpy(finite).to(self.device)
                    values, between = self_distances(machine.unlikeness(embeddings.flatten(0, 1)), v, usable)
            raw[k] = values.cpu().numpy()
        coverage = torch.cat([p.coverage for p in passes])[:n].cpu().numpy()
        flipped = torch.cat([p.flipped for p in passes])[:n].cpu().numpy()
        status = np.where(finite, np.where((coverage > 0).all(axis=1), OK, INVISIBLE), NOT_FINITE)
        return Scores(raw, between.cpu().numpy(), status.astype(np.uint8), flipped, coverage)


def _filled(genomes: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """``count`` genomes: every pass has one size, so that every pass rounds alike."""
    filled = np.zeros((count, genomes.shape[1]), np.float32)
    filled[: len(genomes)] = genomes
    return filled


def _target(targets: Mapping[str, NDArray[np.float32]] | None, key: str) -> NDArray[np.float32]:
    if targets is None or key not in targets:
        raise CorruptData(f"targets/{key}.npz: the reference embeddings are missing from the run")
    return targets[key]


def self_distances(
    unlikeness: torch.Tensor, views: int, usable: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """How far a mask's views lie apart, and how far from the other masks.

    :param unlikeness: float32 (n * v, n * v), how far apart each two pictures of n masks in v views are.
        usable: bool (n,), masks that count as "other masks".
    :returns: within float32 (n, v), the largest distance from each view to another view of its mask; and
        between float32 (n,), the median over the other masks of the largest distance between their views and
        this mask's (nan where there is no other mask).
    """
    n = len(usable)
    distance = unlikeness.view(n, views, n, views)
    own = torch.arange(n, device=unlikeness.device)
    within = distance[own, :, own].amax(dim=2)
    across = distance.amax(dim=(1, 3))
    across[own, own] = torch.nan
    across[:, ~usable] = torch.nan
    return within, across.nanmedian(dim=1).values
