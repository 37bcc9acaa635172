"""Map what a machine looks at onto a run's masks: ``masks/<id>/gaze-<model>.png``, ``.glb``, ``.json``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from services.errors import BadInput, CorruptData
from services.exhibition.gaze_sheet import gaze_sheet
from services.exhibition.palette import png
from services.progress import Progress
from services.recognition import attribution, catalog
from services.recognition.dlib.alignment import chips
from services.recognition.dlib.mmod import MmodDetector
from services.recognition.dlib.resnet import DlibResNet
from services.recognition.model import ModelInfo
from services.recognition.statistics.calibration import file_name
from services.rendering.camera import cameras, least_field_mm
from services.rendering.torch_renderer import backgrounds
from services.rendering.views import Views, frontal_view, sample_views
from services.shape.basis import Basis, load_basis
from services.shape.character import mirror_map
from services.shape.export import notes_of, write_glb
from services.srgb import linear_to_srgb
from services.storage.store import Store
from worker.examination.verify import Claim
from worker.eye import Eye, Pictures, Straightener, finders_for

FORMAT = 1
OCCLUSION, GRADIENT = "occlusion", "gradient"
WITH_GRADIENT = ("dlib-resnet", "dlib-mmod")  # torch networks whose way back to the picture is written here
RANDOM_TRIES = 8  # deletions of random regions that the map is checked against

Float = NDArray[np.float32]


def look(
    run: Store,
    claim: Claim,
    model: str,
    method: str = OCCLUSION,
    views: int = 6,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Map one machine's score onto every mask of the claim, and check each map by deletion.

    A detector's score is its own. A recognizer's is how near a view comes to the person (identity runs), or
    to the middle of the mask's own views. views: held-out, of each mask. The map of a mask that is its own
    mirror image is averaged with its own: light and views come from one side or the other.

    :returns: for each mask what ``gaze-<model>.json`` says: shares by region, and what the score loses when
        the top tenth of regions is covered, beside random tenths.
    :raises BadInput: for a model without a score here, or without gradients.
    """
    info = catalog.model_info(model, claim.hashes.get(model))
    if info.kind not in ("detect", "recognize"):
        raise BadInput(f"--model {model}: a {info.kind} model has no gaze; use a detector or a recognizer")
    if method == GRADIENT and model not in WITH_GRADIENT:
        raise BadInput(
            f"--method gradient: {model} has no gradients here (only {', '.join(WITH_GRADIENT)}); "
            "use --method occlusion"
        )
    basis = load_basis(claim.basis)
    gaze = _Gaze(basis, info, claim, views)
    found = []
    patches = int(gaze.regions.max()) + 1
    total = len(claim.elites) * patches
    for k, (name, genome) in enumerate(claim.elites):

        def tell(done: int, before: int = k * patches) -> None:
            if progress is not None:
                progress(f"gaze of {model}", before + done, total)

        tell(0)
        found.append(_one(run, gaze, name, genome, method, tell))
        tell(patches)
    return found


