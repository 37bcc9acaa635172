"""The inner loop: genomes in, raw scores out, everything between as batched tensors on one device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from services.errors import CorruptData
from services.recognition.align import POINT_NAMES, chips
from services.recognition.catalog import model_info
from services.recognition.detect import Detections, Detector
from services.recognition.hog import HogDetector
from services.recognition.landmarks import LandmarkPredictor
from services.recognition.mmod import MmodDetector
from services.recognition.resnet import DlibResNet
from services.rendering.torch_renderer import TorchRenderer
from services.rendering.views import Views, sample_views
from services.shape.basis import load_basis
from services.shape.decode import Decoder
from services.shape.measure import flipped_share
from worker.lanes import Lanes
from worker.pin import Refused
from worker.plan import INVISIBLE, NOT_FINITE, OK, Batch, Plan, Scores

# Images that go through renderer and networks at a time, in each lane. It bounds memory and belongs to a
# run's fingerprint: networks may round differently for other batch sizes.
MICRO_IMAGES = 24

DETECTORS: Mapping[str, Callable[[str], Detector]] = {"dlib-hog": HogDetector, "dlib-mmod": MmodDetector}

# Where this detector sees the mask, its box and dlib's landmarks straighten the face for the recognizer, just
# as dlib does; elsewhere, and in runs without it, the mask's own landmarks do.
ALIGNING = "dlib-hog"


@dataclass(frozen=True)
class _Pass:
    """What one micro-batch of m masks measured: scores (m, v) and embeddings (m, v, 128) by model."""

    detections: dict[str, torch.Tensor]
    embeddings: dict[str, torch.Tensor]
    coverage: torch.Tensor
    flipped: torch.Tensor


class Scorer:
    """Scores batches of one plan. Loads basis and networks once.

    :param targets: reference embeddings float32 (photos, 128) by target key, for identity measures.
    :raises Refused: if basis or models here are not those that the plan names; :raises CorruptData: if a
        weights file is damaged.
    """

    def __init__(
        self, plan: Plan, targets: Mapping[str, NDArray[np.float32]] | None = None, device: str = "cpu"
    ) -> None:
        self.plan = plan
        self.device = device
        basis = load_basis(plan.basis)
        if basis.sha256 != plan.basis_sha256:
            raise Refused(
                f"basis {plan.basis}: this worker has sha256 {basis.sha256}, the run has "
                f"{plan.basis_sha256}; use the datamask version that the run was started with"
            )
        for name, sha256 in plan.models.items():
            if model_info(name).sha256 != sha256:
                raise Refused(
                    f"model {name}: this worker has sha256 {model_info(name).sha256}, the run has {sha256}; "
                    "use the datamask version that the run was started with"
                )
        self.decoder = Decoder(basis, device)
        self.renderer = TorchRenderer(self.decoder.triangles, self.decoder.vertex_faces, device)
        self._lanes = Lanes(device)
        self._latest: tuple[tuple[int, int], Views] | None = None
        self._landmarks = self.decoder.landmark_indices(POINT_NAMES)
        measures = plan.measures
        self._detectors = {m.model: DETECTORS[m.model](device) for m in measures if m.kind == "detect"}
        self._recognizers = {m.model: DlibResNet(device) for m in measures if m.kind != "detect"}
        aligned = bool(self._recognizers) and ALIGNING in self._detectors
        self._predictor = LandmarkPredictor(device) if aligned else None
        self._targets = {
            m.target: torch.from_numpy(np.array(_target(targets, m.target))).to(device).mean(0)
            for m in measures
            if m.target is not None
        }

    def score(self, batch: Batch) -> Scores:
        """Scores of all genomes of a batch under all its views."""
        finite: NDArray[np.bool_] = np.asarray(np.isfinite(batch.genomes).all(axis=1))
        genomes = np.where(finite[:, None], batch.genomes, 0.0).astype(np.float32)
        views = self._views(batch.view_count, batch.view_seed)
        masks = max(1, MICRO_IMAGES // batch.view_count)
        chunks = [_filled(genomes[k : k + masks], masks) for k in range(0, len(genomes), masks)]
        passes = self._lanes.map(lambda chunk: self._pass(chunk, views), chunks)
        return self._lanes.map(lambda _: self._gather(passes, finite, batch.view_count), [None])[0]

    def _views(self, count: int, seed: int) -> Views:
        """A generation's batches come one after another, and all of them are seen under the same views."""
        if self._latest is None or self._latest[0] != (count, seed):
            self._latest = (count, seed), sample_views(self.plan.ranges, count, seed)
        return self._latest[1]

    @torch.inference_mode()
    def _pass(self, genomes: NDArray[np.float32], views: Views) -> _Pass:
        vertices = self.decoder.decode(torch.from_numpy(genomes).to(self.device))
        rendered = self.renderer.render(vertices, views, self._landmarks)
        m, v = rendered.images.shape[:2]
        images = rendered.images.flatten(0, 1)
        regions = rendered.box_px.flatten(0, 1)
        found = {name: detector.score(images, regions) for name, detector in self._detectors.items()}
        detections = {name: detection.score.view(m, v) for name, detection in found.items()}
        embeddings = {}
        if self._recognizers:
            points = rendered.points_px.flatten(0, 1)
            if self._predictor is not None:
                points = dlib_points(self._predictor, images, found[ALIGNING], points)
            aligned = chips(images, points)
            embeddings = {name: r.embed(aligned).view(m, v, -1) for name, r in self._recognizers.items()}
        return _Pass(detections, embeddings, rendered.coverage, flipped_share(vertices, self.decoder))

    @torch.inference_mode()
    def _gather(self, passes: Sequence[_Pass], finite: NDArray[np.bool_], v: int) -> Scores:
        n = len(finite)
        raw = np.zeros((len(self.plan.measures), n, v), np.float32)
        between = torch.full((n,), torch.nan)
        for k, measure in enumerate(self.plan.measures):
            if measure.kind == "detect":
                values = torch.cat([p.detections[measure.model] for p in passes])[:n]
            else:
                embeddings = torch.cat([p.embeddings[measure.model] for p in passes])[:n]
                if measure.target is not None:
                    values = (embeddings - self._targets[measure.target]).square().sum(-1).sqrt()
                else:
                    values, between = self_distances(embeddings, torch.from_numpy(finite).to(self.device))
            raw[k] = values.cpu().numpy()
        coverage = torch.cat([p.coverage for p in passes])[:n].cpu().numpy()
        flipped = torch.cat([p.flipped for p in passes])[:n].cpu().numpy()
        status = np.where(finite, np.where((coverage > 0).all(axis=1), OK, INVISIBLE), NOT_FINITE)
        return Scores(raw, between.cpu().numpy(), status.astype(np.uint8), flipped, coverage)


