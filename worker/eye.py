"""The one place that renders masks for machines and finds the points that machines align faces by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from services.recognition import catalog, template
from services.recognition.correlate import Correlator
from services.recognition.detect import Detections, Detector
from services.recognition.dlib import alignment
from services.recognition.dlib.landmarks import LandmarkPredictor
from services.recognition.model import FIVE, ModelInfo
from services.recognition.recognize import Recognizer
from services.rendering.renderer import Rendered
from services.rendering.torch_renderer import TorchRenderer
from services.rendering.views import Views
from services.shape.basis import Basis, load_basis
from services.shape.decode import Decoder
from worker.lanes import Lanes
from worker.passes import parts

# Where this detector sees the mask, its box and dlib's landmarks straighten the face for dlib's recognizer,
# just as dlib does; elsewhere, and in runs without it, the mask's own landmarks do. A detector that finds
# landmarks itself (SCRFD) does the same for the recognizers that align by those.
ALIGNING = "dlib-hog"
ALIGNED_BY = (
    "where dlib's HOG sees the face: its box and dlib's landmark predictor; elsewhere the basis's own "
    "landmark vertices through the known camera; photographs: dlib's whole own pipeline"
)

PLACING = "yunet"
"""Which detector finds five points on masks without sites of their own, where none of a run's does."""

Float = NDArray[np.float32]
Aligned = Recognizer | Correlator


@dataclass(frozen=True)
class Pictures:
    """n pictures. images: uint8 (n, S, S, 3); points_px: float32 (n, p, 2); box_px: float32 (n, 4)."""

    images: torch.Tensor
    points_px: torch.Tensor
    box_px: torch.Tensor

    def take(self, rows: slice | torch.Tensor) -> Pictures:
        """Some of them."""
        return Pictures(self.images[rows], self.points_px[rows], self.box_px[rows])


class Eye:
    """Sees masks of one basis, from genomes to pictures and landmarks.

    A blank has no sites: its own landmarks are nan, and only a detector can say where to align its faces.

    :param machines: by whose landmarks faces are aligned; ``points``: further landmarks by name.
    """

    def __init__(
        self,
        basis: str | Basis,
        machines: Iterable[Aligned] = (),
        device: str = "cpu",
        points: Sequence[str] = (),
    ) -> None:
        self.device = device
        self.decoder = Decoder(load_basis(basis) if isinstance(basis, str) else basis, device)
        self.renderer = TorchRenderer(
            self.decoder.triangles, self.decoder.vertex_faces, device, center_m=self.basis.facts.center_m
        )
        wanted = [machine.points for machine in machines] + ([tuple(points)] if points else [])
        names = list(dict.fromkeys(name for each in wanted for name in each))
        self._columns = {each: [names.index(name) for name in each] for each in wanted}
        self.sites = bool(self.basis.landmarks)
        self.landmarks = self.decoder.landmark_indices(names if self.sites else ())  # vertices, each once

    @property
    def basis(self) -> Basis:
        """The basis of the masks."""
        return self.decoder.basis

    def vertices(self, genomes: Float) -> torch.Tensor:
        """Vertices float32 (n, V, 3) in meters of genomes float32 (n, d)."""
        return self.decoder.decode(self._weights(genomes))

    @torch.inference_mode()
    def every(self, genomes: Float, views: Views) -> tuple[torch.Tensor, Rendered]:
        """Vertices (n, V, 3) of genomes float32 (n, d), and pictures of every mask under every view."""
        weights = self._weights(genomes)
        vertices = self.decoder.decode(weights)
        return vertices, self.renderer.render(vertices, views, self.landmarks, self.decoder.colors(weights))

    @torch.inference_mode()
    def every_own(self, genomes: Float, views: Views, count: int) -> tuple[torch.Tensor, Rendered]:
        """As :meth:`every`, but mask k is seen under ``count`` views of its own, from number k * count on."""
        weights = self._weights(genomes)
        vertices, colors = self.decoder.decode(weights), self.decoder.colors(weights)
        seen = self.renderer.render_each(
            vertices.repeat_interleave(count, dim=0),
            views,
            self.landmarks,
            None if colors is None else colors.repeat_interleave(count, dim=0),
        )
        shape = len(vertices), count
        return vertices, Rendered(
            images=seen.images.view(*shape, *seen.images.shape[2:]),
            points_px=seen.points_px.reshape(*shape, *seen.points_px.shape[2:]),
            box_px=seen.box_px.reshape(*shape, 4),
            coverage=seen.coverage.reshape(shape),
            usable=self.renderer.usable(vertices),
        )

    @torch.inference_mode()
    def each(self, genomes: Float, views: Views) -> Pictures:
        """Mask k under view k, for genomes float32 (n, d) and n views."""
        weights = self._weights(genomes)
        rendered = self.renderer.render_each(
            self.decoder.decode(weights), views, self.landmarks, self.decoder.colors(weights)
        )
        return Pictures(rendered.images[:, 0], rendered.points_px[:, 0], rendered.box_px[:, 0])

    def each_in_lanes(self, genomes: Float, views: Views, lanes: Lanes) -> Pictures:
        """:meth:`each`, in parts side by side."""
        seen = lanes.map(lambda p: self.each(genomes[p], views.take(p)), parts(len(genomes), self.device))
        return Pictures(
            torch.cat([p.images for p in seen]),
            torch.cat([p.points_px for p in seen]),
            torch.cat([p.box_px for p in seen]),
        )

    @torch.inference_mode()
    def mesh(
        self,
        vertices: Float,
        triangles: NDArray[np.int64],
        mask: Float,
        views: Views,
        colors: Float | None = None,
    ) -> Pictures:
        """A mesh that no genome makes under every view; its landmarks are those of the ``mask`` (V, 3).

        :param vertices: float32 (n, 3) in meters. colors: float32 (n, 3) in 0 to 1 (sRGB); None: the one
            color that a mask without paint is seen in.
        """
        marks = np.asarray(mask[self.landmarks.cpu().numpy()], np.float32).reshape(-1, 3)
        points = torch.from_numpy(np.concatenate([vertices, marks]).astype(np.float32))[None]
        renderer = TorchRenderer(
            torch.from_numpy(np.array(triangles, np.int64)),
            vertex_count=points.shape[1],
            center_m=self.basis.facts.center_m,
        )
        tint = None
        if colors is not None:  # landmarks are no part of the mesh: any color will do
            tint = torch.from_numpy(np.concatenate([colors, np.ones_like(marks)]).astype(np.float32))[None]
        seen = renderer.render(points, views, torch.arange(len(vertices), points.shape[1]), tint)
        return Pictures(seen.images[0], seen.points_px[0], seen.box_px[0])

    def points_of(self, machine: Aligned, points_px: torch.Tensor) -> torch.Tensor:
        """One machine's own points (n, k, 2), of all points (n, p, 2); nan without sites."""
        return self._named(machine.points, points_px)

    def points_by_names(self, points_px: torch.Tensor) -> dict[tuple[str, ...], torch.Tensor]:
        """Every machine's points, by their names; nan without sites."""
        return {names: self._named(names, points_px) for names in self._columns}

    @property
    def named(self) -> tuple[tuple[str, ...], ...]:
        """The names of the points that its machines align by."""
        return tuple(self._columns)

    def _named(self, names: tuple[str, ...], points_px: torch.Tensor) -> torch.Tensor:
        if not self.sites:
            return points_px.new_full((len(points_px), len(names), 2), torch.nan)
        return points_px[:, self._columns[names]]

    def _weights(self, genomes: Float) -> torch.Tensor:
        return torch.from_numpy(np.array(genomes, np.float32)).to(self.device)