class _Gaze:
    """One machine, ready to be shown pictures of masks."""

    def __init__(self, basis: Basis, info: ModelInfo, claim: Claim, views: int) -> None:
        self.basis, self.info = basis, info
        self.views: Views = sample_views(claim.ranges, views, claim.seed)
        self.regions = attribution.surface_regions(basis.neutral, basis.triangles)
        self.background = _background(self.views)
        self.twin = _twin(basis)
        self.target = claim.targets.get(info.name)
        sha256 = claim.hashes.get(info.name)
        if info.kind == "recognize":
            self.recognizer = catalog.recognizer(info.name, sha256=sha256)
            self.eye = Eye(basis, [self.recognizer])
            self.straightener = Straightener(finders=finders_for(self.eye, {}, {}))
        else:
            self.detector = catalog.detector(info.name, sha256=sha256)
            self.eye = Eye(basis)

    def score_of(self, points: torch.Tensor, box: torch.Tensor, images: torch.Tensor) -> attribution.Score:
        """The score of pictures of the views, whatever is painted over in them."""
        if self.info.kind == "detect":
            return lambda p: self.detector.score(p, attribution.in_rounds(box, len(p))).score
        reference = self.reference(points, images)

        def likeness(pictures: torch.Tensor) -> torch.Tensor:
            answers = self.recognizer.compare(
                self.recognizer.embed(pictures, attribution.in_rounds(points, len(pictures))), reference
            )
            return -answers if self.info.measure == "distance" else answers

        return likeness

    def reference(self, points: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """The person's embedding, or the middle of the mask's own views."""
        if self.target is not None:
            return self.recognizer.center(torch.from_numpy(np.array(self.target)))
        seen = torch.isfinite(points).flatten(1).all(dim=1)
        return self.recognizer.center(self.recognizer.embed(images[seen], points[seen]))


def _twin(basis: Basis) -> NDArray[np.int64] | None:
    """The vertex (V,) on the other side of each, or None where the basis is not its own mirror image."""
    try:
        return mirror_map(basis.neutral)
    except CorruptData:
        return None


def _one(
    run: Store, gaze: _Gaze, name: str, genome: Float, method: str, tell: Callable[[int], None]
) -> dict[str, Any]:
    vertices, rendered = gaze.eye.every(genome[None], gaze.views)
    images, points, box = rendered.images[0], rendered.points_px[0], rendered.box_px[0]
    if gaze.info.kind == "recognize":  # straightened once, before anything is painted over
        own = gaze.eye.points_of(gaze.recognizer, points)
        points, _ = gaze.straightener.find(gaze.recognizer.points, Pictures(images, own, box))
        if torch.isnan(points).flatten(1).any(dim=1).all():
            raise BadInput(
                f"mask {name}: no detector sees a face in its {len(images)} views, so {gaze.info.name} has "
                "none to look at; take a mask that one sees, or more --views"
            )
    triangle_map = gaze.eye.renderer.triangle_map(vertices, gaze.views)[0]
    score = gaze.score_of(points, box, images)
    with torch.inference_mode():
        if method == OCCLUSION:
            share = attribution.occlusion(images, triangle_map, gaze.background, gaze.regions, score, tell)
        else:
            pixels = _gradient(gaze, images, points, box)
            share = attribution.on_regions(pixels, triangle_map, gaze.regions)
        checked = _checked(gaze, images, triangle_map, share, score)
    symmetry = gaze.basis.facts.symmetry
    mirrored = gaze.twin is not None and np.allclose(symmetry.mirrored(genome), genome, atol=1e-6)
    on_surface = attribution.on_vertices(share, gaze.regions, gaze.basis.triangles, vertices.shape[1])
    if mirrored and gaze.twin is not None:
        on_surface = np.asarray((on_surface + on_surface[gaze.twin]) / 2, np.float32)
    facts = {
        "format": FORMAT,
        "mask": name,
        "model": gaze.info.name,
        "method": method,
        "views": len(gaze.views),
        "mirrored": bool(mirrored),
        "reach": attribution.reach_of(on_surface),
        "score": float(score(images).mean()),
        "shares": [round(float(x), 6) for x in share],
        "deletion": checked,
    }
    _write(run, gaze, name, vertices[0].numpy(), on_surface, facts)
    return facts


def _gradient(gaze: _Gaze, images: torch.Tensor, points: torch.Tensor, box: torch.Tensor) -> torch.Tensor:
    if gaze.info.name == "dlib-mmod":
        with torch.inference_mode(False):  # tensors made in inference mode have no way back
            detector = MmodDetector()
            return attribution.gradient_times_input(
                images.clone(), gaze.background.clone(), lambda x: detector.score_float(x, box.clone())
            )
    size = images.shape[1]
    reference = gaze.reference(points, images)
    with torch.inference_mode(False):
        cut = chips(images, points).clone()
        behind = chips(gaze.background, points).clone()
        middle, network = reference.clone(), DlibResNet()
        share = attribution.gradient_times_input(
            cut, behind, lambda x: -(network.embed_float(x) - middle).square().sum(-1).sqrt()
        )
    # Where did a chip's pixel come from? Align a picture whose colors say where its pixels are.
    at = torch.arange(size, dtype=torch.int64) + 1
    compass = torch.zeros((size, size, 3), dtype=torch.uint8)
    compass[..., 0] = at[None, :].clamp(max=255).to(torch.uint8)
    compass[..., 1] = at[:, None].clamp(max=255).to(torch.uint8)
    placed = chips(compass.expand(len(images), -1, -1, -1).contiguous(), points).long() - 1
    return attribution.through_chips(share, placed[..., 0], placed[..., 1], size)


def _checked(
    gaze: _Gaze, images: torch.Tensor, triangle_map: torch.Tensor, share: Float, score: attribution.Score
) -> dict[str, Any]:
    """What the score loses without the top tenth of the regions that can be seen, and without random ones."""
    visible = np.unique(gaze.regions[triangle_map[triangle_map >= 0].numpy()])
    top = visible[attribution.top_regions(share[visible])]
    rng = np.random.default_rng(len(visible))
    tries = [rng.choice(visible, len(top), replace=False) for _ in range(RANDOM_TRIES)]

    def lost(gone: NDArray[np.int64]) -> float:
        return attribution.deletion(images, triangle_map, gaze.background, gaze.regions, gone, score)

    return {"regions": len(top), "top": lost(top), "random": [lost(gone) for gone in tries]}


def _background(views: Views) -> torch.Tensor:
    """What a view shows where there is no mask, but for noise and blur: uint8 (v, S, S, 3)."""
    linear = np.clip(backgrounds(views) * views.exposure[:, None], 0.0, 1.0)
    level = torch.from_numpy(np.rint(linear_to_srgb(linear) * 255).astype(np.uint8))
    size = views.size_px
    return level[:, :, None, None].expand(-1, -1, size, 3).contiguous()


def _write(
    run: Store, gaze: _Gaze, name: str, vertices: Float, on_surface: Float, facts: dict[str, Any]
) -> None:
    triangles, reach = gaze.basis.triangles, facts["reach"]
    colors = attribution.heat_colors(on_surface, reach)
    stem = f"masks/{name}/gaze-{file_name(gaze.info.name)}"
    run.put(f"{stem}.json", (json.dumps(facts, indent=1, allow_nan=False) + "\n").encode())
    notes = {"units": "m", "model": gaze.info.name, "colors": "gaze"}
    extras = {"mask": name, **notes_of(gaze.basis.id), **notes}
    run.put(f"{stem}.glb", write_glb(vertices, triangles, colors, name=name, extras=extras))
    views = facts["views"]
    note = f"Mean of {views} held-out {'view' if views == 1 else 'views'}, by {facts['method']}."
    note += " The mask is symmetric: left and right are averaged." if facts["mirrored"] else ""
    ramp = attribution.heat_colors(np.linspace(-1.0, 1.0, 300).astype(np.float32), 1.0)
    sheet = gaze_sheet(_sides(gaze, vertices, colors), gaze.info.name, name, note, ramp, reach)
    run.put(f"{stem}.png", png(sheet))


def _sides(
    gaze: _Gaze, vertices: Float, colors: NDArray[np.uint8], size: int = 420
) -> list[NDArray[np.uint8]]:
    """The colored mask from the left, from the front and from the right: each uint8 (size, size, 3)."""
    three = frontal_view(size).take(np.zeros(3, np.int64))
    turned = replace(
        three, yaw_deg=np.array([-40.0, 0.0, 40.0], np.float32), background=np.full(3, 0.12, np.float32)
    )
    # The whole mask, with a border left free.
    centered = vertices - np.array(gaze.basis.facts.center_m, np.float32)
    least = least_field_mm(centered, cameras(turned).rotation, float(three.distance_m[0]))
    turned = replace(turned, field_mm=np.maximum(three.field_mm, np.float32(1.08 * least)))
    points = torch.from_numpy(vertices[None].copy())
    tint = torch.from_numpy(colors[None].astype(np.float32) / 255.0)
    shown = gaze.eye.renderer.render(points, turned, gaze.eye.landmarks, tint).images[0].numpy()
    return list(shown)