def dlib_points(
    predictor: LandmarkPredictor, images: torch.Tensor, face: Detections, own: torch.Tensor
) -> torch.Tensor:
    """dlib's landmarks (k, 5, 2) where its detector sees the mask, elsewhere the mask's ``own``."""
    seen = face.score > model_info(ALIGNING).threshold
    if images.is_cuda:  # which would have to wait to be told how many faces there are
        return torch.where(seen[:, None, None], predictor.find(images, face.box_px), own)
    index = seen.nonzero()[:, 0]
    return own.index_copy(0, index, predictor.find(images[index], face.box_px[index]))


def _filled(genomes: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """``count`` genomes: every pass has one size, so that every pass rounds alike."""
    filled = np.zeros((count, genomes.shape[1]), np.float32)
    filled[: len(genomes)] = genomes
    return filled


def _target(targets: Mapping[str, NDArray[np.float32]] | None, key: str) -> NDArray[np.float32]:
    if targets is None or key not in targets:
        raise CorruptData(f"targets/{key}.npz: the reference embeddings are missing from the run")
    return targets[key]


def self_distances(embeddings: torch.Tensor, usable: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How far a mask's views lie apart, and how far from the other masks.

    :param embeddings: float32 (n, v, d). usable: bool (n,), masks that count as "other masks".
    :returns: within float32 (n, v), the largest distance from each view to another view of its mask; and
        between float32 (n,), the median over the other masks of the largest distance between their views and
        this mask's (nan where there is no other mask).
    """
    n, v, d = embeddings.shape
    flat = embeddings.reshape(n * v, d)
    distance = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist").view(n, v, n, v)
    own = torch.arange(n, device=embeddings.device)
    within = distance[own, :, own].amax(dim=2)
    across = distance.amax(dim=(1, 3))
    across[own, own] = torch.nan
    across[:, ~usable] = torch.nan
    return within, across.nanmedian(dim=1).values