@dataclass(frozen=True)
class Finder:
    """A detector that finds five points, and the score above which it sees a face."""

    detector: Detector
    threshold: float


class Straightener:
    """Finds the points that a recognizer straightens a face by, as the search takes them: see ALIGNED_BY.

    :param finders: detectors that find five points, for masks without sites; see :func:`finders_for`.
    """

    def __init__(self, device: str = "cpu", finders: Sequence[Finder] = ()) -> None:
        self._finders = tuple(finders)
        self._detector = catalog.detector(ALIGNING, device)
        self._predictor = LandmarkPredictor(device)
        self._threshold = catalog.model_info(ALIGNING).threshold

    @torch.inference_mode()
    def find(self, names: tuple[str, ...], pictures: Pictures) -> tuple[torch.Tensor, torch.Tensor]:
        """Points (n, k, 2) named ``names``, and whether the detector sees a face: bool (n,). Points are nan
        where no detector sees a face that has no sites.

        :param pictures: with the masks' own points of those names.
        """
        face = self._detector.score(pictures.images, pictures.box_px)
        points = pictures.points_px
        if names == alignment.POINT_NAMES:
            points = dlib_points(self._predictor, pictures.images, face, points)
        elif self._finders:
            for finder in self._finders:
                there = finder.detector.score(pictures.images, pictures.box_px)
                points = five_points(there, finder.threshold, points)
        return points, face.score > self._threshold


def dlib_points(
    predictor: LandmarkPredictor, images: torch.Tensor, face: Detections, own: torch.Tensor
) -> torch.Tensor:
    """dlib's landmarks (k, 5, 2) where its detector sees the mask, elsewhere the mask's ``own``."""
    seen = face.score > catalog.model_info(ALIGNING).threshold
    if images.is_cuda:  # which would have to wait to be told how many faces there are
        return torch.where(seen[:, None, None], predictor.find(images, face.box_px), own)
    index = seen.nonzero()[:, 0]
    return own.index_copy(0, index, predictor.find(images[index], face.box_px[index]))


def five_points(face: Detections, threshold: float, own: torch.Tensor) -> torch.Tensor:
    """A detector's own landmarks template.POINT_NAMES (n, 5, 2), if it finds any, where it sees the mask,
    elsewhere the mask's ``own``.
    """
    if face.points_px is None:
        return own
    return torch.where((face.score > threshold)[:, None, None], face.points_px, own)


def of_faces(answers: torch.Tensor, points_px: torch.Tensor) -> torch.Tensor:
    """Answers (n, ...) about the faces at points (n, k, 2), nan where those are."""
    nowhere = ~torch.isfinite(points_px).flatten(1).all(dim=1)
    return answers.masked_fill(nowhere.view(-1, *(1,) * (answers.ndim - 1)), torch.nan)


def finders_for(eye: Eye, detectors: Mapping[str, Detector], infos: Mapping[str, ModelInfo]) -> list[Finder]:
    """Those of some detectors that find five points, or PLACING, for an eye without sites; else none."""
    if eye.sites or template.POINT_NAMES not in eye.named:
        return []
    found = [Finder(d, infos[n].threshold) for n, d in detectors.items() if infos[n].finds == FIVE]
    usual = catalog.model_info(PLACING)
    return found or [Finder(catalog.detector(PLACING, eye.device), usual.threshold)]
