"""Where machines see eyes, a nose and a mouth on a mask whose basis knows no such places.

Detectors that point at landmarks look at the mask from near the front, and dlib's predictor does where dlib's
HOG sees a face. What each points at is carried back to the surface: to the triangle that the renderer shows
at that pixel, and to the place in it. Machines agree where most of those that see a face put both eyes near
one place; only then has the mask sites.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from services.recognition import catalog, template
from services.recognition.dlib import alignment
from services.recognition.dlib.landmarks import LandmarkPredictor
from services.rendering.camera import Cameras, Point, cameras
from services.rendering.views import ViewRanges, sample_views
from worker.eye import ALIGNING, Eye

POINTING = ("yunet", "centerface", "blazeface-full")  # those that find landmarks themselves
EYES = ("left_pupil", "right_pupil")
VIEWS = 6
SEEN_SHARE = 0.5  # of the views a machine must see a face in to be asked where its eyes are
NEAR_MM = 10.0  # of the middle, at the mask's own size: a third of what lies between pupil and nose
RANGES = ViewRanges(
    yaw_deg=(-15.0, 15.0),
    pitch_deg=(-8.0, 8.0),
    roll_deg=(0.0, 0.0),
    distance_m=(1.0, 1.0),
    field_mm=(235.0, 235.0),
    light_yaw_deg=(-20.0, 20.0),
    light_pitch_deg=(20.0, 30.0),
    blur_px=(0.0, 0.0),
    noise=(0.0, 0.0),
    size_px=240,
)

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Sites:
    """What machines say of one mask.

    seen: the share of views in which each machine sees a face. apart_mm: how far each that sees one puts its
    eyes from the middle of all (the farther of the two). agreeing: those that put them near it. at: where
    these see eyes, nose and mouth, float64 (3,) in meters in the mask's frame; empty where they are too few.
    """

    seen: Mapping[str, float]
    apart_mm: Mapping[str, float]
    agreeing: tuple[str, ...]
    at: Mapping[str, Float]

    def told(self) -> dict[str, Any]:
        """As plain JSON data, for a report."""
        return {
            "words": self.words,
            "seen": dict(self.seen),
            "apart_mm": dict(self.apart_mm),
            "agreeing": list(self.agreeing),
            "at_mm": {name: [round(1e3 * float(v), 1) for v in place] for name, place in self.at.items()},
        }

    @property
    def words(self) -> str:
        """The verdict in one line."""
        if not self.apart_mm:
            return "no machine sees eyes here often enough to say where they are"
        far = f"within {max(self.apart_mm.values()):.0f} mm of their middle"
        if not self.at and len(self.apart_mm) == 1:
            return f"only {next(iter(self.apart_mm))} sees eyes here, and nobody else confirms where"
        if not self.at:
            return f"{', '.join(self.apart_mm)} do not agree where the eyes are ({far})"
        count = f"{len(self.agreeing)} of {len(self.apart_mm)} machines that see a face"
        near = max(self.apart_mm[name] for name in self.agreeing)
        return f"{count} put the eyes within {near:.0f} mm of one place: {', '.join(self.agreeing)}"


@torch.inference_mode()
def find_sites(eye: Eye, genome: NDArray[np.float32]) -> Sites:
    """Ask the machines about one mask, genome float32 (d,)."""
    views = sample_views(RANGES, VIEWS, 0)
    vertices, rendered = eye.every(genome[None], views)
    images, regions = rendered.images[0], rendered.box_px[0]
    shown = eye.renderer.triangle_map(vertices, views)[0].cpu().numpy()
    surface = _Surface(
        vertices[0].cpu().numpy().astype(np.float64),
        np.asarray(eye.basis.triangles, np.int64),
        shown,
        cameras(views),
        eye.basis.facts.center_m,
    )
    seen: dict[str, float] = {}
    places: dict[str, dict[str, Float]] = {}
    for name in (*POINTING, ALIGNING):
        face = catalog.detector(name).score(images, regions)
        there = (face.score > catalog.model_info(name).threshold).cpu().numpy()
        seen[name] = float(there.mean())
        if seen[name] < SEEN_SHARE:
            continue
        points = face.points_px
        names: tuple[str, ...] = template.POINT_NAMES
        if points is None:
            names, points = alignment.POINT_NAMES, LandmarkPredictor().find(images, face.box_px)
        own = surface.places(points.cpu().numpy(), there)
        found = {point: own[k] for k, point in enumerate(names) if np.isfinite(own[k]).all()}
        if names == alignment.POINT_NAMES:
            found = _with_pupils(found)
        if all(eye_ in found for eye_ in EYES):
            places[name] = found
    return _agreed(seen, places)


def _with_pupils(found: dict[str, Float]) -> dict[str, Float]:
    """dlib points at the corners of eyes; a pupil lies between them."""
    for side in ("left", "right"):
        corners = [found.get(f"{side}_eye_{end}") for end in ("outer", "inner")]
        if corners[0] is not None and corners[1] is not None:
            found[f"{side}_pupil"] = (corners[0] + corners[1]) / 2
    return found


def _agreed(seen: Mapping[str, float], places: Mapping[str, Mapping[str, Float]]) -> Sites:
    if not places:
        return Sites(seen, {}, (), {})
    eyes = np.stack([[found[name] for name in EYES] for found in places.values()])
    far = 1e3 * np.linalg.norm(eyes - np.median(eyes, axis=0), axis=2).max(axis=1)
    apart = {name: round(float(mm), 1) for name, mm in zip(places, far, strict=True)}
    near = tuple(name for name, mm in apart.items() if mm <= NEAR_MM)
    if len(near) < 2 or 2 * len(near) <= len(apart):
        return Sites(seen, apart, near, {})
    names = dict.fromkeys(point for name in near for point in places[name])
    at = {p: np.mean([places[n][p] for n in near if p in places[n]], axis=0) for p in names}
    return Sites(seen, apart, near, at)


@dataclass(frozen=True)
class _Surface:
    """A mask as it was seen: vertices (V, 3) in meters, triangles (T, 3), the triangle that each pixel of
    each view shows (v, S, S), -1 for none, and the cameras that look at ``center_m``.
    """

    vertices: Float
    triangles: NDArray[np.int64]
    shown: NDArray[np.int64]
    cameras: Cameras
    center_m: Point

    def places(self, points_px: NDArray[np.float32], there: NDArray[np.bool_]) -> Float:
        """Where points (v, k, 2) of the views that are ``there`` (v,) lie on the mask: their medians (k, 3);
        nan where fewer than half of them lie on it.
        """
        count = points_px.shape[1]
        carried = np.full((int(there.sum()), count, 3), np.nan)
        for row, view in enumerate(np.flatnonzero(there)):
            for k in range(count):
                carried[row, k] = self._carried(int(view), points_px[view, k].astype(np.float64))
        usual = np.full((count, 3), np.nan)
        for k in range(count):
            on = carried[np.isfinite(carried[:, k, 0]), k]
            if 2 * len(on) >= len(carried):
                usual[k] = np.median(on, axis=0)
        return usual

    def _carried(self, view: int, point_px: Float) -> Float:
        """The place (3,) on the surface that one pixel shows; nan where it shows none."""
        size, nothing = self.cameras.size_px, np.full(3, np.nan)
        column, row = (int(np.floor(v)) for v in point_px)
        if not (0 <= column < size and 0 <= row < size) or self.shown[view, row, column] < 0:
            return nothing
        turn = self.cameras.rotation[view].astype(np.float64)
        a, b, c = (self.vertices[self.triangles[self.shown[view, row, column]]] - self.center_m) @ turn.T
        focal, distance = float(self.cameras.focal_px[view]), float(self.cameras.distance_m[view])
        ray = np.array([(point_px[0] - size / 2) / focal, -(point_px[1] - size / 2) / focal, -1.0])
        normal = np.cross(b - a, c - a)
        slope = float(normal @ ray)
        if abs(slope) < 1e-12:
            return nothing
        start = np.array([0.0, 0.0, distance])
        place: Float = start + ray * float(normal @ (a - start)) / slope
        # A pixel's center lies in its triangle; the point beside it may lie just outside.
        low, high = np.stack([a, b, c]).min(axis=0), np.stack([a, b, c]).max(axis=0)
        inside: Float = np.clip(place, low, high) @ turn + np.array(self.center_m)
        return inside
