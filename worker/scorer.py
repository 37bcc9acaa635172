"""The inner loop: genomes in, raw scores out, everything between as batched tensors on one device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from services.errors import CorruptData
from services.recognition import catalog, template
from services.recognition.correlate import Correlator
from services.recognition.detect import Detections
from services.recognition.dlib import alignment
from services.recognition.dlib.landmarks import LandmarkPredictor
from services.recognition.networks.precision import Halves
from services.recognition.recognize import Recognizer, normalized
from services.rendering.torch_renderer import TorchRenderer
from services.rendering.views import Views, sample_views
from services.shape.basis import load_basis
from services.shape.decode import Decoder
from services.shape.measure import flipped_share
from services.wire.pin import Refused
from services.wire.plan import INVISIBLE, NOT_FINITE, OK, Batch, Measure, Plan, Scores
from worker.lanes import Lanes
from worker.passes import masks_a_pass, pass_images, passes_of

# What half precision may move an answer by, in margins (1 is the model's scale), on random heads in views. On
# a CPU it moves dlib's recognizer by 0.013 and MMOD by 0.002.
HALF_TOLERANCE = 0.05
PROBE_HEADS, PROBE_VIEWS, PROBE_SPREAD = 8, 2, np.float32(0.4)

Machine = TypeVar("Machine")

# Where this detector sees the mask, its box and dlib's landmarks straighten the face for dlib's recognizer,
# just as dlib does; elsewhere, and in runs without it, the mask's own landmarks do. A detector that finds
# landmarks itself (SCRFD) does the same for the recognizers that align by those.
ALIGNING = "dlib-hog"


class Loaded(NamedTuple):
    """What a loaded machine is: a model, the SHA-256 of its file, where it computes, and in 16 bits or 32."""

    name: str
    sha256: str
    device: str
    half: bool = False


@dataclass(frozen=True)
class _Pass:
    """What one pass of m masks measured: scores (m, v) and embeddings (m, v, d) by model, and what
    correlation filters answered, (m, v) by target.
    """

    detections: dict[str, torch.Tensor]
    embeddings: dict[str, torch.Tensor]
    correlations: dict[str, torch.Tensor]
    coverage: torch.Tensor
    flipped: torch.Tensor


class Landmarks:
    """The vertices that several machines align by, each once, and which of them are whose."""

    def __init__(self, decoder: Decoder, machines: Sequence[Recognizer | Correlator]) -> None:
        names = list(dict.fromkeys(name for machine in machines for name in machine.points))
        self._columns = {
            machine.points: [names.index(name) for name in machine.points] for machine in machines
        }
        self.vertices = decoder.landmark_indices(names)

    def of(self, machine: Recognizer | Correlator, points_px: torch.Tensor) -> torch.Tensor:
        """One machine's own points (n, k, 2), of all points (n, p, 2)."""
        return points_px[:, self._columns[machine.points]]

    def each(self, points_px: torch.Tensor) -> dict[tuple[str, ...], torch.Tensor]:
        """Every machine's points, by their names."""
        return {names: points_px[:, columns] for names, columns in self._columns.items()}


