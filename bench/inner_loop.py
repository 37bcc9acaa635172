"""datamask's side of the benchmark: its inner loop whole, stage by stage, and its networks alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bench.stopwatch import Stopwatch
from bench.workload import Workload
from coordinator.queue.executor import AT_ONCE, fair_share, most_together
from services.recognition.dlib.alignment import POINT_NAMES, chips
from services.recognition.dlib.hog import HogDetector
from services.recognition.dlib.landmarks import LandmarkPredictor
from services.recognition.dlib.mmod import MmodDetector
from services.recognition.dlib.resnet import DlibResNet
from services.wire.plan import Scores
from worker.eye import dlib_points
from worker.lanes import Lanes
from worker.passes import masks_a_pass
from worker.scorer import Scorer

STAGES = ("decode", "render", "hog", "mmod", "align", "resnet")


@dataclass(frozen=True)
class Ready:
    """One pass ready for the networks, on the device.

    images: uint8 (n, S, S, 3). regions: float32 (n, 4). chips: uint8 (n, 150, 150, 3).
    """

    images: torch.Tensor
    regions: torch.Tensor
    chips: torch.Tensor


class InnerLoop:
    """The same decoder, renderer and networks that :class:`worker.scorer.Scorer` has, loaded once."""

    def __init__(self, workload: Workload, device: str = "cpu", images: int | None = None) -> None:
        """images: pictures that a pass has room for; None: as many as the device likes."""
        self.workload = workload
        self.device = device
        self._scorer = Scorer(workload.plan, device=device, images=images)
        self._landmarks = self._scorer.eye.decoder.landmark_indices(POINT_NAMES)
        self._hog = HogDetector(device)
        self._mmod = MmodDetector(device)
        self._predictor = LandmarkPredictor(device)
        self._resnet = DlibResNet(device)
        if workload.plan.half:
            self._mmod.halve()
            self._resnet.halve()
        self._lanes = Lanes(device)
        self._one_lane = Lanes(device, 1)

    @property
    def pieces(self) -> list[NDArray[np.float32]]:
        """The workload's genomes, pass by pass."""
        return pieces_of(self.workload, self._scorer.images)

    def score(self) -> list[Scores]:
        """The whole way, from genomes to scores, stacks side by side as the local executor has them."""
        batches = self.workload.batches
        room = self._scorer.images * (1 if self.device.startswith("cuda") else torch.get_num_threads())
        count = min(fair_share(len(batches), AT_ONCE // 2), most_together(batches[0], room))
        stacks = [batches[k : k + count] for k in range(0, len(batches), count)]
        with ThreadPoolExecutor(AT_ONCE) as threads:
            return [scores for some in threads.map(self._scorer.score_together, stacks) for scores in some]

    def networks(self, ready: list[Ready]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Only the networks' calls, on ready images and chips; HOG and MMOD scores (n,) of each piece."""
        return self._lanes.map(self._networks, ready)

    @torch.inference_mode()
    def _networks(self, piece: Ready) -> tuple[torch.Tensor, torch.Tensor]:
        hog = self._hog.score(piece.images, piece.regions).score
        mmod = self._mmod.score(piece.images, piece.regions).score
        self._resnet.embed(piece.chips)
        return hog, mmod

    def staged(self, watch: Stopwatch) -> list[Ready]:
        """The work of :meth:`score` in the same pieces, on one thread, each stage timed; what came of it."""
        return self._one_lane.map(lambda piece: self._stages(piece, watch), self.pieces)

    @torch.inference_mode()
    def _stages(self, genomes: NDArray[np.float32], watch: Stopwatch) -> Ready:
        with watch.stage("decode"):
            vertices = self._scorer.eye.decoder.decode(torch.from_numpy(genomes).to(self.device))
        with watch.stage("render"):
            rendered = self._scorer.eye.renderer.render(vertices, self.workload.views, self._landmarks)
        images, regions = rendered.images.flatten(0, 1), rendered.box_px.flatten(0, 1)
        with watch.stage("hog"):
            face = self._hog.score(images, regions)
        with watch.stage("mmod"):
            self._mmod.score(images, regions)
        with watch.stage("align"):
            own = rendered.points_px.flatten(0, 1)
            aligned = chips(images, dlib_points(self._predictor, images, face, own))
        with watch.stage("resnet"):
            self._resnet.embed(aligned)
        return Ready(images, regions, aligned)

    def vertices(self) -> NDArray[np.float32]:
        """Vertices float32 (masks, V, 3) in meters, as scored."""
        genomes = np.concatenate([batch.genomes for batch in self.workload.batches])
        decoded = self._scorer.eye.decoder.decode(torch.from_numpy(genomes).to(self.device))
        return np.asarray(decoded.cpu().numpy(), dtype=np.float32)

    @property
    def triangles(self) -> NDArray[np.int64]:
        """Corner indices int64 (T, 3)."""
        return np.asarray(self._scorer.eye.decoder.triangles.cpu().numpy())


def pieces_of(workload: Workload, images: int) -> list[NDArray[np.float32]]:
    """The workload's genomes as a scorer cuts a stack of them: float32 (m, genes), the last filled."""
    genomes = np.concatenate([batch.genomes for batch in workload.batches])
    masks = masks_a_pass(images, len(workload.views), workload.views.size_px, len(genomes))
    filled = np.zeros((-(-len(genomes) // masks) * masks, genomes.shape[1]), np.float32)
    filled[: len(genomes)] = genomes
    return [filled[k : k + masks] for k in range(0, len(filled), masks)]


def same_scores(
    whole: list[Scores], networks: list[tuple[torch.Tensor, torch.Tensor]], plan_models: list[str]
) -> bool:
    """Whether the networks alone gave the whole loop's scores, bit for bit: that both did the same work."""
    parts = {"dlib-hog": 0, "dlib-mmod": 1}
    for model, part in parts.items():
        if model not in plan_models:
            continue
        k = plan_models.index(model)
        loop = np.concatenate([scores.raw[k].reshape(-1) for scores in whole])
        alone = torch.cat([pair[part] for pair in networks]).cpu().numpy()
        if not np.array_equal(loop, alone[: len(loop)]):
            return False
    return True
