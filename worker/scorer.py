"""The inner loop: genomes in, raw scores out, everything between as batched tensors on one device."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from services.errors import CorruptData
from services.recognition import catalog, template
from services.recognition.detect import Detections
from services.recognition.dlib import alignment
from services.recognition.kinds import KINDS
from services.recognition.margins import floor_answer
from services.recognition.model import ModelInfo
from services.recognition.recognize import Recognizer, normalized
from services.rendering.views import Views, sample_views
from services.shape.basis import load_basis
from services.shape.measure import flipped_share
from services.wire.pin import Refused
from services.wire.plan import INVISIBLE, NOT_FINITE, OK, Batch, Plan, Quantity, Scores
from worker.agreeing import Agreeing, readings_of
from worker.eye import ALIGNING, Eye, dlib_points, five_points, of_faces
from worker.lanes import Lanes
from worker.machines import Loaded, Machines
from worker.passes import masks_a_pass, pass_images, shapes_within

log = logging.getLogger(__name__)

# What half precision may move an answer by, in margins (1 is the model's scale), on random heads in views. On
# a CPU it moves dlib's recognizer by 0.013 and MMOD by 0.002.
HALF_TOLERANCE = 0.05
PROBE_HEADS, PROBE_VIEWS, PROBE_SPREAD = 8, 2, np.float32(0.4)


@dataclass(frozen=True)
class _Pass:
    """What one pass of m masks measured: scores (m, v) and embeddings (m, v, d) by model, and what
    correlation filters answered, (m, v) by target. together: scores in the place where detectors agree.
    """

    detections: dict[str, torch.Tensor]
    together: dict[str, torch.Tensor]
    embeddings: dict[str, torch.Tensor]
    correlations: dict[str, torch.Tensor]
    coverage: torch.Tensor
    flipped: torch.Tensor

    @classmethod
    def joined(cls, parts: Sequence[_Pass]) -> _Pass:
        """Several as one."""
        return cls(*(_joined([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    def rows(self, rows: slice | torch.Tensor) -> _Pass:
        """What is known of some of its masks."""
        return _Pass(*(_rows(getattr(self, f.name), rows) for f in fields(self)))

    def equals(self, other: _Pass) -> bool:
        """Whether both are the same, bit for bit."""
        return all(_equal(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))


class Scorer:
    """Scores batches of one plan. Loads basis and networks once; ``machines`` are those that it uses.

    :param targets: references by target key: embeddings float32 (photos, d), or a filter float32 (1, S, S).
    :param images: pictures that a pass has room for, see passes.py; None: as many as the device likes.
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
        used = sorted({quantity.model for quantity in plan.quantities})
        self.machines = Machines(used, plan.models, device, loaded)
        self.eye = Eye(basis, self.machines.aligned, device)
        self._agreeing = Agreeing(readings_of(plan.quantities, self.machines.infos))
        by_dlib = any(r.points == alignment.POINT_NAMES for r in self.machines.recognizers.values())
        self._predictor = (
            self.machines.predictor() if by_dlib and ALIGNING in self.machines.detectors else None
        )
        self._lanes = Lanes(device)
        self._latest: tuple[tuple[int, int], Views] | None = None
        self._targets = {
            quantity: torch.from_numpy(np.array(_target(targets, quantity.target))).to(device)
            for quantity in plan.quantities
            if quantity.target is not None
        }
        self._references = {
            quantity: references(self.machines.recognizers[quantity.model], quantity, target)
            for quantity, target in self._targets.items()
            if KINDS[quantity.kind].machine == "recognize"
        }
        if plan.half:
            self._halve()
        self.machines.release()

    def _halve(self) -> None:
        """Compute in half precision where a network can, and make sure that it says the same.

        :raises Refused: where it does not.
        """
        rng = np.random.default_rng(0)
        genes = len(self.eye.basis.gene_names)
        heads = PROBE_SPREAD * rng.standard_normal((PROBE_HEADS, genes), dtype=np.float32)
        views = sample_views(self.plan.ranges, PROBE_VIEWS, seed=0)
        full = self._pass(heads, views, probe=True)
        self.machines.halve()
        half = self._pass(heads, views, probe=True)
        for name in self.machines.halved:
            if name in self.machines.detectors:
                apart = (full.detections[name] - half.detections[name]).abs().max()
            else:
                apart = (full.embeddings[name] - half.embeddings[name]).norm(dim=-1).max()
            scale = self.machines.infos[name].scale
            if not apart <= HALF_TOLERANCE * scale:
                raise Refused(
                    f'{name}: [run] precision = "half" moves its answers by {float(apart):.3g}, and no '
                    f'more than {HALF_TOLERANCE * scale:.3g} is let pass; start a run with precision = "full"'
                )

    def score(self, batch: Batch) -> Scores:
        """Scores of all genomes of a batch under all its views."""
        return self.score_together([batch])[0]

    def score_together(self, batches: Sequence[Batch]) -> list[Scores]:
        """The scores of each batch, all of them of this plan and with one number of views.

        They go through in common passes. Each one's scores have the bytes that it is given alone.
        """
        if not self._may_share(batches):
            return [self._score([batch], alone=True)[0] for batch in batches]
        # Masks under one generation's views lie next to each other: most passes then have one set of views.
        order = sorted(range(len(batches)), key=lambda k: batches[k].view_seed)
        scores = dict(zip(order, self._score([batches[k] for k in order]), strict=True))
        return [scores[k] for k in range(len(batches))]

    def _may_share(self, batches: Sequence[Batch]) -> bool:
        """Whether passes may be of any shape and of several batches: found out before either is done."""
        one_shape = len(shapes_within(self.images)) == 1
        return (one_shape and len(batches) == 1) or self.stacks

    @cached_property
    def stacks(self) -> bool:
        """Whether this device answers the same, bit for bit, at every row of a pass of every shape, whoever
        the neighbors are; tried on random heads.
        """
        shapes = shapes_within(self.images)
        size_px = self.plan.ranges.size_px
        sizes = sorted({masks_a_pass(shape, 1, size_px, shape) for shape in shapes})
        rng = np.random.default_rng(0)
        genes = len(self.eye.basis.gene_names)
        heads = PROBE_SPREAD * rng.standard_normal((sizes[-1], genes), dtype=np.float32)
        views = sample_views(self.plan.ranges, 1, seed=0)
        tried = [some for n in sizes for some in (heads[:n], heads[:n][::-1], heads[:1].repeat(n, axis=0))]
        passes = self._lanes.map(lambda some: self._pass(some, views, probe=True), tried)
        first = passes[0].rows(slice(1))
        for n, there, back, alike in zip(sizes, passes[::3], passes[1::3], passes[2::3], strict=True):
            turned = torch.arange(n - 1, -1, -1, device=self.device)
            every = first.rows(torch.zeros(n, dtype=torch.int64, device=self.device))
            if not (there.equals(back.rows(turned)) and alike.equals(every)):
                log.warning("%s: %s of several batches give other bits; each has its own", self.device, n)
                return False
        return True

    def _score(self, batches: Sequence[Batch], *, alone: bool = False) -> list[Scores]:
        genomes = np.concatenate([batch.genomes for batch in batches]).astype(np.float32)
        finite: NDArray[np.bool_] = np.asarray(np.isfinite(genomes).all(axis=1))
        genomes = np.where(finite[:, None], genomes, np.float32(0.0))
        seeds = np.repeat([batch.view_seed for batch in batches], [len(batch.genomes) for batch in batches])
        count, size_px = batches[0].view_count, self.plan.ranges.size_px
        room = shapes_within(self.images)[0] if alone else self.images
        masks = masks_a_pass(room, count, size_px, len(genomes))
        empty = -len(genomes) % masks
        genomes = np.concatenate([genomes, np.zeros((empty, genomes.shape[1]), np.float32)])
        seeds = np.concatenate([seeds, np.repeat(seeds[-1:], empty)])
        parts = [slice(k, k + masks) for k in range(0, len(genomes), masks)]
        seen = self._lanes.map(lambda p: self._pass(genomes[p], self._views(count, seeds[p]), count), parts)
        ends = np.cumsum([len(batch.genomes) for batch in batches])
        spans = [slice(end - len(b.genomes), end) for b, end in zip(batches, ends.tolist(), strict=True)]
        whole = _Pass.joined(seen)
        return self._lanes.map(lambda span: self._gather(whole.rows(span), finite[span], count), spans)

    def _views(self, count: int, seeds: NDArray[np.int64]) -> Views:
        """The views of each of a pass's masks: ``count`` for all of them, or as many for each.

        A generation's batches come one after another, and all of them are seen under the same views.
        """
        if (seeds != seeds[0]).any():
            drawn = {seed: sample_views(self.plan.ranges, count, seed) for seed in set(seeds.tolist())}
            return Views.joined([drawn[seed] for seed in seeds.tolist()])
        seed = int(seeds[0])
        latest = self._latest  # another thread may put its own there
        if latest is None or latest[0] != (count, seed):
            latest = self._latest = (count, seed), sample_views(self.plan.ranges, count, seed)
        return latest[1]

    @torch.inference_mode()
    def _pass(
        self, genomes: NDArray[np.float32], views: Views, count: int | None = None, *, probe: bool = False
    ) -> _Pass:
        """count: of the views that each mask is seen under, where not all of them have the same. probe: have
        all machines that align faces answer about every picture, also where nobody says where a face is.
        """
        if count is None or count == len(views):
            vertices, rendered = self.eye.every(genomes, views)
        else:
            vertices, rendered = self.eye.every_own(genomes, views, count)
        m, v = rendered.images.shape[:2]
        images = rendered.images.flatten(0, 1)
        regions = rendered.box_px.flatten(0, 1)
        found = self._agreeing.look(self.machines.detectors, images, regions)
        detections = {name: detection.score.view(m, v) for name, detection in found.best.items()}
        together = {name: scores.view(m, v) for name, scores in found.together.items()}
        where = self._face_points(images, found.best, rendered.points_px.flatten(0, 1))
        if probe:
            where = {names: _somewhere(points, images.shape[1]) for names, points in where.items()}
        embeddings = {}
        for name, recognizer in self.machines.recognizers.items():
            points = where[recognizer.points]
            embeddings[name] = self._of_faces(recognizer.embed(images, points), points).view(m, v, -1)
        correlations = {}
        for quantity, target in self._targets.items():
            if KINDS[quantity.kind].machine == "correlate":
                machine = self.machines.correlators[quantity.model]
                points = where[machine.points]
                answers = self._of_faces(machine.score(images, points, target[0]), points)
                correlations[f"{quantity.target}"] = answers.view(m, v)
        flipped = flipped_share(vertices, self.eye.decoder)
        return _Pass(detections, together, embeddings, correlations, rendered.coverage, flipped)

    def _face_points(
        self, images: torch.Tensor, found: Mapping[str, Detections], own: torch.Tensor
    ) -> dict[tuple[str, ...], torch.Tensor]:
        """The landmarks (n, k, 2) that machines align by, by their names: as a detector sees the face where
        it sees one, elsewhere the mask's ``own`` (n, p, 2), or nan for a mask without sites.
        """
        where = self.eye.points_by_names(own)
        dlib = where.get(alignment.POINT_NAMES)
        if dlib is not None and self._predictor is not None:
            where[alignment.POINT_NAMES] = dlib_points(self._predictor, images, found[ALIGNING], dlib)
        for name, face in found.items():
            if template.POINT_NAMES in where:
                own, threshold = where[template.POINT_NAMES], self.machines.infos[name].threshold
                where[template.POINT_NAMES] = five_points(face, threshold, own)
        return where

    def _of_faces(self, answers: torch.Tensor, points_px: torch.Tensor) -> torch.Tensor:
        """Answers (n, ...) about faces at points (n, k, 2): nan where no detector saw where to look."""
        return answers if self.eye.sites else of_faces(answers, points_px)

    @torch.inference_mode()
    def _gather(self, seen: _Pass, finite: NDArray[np.bool_], v: int) -> Scores:
        """One batch's scores: what its masks are to each other is computed in its own shape."""
        n = len(finite)
        raw = np.zeros((len(self.plan.quantities), n, v), np.float32)
        between = torch.full((n,), torch.nan)
        residuals: dict[int, NDArray[np.float32]] = {}
        for k, quantity in enumerate(self.plan.quantities):
            kind = KINDS[quantity.kind]
            if kind.machine == "detect":
                values = (seen.together if kind.together else seen.detections)[quantity.model]
            elif kind.machine == "correlate":
                values = seen.correlations[f"{quantity.target}"]
            else:
                machine = self.machines.recognizers[quantity.model]
                embeddings = seen.embeddings[quantity.model]
                if quantity.target is not None:
                    values = self._likeness(quantity, embeddings)
                    if self.plan.residuals and len(self._references[quantity]) == 1:
                        residuals[k] = self._residuals(quantity, embeddings).cpu().numpy()
                else:
                    usable = torch.from_numpy(finite).to(self.device)
                    values, between = self_distances(machine.unlikeness(embeddings.flatten(0, 1)), v, usable)
            if kind.machine != "detect" and not self.eye.sites:
                values = floored(quantity, self.machines.infos[quantity.model], values)
            raw[k] = values.cpu().numpy()
        coverage = seen.coverage.cpu().numpy()
        flipped = seen.flipped.cpu().numpy()
        status = np.where(finite, np.where((coverage > 0).all(axis=1), OK, INVISIBLE), NOT_FINITE)
        return Scores(raw, between.cpu().numpy(), status.astype(np.uint8), flipped, coverage, residuals)

    def _likeness(self, quantity: Quantity, embeddings: torch.Tensor) -> torch.Tensor:
        """float32 (n, v): embeddings (n, v, d) against the quantity's references, in the model's measure."""
        machine = self.machines.recognizers[quantity.model]
        answers = [machine.compare(embeddings, reference) for reference in self._references[quantity]]
        return combined(quantity, self.machines.infos[quantity.model], answers)

    def _residuals(self, quantity: Quantity, embeddings: torch.Tensor) -> torch.Tensor:
        """float32 (n, d): which way embeddings (n, v, d) miss the one reference, see Scores."""
        reference = self._references[quantity][0]
        if self.machines.infos[quantity.model].measure == "similarity":
            embeddings, reference = normalized(embeddings), normalized(reference)
        missed = embeddings - reference
        return missed.mean(dim=1) if self.eye.sites else missed.nanmean(dim=1)