class Scorer:
    """Scores batches of one plan. Loads basis and networks once; ``machines`` are those that it uses.

    :param targets: references by target key: embeddings float32 (photos, d), or a filter float32 (1, S, S).
    :param images: pictures a pass, see passes.py; None: as many as the device likes.
    :param loaded: machines of other scorers, to use where the plan names the same instead of loading them.
    :raises Refused: if basis, models or the libraries that they run in are not those that the plan names.
    :raises CorruptData: if a weights file is damaged.
    """

    def __init__(
        self,
        plan: Plan,
        targets: Mapping[str, NDArray[np.float32]] | None = None,
        device: str = "cpu",
        images: int | None = None,
        loaded: Mapping[Loaded, Any] | None = None,
    ) -> None:
        self.plan = plan
        self.device = device
        self.machines: dict[Loaded, Any] = {}
        self._loaded: Mapping[Loaded, Any] = {} if loaded is None else loaded
        self.images = pass_images(device) if images is None else images
        basis = load_basis(plan.basis)
        if basis.sha256 != plan.basis_sha256:
            raise Refused(
                f"basis {plan.basis}: this worker has sha256 {basis.sha256}, the run has "
                f"{plan.basis_sha256}; use the datamask version that the run was started with"
            )
        for name, sha256 in plan.models.items():
            found = catalog.model_info(name, sha256).sha256
            if found != sha256:
                raise Refused(
                    f"model {name}: this worker has sha256 {found}, the run has {sha256}; "
                    "bring the file, or use the datamask version, that the run was started with"
                )
        here = catalog.runtimes(catalog.model_info(n, sha256) for n, sha256 in plan.models.items())
        if plan.runtimes and here != plan.runtimes:
            raise Refused(
                f"this worker has {', '.join(here.values())}, the run {', '.join(plan.runtimes.values())}: "
                "its bits would differ; install the same, or start a run with [run] exact = false"
            )
        self.decoder = Decoder(basis, device)
        self.renderer = TorchRenderer(self.decoder.triangles, self.decoder.vertex_faces, device)
        self._lanes = Lanes(device)
        self._latest: tuple[tuple[int, int], Views] | None = None
        self._load(plan)
        self._targets = {
            measure: torch.from_numpy(np.array(_target(targets, measure.target))).to(device)
            for measure in plan.measures
            if measure.target is not None
        }
        self._references = {
            measure: references(self._recognizers[measure.model], measure, target)
            for measure, target in self._targets.items()
            if measure.kind != "correlate"
        }
        if plan.half:
            self._halve()
        self._loaded = {}  # whoever has them may let go of them

    def _load(self, plan: Plan) -> None:
        kinds: dict[str, set[str]] = {}
        for measure in plan.measures:
            kinds.setdefault(measure.kind, set()).add(measure.model)
        hashes = plan.models
        detect, correlate = kinds.pop("detect", set()), kinds.pop("correlate", set())
        recognize = sorted(set[str]().union(*kinds.values()))
        self._detectors = {n: self._machine(catalog.detector, n) for n in sorted(detect)}
        self._recognizers = {n: self._machine(catalog.recognizer, n) for n in recognize}
        self._correlators = {n: self._machine(catalog.correlator, n) for n in sorted(correlate)}
        self._points = Landmarks(self.decoder, (*self._recognizers.values(), *self._correlators.values()))
        by_dlib = any(r.points == alignment.POINT_NAMES for r in self._recognizers.values())
        self._predictor = self._landmarks() if by_dlib and ALIGNING in self._detectors else None
        self._thresholds = {n: catalog.model_info(n, hashes[n]).threshold for n in self._detectors}

    def _machine(self, load: Callable[[str, str, str], Machine], name: str, half: bool = False) -> Machine:
        """A machine of the plan that is loaded already, or is now."""
        sha256 = self.plan.models[name]

        def made() -> Machine:
            machine = load(name, self.device, sha256)
            if half:
                machine.halve()  # type: ignore[attr-defined]
            return machine

        return self._once(Loaded(name, sha256, self.device, half), made)

    def _landmarks(self) -> LandmarkPredictor:
        name = LandmarkPredictor.name
        key = Loaded(name, catalog.model_info(name).sha256, self.device)
        return self._once(key, lambda: LandmarkPredictor(self.device))

    def _once(self, key: Loaded, make: Callable[[], Machine]) -> Machine:
        if key not in self.machines:
            self.machines[key] = self._loaded[key] if key in self._loaded else make()
        machine: Machine = self.machines[key]
        return machine

    def _halve(self) -> None:
        """Compute in half precision where a network can, and make sure that it says the same.

        :raises Refused: where it does not.
        """
        names = [n for n, m in (self._detectors | self._recognizers).items() if isinstance(m, Halves)]
        rng = np.random.default_rng(0)
        genes = len(self.decoder.basis.gene_names)
        heads = PROBE_SPREAD * rng.standard_normal((PROBE_HEADS, genes), dtype=np.float32)
        views = sample_views(self.plan.ranges, PROBE_VIEWS, seed=0)
        full = self._pass(heads, views)
        for name in names:
            del self.machines[Loaded(name, self.plan.models[name], self.device)]
            if name in self._detectors:
                self._detectors[name] = self._machine(catalog.detector, name, half=True)
            else:
                self._recognizers[name] = self._machine(catalog.recognizer, name, half=True)
        half = self._pass(heads, views)
        for name in names:
            if name in self._detectors:
                apart = (full.detections[name] - half.detections[name]).abs().max()
            else:
                apart = (full.embeddings[name] - half.embeddings[name]).norm(dim=-1).max()
            scale = catalog.model_info(name, self.plan.models[name]).scale
            if not apart <= HALF_TOLERANCE * scale:
                raise Refused(
                    f'{name}: [run] precision = "half" moves its answers by {float(apart):.3g}, and no '
                    f'more than {HALF_TOLERANCE * scale:.3g} is let pass; start a run with precision = "full"'
                )

    def score(self, batch: Batch) -> Scores:
        """Scores of all genomes of a batch under all its views."""
        finite: NDArray[np.bool_] = np.asarray(np.isfinite(batch.genomes).all(axis=1))
        genomes = np.where(finite[:, None], batch.genomes, 0.0).astype(np.float32)
        views = self._views(batch.view_count, batch.view_seed)
        masks = masks_a_pass(self.images, batch.view_count, self.plan.ranges.size_px, len(genomes))
        passes = self._lanes.map(lambda some: self._pass(some, views), passes_of(genomes, masks))
        return self._lanes.map(lambda _: self._gather(passes, finite, batch.view_count), [None])[0]

    def _views(self, count: int, seed: int) -> Views:
        """A generation's batches come one after another, and all of them are seen under the same views."""
        latest = self._latest  # another thread may put its own there
        if latest is None or latest[0] != (count, seed):
            latest = self._latest = (count, seed), sample_views(self.plan.ranges, count, seed)
        return latest[1]

    @torch.inference_mode()
    def _pass(self, genomes: NDArray[np.float32], views: Views) -> _Pass:
        weights = torch.from_numpy(genomes).to(self.device)
        vertices, colors = self.decoder.decode(weights), self.decoder.colors(weights)
        rendered = self.renderer.render(vertices, views, self._points.vertices, colors)
        m, v = rendered.images.shape[:2]
        images = rendered.images.flatten(0, 1)
        regions = rendered.box_px.flatten(0, 1)
        found = {name: detector.score(images, regions) for name, detector in self._detectors.items()}
        detections = {name: detection.score.view(m, v) for name, detection in found.items()}
        where = self._face_points(images, found, rendered.points_px.flatten(0, 1))
        embeddings = {
            name: machine.embed(images, where[machine.points]).view(m, v, -1)
            for name, machine in self._recognizers.items()
        }
        correlations = {}
        for measure, target in self._targets.items():
            if measure.kind == "correlate":
                machine = self._correlators[measure.model]
                answers = machine.score(images, where[machine.points], target[0])
                correlations[f"{measure.target}"] = answers.view(m, v)
        flipped = flipped_share(vertices, self.decoder)
        return _Pass(detections, embeddings, correlations, rendered.coverage, flipped)

    def _face_points(
        self, images: torch.Tensor, found: Mapping[str, Detections], own: torch.Tensor
    ) -> dict[tuple[str, ...], torch.Tensor]:
        """The landmarks (n, k, 2) that machines align by, by their names: as a detector sees the face where
        it sees one, elsewhere the mask's ``own`` (n, p, 2).
        """
        where = self._points.each(own)
        dlib = where.get(alignment.POINT_NAMES)
        if dlib is not None and self._predictor is not None:
            where[alignment.POINT_NAMES] = dlib_points(self._predictor, images, found[ALIGNING], dlib)
        for name, face in found.items():
            there = where.get(template.POINT_NAMES)
            if there is not None and face.points_px is not None:
                seen = (face.score > self._thresholds[name])[:, None, None]
                where[template.POINT_NAMES] = torch.where(seen, face.points_px, there)
        return where

    @torch.inference_mode()
    def _gather(self, passes: Sequence[_Pass], finite: NDArray[np.bool_], v: int) -> Scores:
        n = len(finite)
        raw = np.zeros((len(self.plan.measures), n, v), np.float32)
        between = torch.full((n,), torch.nan)
        residuals: dict[int, NDArray[np.float32]] = {}
        for k, measure in enumerate(self.plan.measures):
            if measure.kind == "detect":
                values = torch.cat([p.detections[measure.model] for p in passes])[:n]
            elif measure.kind == "correlate":
                values = torch.cat([p.correlations[f"{measure.target}"] for p in passes])[:n]
            else:
                machine = self._recognizers[measure.model]
                embeddings = torch.cat([p.embeddings[measure.model] for p in passes])[:n]
                if measure.target is not None:
                    values = self._likeness(measure, embeddings)
                    if self.plan.residuals and len(self._references[measure]) == 1:
                        residuals[k] = self._residuals(measure, embeddings).cpu().numpy()
                else:
                    usable = torch.from_numpy(finite).to(self.device)
                    values, between = self_distances(machine.unlikeness(embeddings.flatten(0, 1)), v, usable)
            raw[k] = values.cpu().numpy()
        coverage = torch.cat([p.coverage for p in passes])[:n].cpu().numpy()
        flipped = torch.cat([p.flipped for p in passes])[:n].cpu().numpy()
        status = np.where(finite, np.where((coverage > 0).all(axis=1), OK, INVISIBLE), NOT_FINITE)
        return Scores(raw, between.cpu().numpy(), status.astype(np.uint8), flipped, coverage, residuals)

    def _likeness(self, measure: Measure, embeddings: torch.Tensor) -> torch.Tensor:
        """float32 (n, v): embeddings (n, v, d) against the measure's references, in the model's measure."""
        machine = self._recognizers[measure.model]
        answers = [machine.compare(embeddings, reference) for reference in self._references[measure]]
        return combined(measure, self.plan.models[measure.model], answers)

    def _residuals(self, measure: Measure, embeddings: torch.Tensor) -> torch.Tensor:
        """float32 (n, d): which way embeddings (n, v, d) miss the one reference, see Scores."""
        reference = self._references[measure][0]
        if catalog.model_info(measure.model, self.plan.models[measure.model]).measure == "similarity":
            embeddings, reference = normalized(embeddings), normalized(reference)
        return (embeddings - reference).mean(dim=1)


