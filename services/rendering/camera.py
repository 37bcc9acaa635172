"""The camera that every renderer shares: poses, pinhole projection, light directions.

The camera stands on the +Z axis of the *camera frame* (+X right of the image, +Y up, +Z toward the camera)
and looks at its origin. A mask is turned about its basis's center (services/shape/facts.py) and that point is
put on the origin; the camera is ``distance_m`` away, so that a point's depth is ``distance_m - z``. Pixel
centers are at .5, y runs down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.rendering.views import Float32s, Views

Point = tuple[float, float, float]
CENTER_M: Point = (0.0, -0.025, -0.03)  # of the head: what is meant where nobody says whose masks these are
NEAR_M = 0.02


@dataclass(frozen=True)
class Cameras:
    """Poses of ``n`` views: ``rotation`` ``(n, 3, 3)``, ``distance_m`` ``(n,)``, ``focal_px`` ``(n,)``,
    float32.
    """

    rotation: Float32s
    distance_m: Float32s
    focal_px: Float32s
    size_px: int


def cameras(views: Views) -> Cameras:
    """Camera poses of the views. The focal length follows from the field: S * distance / field."""
    focal = views.size_px * views.distance_m.astype(np.float64) / (views.field_mm.astype(np.float64) * 1e-3)
    return Cameras(
        rotation=rotations(views.yaw_deg, views.pitch_deg, views.roll_deg),
        distance_m=views.distance_m,
        focal_px=focal.astype(np.float32),
        size_px=views.size_px,
    )


def rotations(yaw_deg: Float32s, pitch_deg: Float32s, roll_deg: Float32s) -> Float32s:
    """``(n, 3, 3)`` matrices R = Rz(roll) Ry(yaw) Rx(pitch): a nod, a turn of the neck, a tilt in the image.

    The face's own +Z ends at (sin yaw cos pitch, sin pitch, cos yaw cos pitch) when roll is 0.
    """
    yaw, pitch, roll = (np.radians(np.asarray(a, dtype=np.float64)) for a in (yaw_deg, pitch_deg, roll_deg))
    zero, one = np.zeros_like(yaw), np.ones_like(yaw)
    turn = _matrices([np.cos(yaw), zero, np.sin(yaw), zero, one, zero, -np.sin(yaw), zero, np.cos(yaw)])
    nod = _matrices(
        [one, zero, zero, zero, np.cos(pitch), np.sin(pitch), zero, -np.sin(pitch), np.cos(pitch)]
    )
    tilt = _matrices([np.cos(roll), -np.sin(roll), zero, np.sin(roll), np.cos(roll), zero, zero, zero, one])
    product: Float32s = (tilt @ turn @ nod).astype(np.float32)
    return product


def light_directions(views: Views) -> Float32s:
    """``(n, 3)`` unit vectors toward the light, in the camera frame."""
    yaw, pitch = (np.radians(a.astype(np.float64)) for a in (views.light_yaw_deg, views.light_pitch_deg))
    toward = np.stack([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)], axis=-1)
    return toward.astype(np.float32)


def project(
    points: NDArray[np.floating], cams: Cameras, center_m: Point = CENTER_M
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Project points ``(p, 3)`` in meters under every camera: pixels ``(n, p, 2)`` and depths in meters ``(n,
    p)``.

    The plain float64 formula, for tests and for drawing; the torch renderer does the same in float32.
    """
    turned = np.einsum("nij,pj->npi", cams.rotation.astype(np.float64), points.astype(np.float64) - center_m)
    depth = cams.distance_m[:, None].astype(np.float64) - turned[..., 2]
    scale = cams.focal_px[:, None] / depth
    x = turned[..., 0] * scale + cams.size_px / 2
    y = -turned[..., 1] * scale + cams.size_px / 2
    return np.stack([x, y], axis=-1), depth


def least_field_mm(points: NDArray[np.floating], turned: Float32s, distance_m: float) -> float:
    """The narrowest picture, in mm at the origin, that shows all points in every pose.

    :param points: (p, 3) in meters from the point that the camera looks at. turned: rotations (n, 3, 3).
    """
    place = np.einsum("nij,pj->npi", np.asarray(turned, np.float64), np.asarray(points, np.float64))
    sides = np.abs(place[..., :2]).max(axis=-1)
    return 2e3 * float((sides * distance_m / (distance_m - place[..., 2])).max())


def _matrices(rows: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.stack(rows, axis=-1).reshape(-1, 3, 3)