def _joined(parts: Sequence[Any]) -> Any:
    """Tensors one after the other; dictionaries of them, by name."""
    if isinstance(parts[0], torch.Tensor):
        return torch.cat(list(parts))
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _rows(found: Any, rows: slice | torch.Tensor) -> Any:
    """Copies: where a tensor begins in memory may move the last bits of what is made of it."""
    if isinstance(found, torch.Tensor):
        return found[rows].clone()
    return {name: tensor[rows].clone() for name, tensor in found.items()}


def _somewhere(points_px: torch.Tensor, size_px: int) -> torch.Tensor:
    """Points (n, k, 2) with the same ones, anywhere in pictures of that side, where they are nan."""
    some = np.random.default_rng(0).uniform(0.0, size_px, points_px.shape[1:]).astype(np.float32)
    return torch.where(points_px.isnan(), torch.from_numpy(some).to(points_px.device), points_px)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def combined(quantity: Quantity, info: ModelInfo, answers: Sequence[torch.Tensor]) -> torch.Tensor:
    """The best or the worst of the answers to each reference, all of one shape, as the quantity asks."""
    nearest = info.measure == "distance"
    lowest = nearest == (quantity.combine == "best")
    values = answers[0]
    for answer in answers[1:]:
        values = torch.minimum(values, answer) if lowest else torch.maximum(values, answer)
    return values