def combined(measure: Measure, sha256: str | None, answers: Sequence[torch.Tensor]) -> torch.Tensor:
    """The best or the worst of the answers to each reference, all of one shape, as the measure says."""
    nearest = catalog.model_info(measure.model, sha256).measure == "distance"
    lowest = nearest == (measure.combine == "best")
    values = answers[0]
    for answer in answers[1:]:
        values = torch.minimum(values, answer) if lowest else torch.maximum(values, answer)
    return values


def references(machine: Recognizer, measure: Measure, target: torch.Tensor) -> list[torch.Tensor]:
    """What a face is compared with, one by one."""
    if measure.combine != "centroid":
        return list(target)
    return [machine.between(target) if measure.kind == "composite" else machine.center(target)]


def dlib_points(
    predictor: LandmarkPredictor, images: torch.Tensor, face: Detections, own: torch.Tensor
) -> torch.Tensor:
    """dlib's landmarks (k, 5, 2) where its detector sees the mask, elsewhere the mask's ``own``."""
    seen = face.score > catalog.model_info(ALIGNING).threshold
    if images.is_cuda:  # which would have to wait to be told how many faces there are
        return torch.where(seen[:, None, None], predictor.find(images, face.box_px), own)
    index = seen.nonzero()[:, 0]
    return own.index_copy(0, index, predictor.find(images[index], face.box_px[index]))


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
