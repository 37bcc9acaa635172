"""Pictures of masks by two renderers, and what machines say of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.noise_proof.conditions import Condition
from bench.noise_proof.settings import FITTED, LEAST_OVERLAP, MACHINES, WITNESS
from coordinator.spec.spec import Spec
from services.errors import Unavailable
from services.recognition.detect import Detections, Detector
from services.recognition.dlib.audit import hog_boxes, mmod_boxes
from services.rendering.opengl_renderer import OpenGLRenderer
from services.rendering.views import Views
from services.shape.catalog import with_color
from services.shape.variant import is_painted
from worker.eye import Eye, Pictures
from worker.lanes import Lanes
from worker.machines import Machines
from worker.passes import parts

Float = NDArray[np.float32]
Boxes = NDArray[np.float32]

TORCH, OPENGL = "torch", "OpenGL"
TOGETHER = "together"
"""What answers are called that say whether both fitted machines see one face."""

Draw = Callable[[Float, Views], Pictures]


@dataclass(frozen=True)
class Seen:
    """n pictures of k masks. whose: int64 (n,), the row of each picture's mask."""

    pictures: Pictures
    whose: NDArray[np.int64]
    renderers: tuple[str, ...]


def look(spec: Spec, genomes: Float, condition: Condition, count: int, *key: int) -> Seen:
    """Pictures of each of the masks float32 (k, d) of a spec's basis under ``count`` views of its own.

    Where a condition asks for two renderers, OpenGL draws the second half of each mask's views; where there
    is none, or masks have colors, which it does not draw, the first one draws all.

    :param key: see :meth:`Condition.views`.
    """
    basis, usual = spec.mask.basis, spec.views.ranges()
    draws: list[tuple[str, Draw]] = [(TORCH, lambda rows, views: _eye(basis).each(rows, views))]
    if condition.albedo:
        draws = [(TORCH, _in_random_colors(spec, condition, key))]
    elif condition.two and count > 1 and not is_painted(basis) and _opengl(basis) is not None:
        draws.append((OPENGL, lambda rows, views: _by_opengl(basis, rows, views)))
    shares = [count // len(draws)] * len(draws)
    shares[0] = count - sum(shares[1:])
    seen: list[Pictures] = []
    whose: list[int] = []
    for row, genome in enumerate(genomes):
        for number, ((_, draw), share) in enumerate(zip(draws, shares, strict=True)):
            views = condition.views(usual, share, *key, row, number)
            seen.append(draw(np.repeat(genome[None], share, axis=0), views))
            whose += [row] * share
    pictures = Pictures(
        torch.cat([p.images for p in seen]),
        torch.cat([p.points_px for p in seen]),
        torch.cat([p.box_px for p in seen]),
    )
    if condition.size_px is not None and condition.size_px < usual.size_px:
        pictures = _enlarged(pictures, usual.size_px)
    return Seen(pictures, np.array(whose), tuple(name for name, _ in draws))


def glance(spec: Spec, genomes: Float, condition: Condition, *key: int) -> Pictures:
    """One picture of each of many masks float32 (k, d), each under another view."""
    views = condition.views(spec.views.ranges(), len(genomes), *key)
    return _eye(spec.mask.basis).each_in_lanes(genomes, views, _lanes())


@cache
def _eye(basis: str) -> Eye:
    return Eye(basis)


@cache
def _opengl(basis: str) -> OpenGLRenderer | None:
    """The other renderer, None where there is no OpenGL."""
    decoder, facts = _eye(basis).decoder, _eye(basis).basis.facts
    try:
        return OpenGLRenderer(decoder.triangles, len(decoder.neutral), center_m=facts.center_m)
    except Unavailable:
        return None


def _by_opengl(basis: str, rows: Float, views: Views) -> Pictures:
    """One mask, n times the same row, under n views."""
    renderer = _opengl(basis)
    if renderer is None:
        raise Unavailable("OpenGL is missing")
    vertices = _eye(basis).vertices(rows[:1])
    rendered = renderer.render(vertices, views, torch.zeros(0, dtype=torch.int64))
    return Pictures(rendered.images[0], rendered.points_px[0], rendered.box_px[0])


def _in_random_colors(spec: Spec, condition: Condition, key: Sequence[int]) -> Draw:
    """The shapes as they are, each picture's colors drawn anew."""
    basis = spec.mask.basis if is_painted(spec.mask.basis) else with_color(spec.mask.basis)
    eye = _eye(basis)
    colors = len(eye.basis.colors.names)
    shape = len(eye.basis.gene_names) - colors
    rng = np.random.default_rng(np.random.SeedSequence(condition.number, spawn_key=tuple(key)))

    def draw(rows: Float, views: Views) -> Pictures:
        drawn = np.clip(
            rng.normal(0, spec.mask.spread, (len(rows), colors)), -spec.mask.limit, spec.mask.limit
        )
        return eye.each(np.concatenate([rows[:, :shape], drawn.astype(np.float32)], axis=1), views)

    return draw


def _enlarged(pictures: Pictures, size_px: int) -> Pictures:
    """The same pictures at another side, as a browser would show them: bilinear."""
    factor = size_px / pictures.images.shape[1]
    planes = pictures.images.permute(0, 3, 1, 2).float()
    large = torch.nn.functional.interpolate(planes, (size_px, size_px), mode="bilinear", align_corners=False)
    images = large.add_(0.5).clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    return Pictures(images, pictures.points_px * factor, pictures.box_px * factor)


@cache
def machines() -> Machines:
    """Fitted machines, critics and the witness, loaded once in a process."""
    return Machines([*FITTED, *MACHINES, WITNESS.machine], {})


def ask(
    pictures: Pictures, names: Sequence[str], others: Mapping[str, Detector] | None = None
) -> dict[str, Float]:
    """Scores float32 (n,) of each machine over the mask; with both fitted ones also TOGETHER, 1 or 0 (n,).

    :param others: machines by name in place of the usual ones.
    """
    lanes = _lanes()
    found: dict[str, Float] = {}
    boxes: dict[str, Boxes] = {}
    for name in names:
        detector = (others or machines().detectors)[name]
        looks = [
            (pictures.images[part], pictures.box_px[part]) for part in parts(len(pictures.images), "cpu")
        ]
        answers = lanes.map(partial(_score, detector), looks)
        found[name] = torch.cat([a.score for a in answers]).numpy()
        boxes[name] = torch.cat([a.box_px for a in answers]).numpy()
    if set(FITTED) <= set(names):
        one, other = FITTED
        both = (found[one] > _threshold(one)) & (found[other] > _threshold(other))
        agree = overlap(boxes[one], boxes[other]) >= LEAST_OVERLAP
        found[TOGETHER] = (both & agree).astype(np.float32)
    return found


def _score(detector: Detector, look: tuple[torch.Tensor, torch.Tensor]) -> Detections:
    return detector.score(*look)


def _threshold(name: str) -> float:
    return machines().infos[name].threshold


@cache
def _lanes() -> Lanes:
    return Lanes()


def by_dlib(pictures: Pictures) -> dict[str, NDArray[np.bool_]]:
    """Whether dlib's own code sees a face over the mask, bool (n,): by HOG, by MMOD, and by both in one
    place (TOGETHER).
    """
    found = np.zeros((3, len(pictures.images)), np.bool_)
    images, regions = pictures.images.numpy(), pictures.box_px.numpy()
    for k, (image, region) in enumerate(zip(images, regions, strict=True)):
        hog = _over(np.array([box for _, box in hog_boxes(image)]).reshape(-1, 4), region)
        mmod = _over(np.array([box for _, box in mmod_boxes(image)]).reshape(-1, 4), region)
        agree = [overlap(np.broadcast_to(box, mmod.shape), mmod) >= LEAST_OVERLAP for box in hog]
        found[:, k] = len(hog) > 0, len(mmod) > 0, any(each.any() for each in agree)
    return dict(zip((*FITTED, TOGETHER), found, strict=True))


def _over(boxes: NDArray[np.float64], region: Float) -> NDArray[np.float64]:
    """The boxes (k, 4) whose center lies in a region (4,)."""
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    inside = (x >= region[0]) & (x <= region[2]) & (y >= region[1]) & (y <= region[3])
    found: NDArray[np.float64] = boxes[inside]
    return found


def overlap(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.float64]:
    """Shared area over that of both together, (n,), of boxes (n, 4): left, top, right, bottom."""
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    low, high = np.maximum(one[:, :2], other[:, :2]), np.minimum(one[:, 2:], other[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    whole = sum((box[:, 2:] - box[:, :2]).prod(axis=1) for box in (one, other)) - shared
    found: NDArray[np.float64] = np.divide(shared, whole, out=np.zeros(len(one)), where=whole > 0)
    return found
