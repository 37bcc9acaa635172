"""The z-buffer against a slow plain reference and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from services.rendering.camera import NEAR_M
from services.rendering.shading import attribute, rasterize

Floats = NDArray[np.float64]
SIZE, FOCAL = 40, 60.0


class Picture:
    """One picture of points (V, 3) in camera coordinates (x right, y down, depth), meters."""

    def __init__(self, points: Floats, triangles: object, size: int = SIZE, focal: float = FOCAL) -> None:
        self.points = np.asarray(points, dtype=np.float32).astype(np.float64)
        self.triangles = torch.tensor(np.ascontiguousarray(triangles), dtype=torch.int64)
        columns = torch.tensor(self.points, dtype=torch.float32)
        x, y, depth = (columns[:, k : k + 1].contiguous() for k in range(3))
        self.fragments = rasterize(x * focal, y * focal, depth, self.triangles, size)
        self.size = size
        visible = self.fragments.visible
        self.owner = self._map(visible.triangle.numpy(), -1)
        self.depth = self._map(1 / visible.inverse_depth.double().numpy(), np.inf)

    def interpolate(self, values: Floats) -> Floats:
        f = self.fragments
        column = torch.tensor(values, dtype=torch.float32)[:, None]
        plane = attribute(column, self.triangles, f.corners, f.special)
        value = plane.over_depth(f.visible, f.x, f.y) / f.visible.inverse_depth
        return self._map(value.numpy(), np.nan)

    def _map(self, values: NDArray[np.generic], empty: float) -> Floats:
        flat = np.full(self.size * self.size, empty, dtype=np.float64)
        flat[self.fragments.visible.pixel.numpy()] = values
        return flat.reshape(self.size, self.size)


def rays(size: int = SIZE, focal: float = FOCAL) -> Floats:
    """(S, S, 3) points at depth 1 that the pixel centers look at."""
    at = (np.arange(size) + 0.5 - size / 2) / focal
    x, y = np.meshgrid(at, at)
    return np.stack([x, y, np.ones_like(x)], axis=-1)


def reference(points: Floats, triangles: NDArray[np.int64], size: int = SIZE, focal: float = FOCAL) -> Floats:
    """Depth of each triangle at each pixel center, inf where it is missed: (T, S, S).

    Ray against triangle in float64, one at a time: no projection, no clipping, no bounding box.
    """
    seen = np.full((len(triangles), size, size), np.inf)
    for number, corners in enumerate(triangles):
        p = points[corners]
        if abs(np.linalg.det(p)) < 1e-15:
            continue
        for row, line in enumerate(rays(size, focal)):
            for column, ray in enumerate(line):
                # ray * depth = sum of weights * corners, weights summing to 1
                over_depth = np.linalg.solve(p.T, ray)
                if over_depth.min() >= 0 and 1 / over_depth.sum() >= NEAR_M:
                    seen[number, row, column] = 1 / over_depth.sum()
    return seen


def agree(picture: Picture, size: int = SIZE, focal: float = FOCAL, unsure: float = 0.01) -> None:
    """Same owner and depth as the reference, but for few centers on an edge or on two surfaces."""
    layers = reference(picture.points, picture.triangles.numpy(), size, focal)
    nearest = layers.min(axis=0)
    differs = (picture.owner >= 0) != np.isfinite(nearest)
    assert differs.mean() <= unsure
    both = (picture.owner >= 0) & np.isfinite(nearest)
    assert both.any()
    owners = picture.owner[both].astype(int)
    expected = layers.argmin(axis=0)[both]
    off = np.abs(picture.depth[both] / nearest[both] - 1)
    assert ((owners != expected) & (off > 1e-5)).mean() <= unsure
    assert (off > 1e-4).mean() <= unsure


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("extent", [0.02, 0.08, 0.5])
def test_random_triangles_of_every_size_agree_with_the_reference(seed: int, extent: float) -> None:
    generator = np.random.default_rng(seed)
    centers = generator.uniform([-0.35, -0.35, 0.8], [0.35, 0.35, 1.4], size=(25, 3))
    points = (centers[:, None] + generator.normal(size=(25, 3, 3)) * extent * 0.5).reshape(-1, 3)
    points[:, 2] = np.maximum(points[:, 2], 0.2)
    agree(Picture(points, np.arange(75).reshape(-1, 3)), unsure=0.002)


def test_slivers_agree_with_the_reference() -> None:
    generator = np.random.default_rng(5)
    ends = generator.uniform([-0.3, -0.3, 0.9], [0.3, 0.3, 1.1], size=(30, 2, 3))
    third = ends.mean(axis=1, keepdims=True) + generator.normal(size=(30, 1, 3)) * 0.004
    agree(Picture(np.concatenate([ends, third], axis=1).reshape(-1, 3), np.arange(90).reshape(-1, 3)))


def test_of_equal_depths_the_lower_triangle_index_wins() -> None:
    points = np.array([[-0.2, -0.2, 1.0], [0.2, -0.2, 1.1], [0.0, 0.25, 0.9]])
    for triangles in ([[0, 1, 2]] * 3, [[0, 1, 2], [1, 2, 0]]):
        owner = Picture(points, triangles).owner
        assert set(np.unique(owner)) == {-1, 0}
    flat = points * [1, 1, 0] + [0, 0, 1]
    assert set(np.unique(Picture(flat, [[2, 1, 0], [0, 1, 2]]).owner)) == {-1, 0}


def test_the_order_of_triangles_does_not_change_the_depth() -> None:
    generator = np.random.default_rng(1)
    points = generator.uniform([-0.3, -0.3, 0.8], [0.3, 0.3, 1.2], size=(60, 3))
    triangles = np.arange(60).reshape(-1, 3)
    assert np.array_equal(Picture(points, triangles).depth, Picture(points, triangles[::-1]).depth)


@pytest.mark.parametrize("reach", [2.0, 50.0, 5000.0])
def test_one_triangle_covers_the_picture(reach: float) -> None:
    points = np.array([[-reach, -reach, 1.0], [reach, -reach, 1.0], [0.0, reach, 1.0]])
    picture = Picture(points, [[0, 1, 2]])
    assert (picture.owner == 0).all()
    np.testing.assert_allclose(picture.depth, 1.0, rtol=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_triangles_through_the_near_plane_agree_with_the_reference(seed: int) -> None:
    generator = np.random.default_rng(seed)
    points = generator.normal(size=(18, 3)) * [0.6, 0.6, 0.8] + [0, 0, 0.3]
    agree(Picture(points, np.arange(18).reshape(-1, 3), 24, 20.0), 24, 20.0)


def test_a_floor_running_under_the_camera_does_not_smear() -> None:
    """A plane 0.1 m under the lens, from behind the camera to 3 m ahead, has a closed form."""
    points = np.array([[-9.0, 0.1, -3], [9.0, 0.1, -3], [9.0, 0.1, 3.0], [-9.0, 0.1, 3.0]])
    picture = Picture(points, [[0, 1, 2], [0, 2, 3]])
    slope = rays()[..., 1]
    expected = np.where(slope > 0, 0.1 / np.where(slope > 0, slope, 1), np.inf)
    seen = (expected < 3.0) & (expected > NEAR_M)
    assert np.array_equal(picture.owner >= 0, seen)
    np.testing.assert_allclose(picture.depth[seen], expected[seen], rtol=1e-4)


def test_what_lies_behind_the_camera_is_not_seen() -> None:
    points = np.array([[-0.2, -0.2, -1.0], [0.2, -0.2, -1.0], [0.0, 0.25, -1.0]])
    assert (Picture(points, [[0, 1, 2]]).owner == -1).all()


def test_triangles_without_area_are_not_seen() -> None:
    line = np.array([[-0.2, -0.2, 1.0], [0.0, 0.0, 1.0], [0.2, 0.2, 1.0]])
    assert (Picture(line, [[0, 1, 2], [0, 0, 0], [1, 1, 2]]).owner == -1).all()


@pytest.mark.parametrize("count", [40, 400, 4000])
def test_shared_edges_leave_no_hole(count: int) -> None:
    generator = np.random.default_rng(count)
    rim = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.3
    flat = np.concatenate([rim, generator.uniform(-0.3, 0.3, size=(count, 2))])
    triangles = Delaunay(flat).simplices
    bumps = generator.uniform(0.95, 1.05, size=(len(flat), 1))
    # Scaled by their own depth, the points keep their places in the picture whatever the bumps.
    picture = Picture(np.concatenate([flat * bumps, bumps], axis=1), triangles, 64, 100.0)
    inside = (np.abs(rays(64, 100.0)[..., :2]) < 0.299).all(axis=-1)
    assert inside.any()
    assert (picture.owner[inside] >= 0).all()


def test_centers_exactly_on_edges_and_corners_are_covered() -> None:
    at = (np.arange(9) * 4 + 0.5 - SIZE / 2) / FOCAL
    x, y = np.meshgrid(at, at)
    points = np.stack([x.ravel(), y.ravel(), np.ones(81)], axis=-1)
    cells = np.array(
        [[r * 9 + c, r * 9 + c + 1, r * 9 + c + 9, r * 9 + c + 10] for r in range(8) for c in range(8)]
    )
    picture = Picture(points, np.concatenate([cells[:, [0, 1, 2]], cells[:, [1, 3, 2]]]))
    assert (picture.owner[:33, :33] >= 0).all()
    assert (picture.owner[34:] == -1).all()


@pytest.mark.parametrize("near_corner", [0.5, -0.4])
def test_interpolation_is_perspective_correct(near_corner: float) -> None:
    """On a tilted plane each coordinate must come back as where the pixel's ray meets the plane."""
    points = np.array([[-0.5, -0.4, near_corner], [0.6, -0.5, 1.5], [0.1, 0.7, 2.5]])
    picture = Picture(points, [[0, 1, 2]])
    seen = picture.owner >= 0
    assert seen.sum() > 100
    normal = np.cross(points[1] - points[0], points[2] - points[0])
    depth = (points[0] @ normal) / (rays() @ normal)
    np.testing.assert_allclose(picture.depth[seen], depth[seen], rtol=2e-5)
    for axis in range(3):
        expected = (rays()[..., axis] * depth)[seen]
        np.testing.assert_allclose(picture.interpolate(points[:, axis])[seen], expected, atol=2e-5)
    # Affine interpolation would be off by far more than the tolerance above.
    assert np.ptp(picture.depth[seen]) > 0.5