def floored(quantity: Quantity, info: ModelInfo, answers: torch.Tensor) -> torch.Tensor:
    """Answers (n, v) with those in place of nan, where no face was seen, whose margin is margins.FLOOR; and
    none that is worse: seeing a face costs nothing. As they are where a machine takes whole pictures.
    """
    if info.aligns_by is None:
        return answers
    threshold = info.threshold if quantity.threshold is None else quantity.threshold
    scale = info.scale if quantity.scale is None else quantity.scale
    measure = info.measure
    if KINDS[quantity.kind].across_views:  # compares distances, see margins.consistency_margin
        threshold, measure = (1.0 - threshold if measure == "similarity" else threshold), "distance"
    worst = floor_answer(threshold, measure, scale)
    answers = answers.nan_to_num(nan=worst)
    return answers.clamp_max(worst) if measure == "distance" else answers.clamp_min(worst)


def references(machine: Recognizer, quantity: Quantity, target: torch.Tensor) -> list[torch.Tensor]:
    """What a face is compared with, one by one."""
    if quantity.combine != "centroid":
        return list(target)
    return [machine.between(target) if KINDS[quantity.kind].images == "people" else machine.center(target)]


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
        this mask's (nan where there is no other mask). Distances that are nan are not counted; within is nan
        where there is none.
    """
    n = len(usable)
    distance = unlikeness.view(n, views, n, views)
    unknown = torch.isnan(distance)
    own = torch.arange(n, device=unlikeness.device)
    lonely = (~unknown[own, :, own]).sum(dim=2) < min(2, views)
    distance = distance.masked_fill(unknown, -torch.inf)
    within = distance[own, :, own].amax(dim=2).masked_fill(lonely, torch.nan)
    across = distance.amax(dim=(1, 3))
    across = across.masked_fill(torch.isneginf(across), torch.nan)
    across[own, own] = torch.nan
    across[:, ~usable] = torch.nan
    return within, across.nanmedian(dim=1).values
