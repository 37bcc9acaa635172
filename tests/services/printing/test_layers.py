"""Steps and grain on a surface, against rays that are followed bit by bit."""

from __future__ import annotations

import numpy as np
import pytest

from services.printing.layers import grained, stepped

UP = np.array([0.0, 0.0, 1.0])
LAYER_MM = 0.2


def inside(point, normal, heights_mm, beads):
    """Whether a point (a, z), from the plane's own point, is in the plane's half space built of layers."""
    slope, up = normal
    a, z = point
    layer = np.floor((heights_mm + z) / LAYER_MM)
    middle = (layer + 0.5) * LAYER_MM - heights_mm
    edge = -up / slope * middle
    if not beads:
        return a <= edge
    r = LAYER_MM / 2
    return a <= edge - r or (a - (edge - r)) ** 2 + (z - middle) ** 2 <= r * r


def marched(normal, view, height_mm, beads, step_mm=2e-4):
    """The first place of the ray from the camera that is inside: what is there decides the normal."""
    for t in np.arange(1.5, -1.5, -step_mm):
        if inside((t * view[0], t * view[1]), normal, height_mm, beads):
            return t
    raise AssertionError("the ray misses the plane")


@pytest.mark.parametrize("beads", [False, True])
def test_what_a_camera_sees_of_steps_is_what_a_ray_meets(beads):
    rng = np.random.default_rng(3)
    slopes = rng.uniform(0.05, np.pi - 0.05, 60)  # from up to down
    turns = slopes + rng.uniform(-1.0, 1.0, 60)
    heights = rng.uniform(10.0, 20.0, 60)
    normals = np.stack([np.sin(slopes), np.zeros(60), np.cos(slopes)], axis=1)
    views = np.stack([np.sin(turns), np.zeros(60), np.cos(turns)], axis=1)
    seen = stepped(normals, views, heights, UP, LAYER_MM, beads)
    np.testing.assert_allclose(np.linalg.norm(seen, axis=1), 1.0, atol=1e-9)
    wrong = 0
    for normal, view, height, facing in zip(normals, views, heights, seen, strict=True):
        flat_normal, flat_view = (normal[0], normal[2]), (view[0], view[2])
        t = marched(flat_normal, flat_view, height, beads)
        a, z = t * flat_view[0], t * flat_view[1]
        layer = np.floor((height + z) / LAYER_MM)
        low = layer * LAYER_MM - height
        edge = -normal[2] / normal[0] * (low + LAYER_MM / 2)
        r = LAYER_MM / 2 if beads else 0.0
        if a < edge - r - 1e-3:  # on the bare face of a layer
            expected = np.array([0.0, 0.0, np.sign(normal[2])])
        elif beads:
            expected = np.array([a - (edge - r), 0.0, z - (low + r)]) / r
        else:
            expected = np.array([1.0, 0.0, 0.0])
        wrong += float(facing @ expected) < 0.98
    assert wrong <= 2  # rays that pass within a step of an edge


def test_a_level_surface_stays_as_it_is_and_an_upright_one_too():
    level, upright = np.array([[0.0, 0.0, 1.0]]), np.array([[1.0, 0.0, 0.0]])
    slant = np.array([[0.6, 0.0, 0.8]])
    heights = np.array([12.03])
    np.testing.assert_array_equal(stepped(level, slant, heights, UP, LAYER_MM), level)
    np.testing.assert_allclose(stepped(upright, slant, heights, UP, LAYER_MM), upright)


def test_from_above_a_slope_of_sharp_steps_is_all_terraces():
    """Why a mask should not be printed face up: from the front its steps throw light as a flat disk does."""
    rng = np.random.default_rng(1)
    slope = np.radians(30)
    normals = np.tile([np.sin(slope), 0.0, np.cos(slope)], (500, 1))
    seen = stepped(normals, np.tile(UP, (500, 1)), rng.uniform(5, 6, 500), UP, LAYER_MM)
    assert (seen @ UP > 0.999).mean() > 0.99


def test_grain_has_the_slope_that_was_asked_for_and_stays_on_the_solid():
    rng = np.random.default_rng(5)
    points = rng.uniform(0, 40, (4000, 3))
    normals = np.tile(UP, (4000, 1))
    seen = grained(normals, points, 0.004, 0.2)
    slope = np.hypot(seen[:, 0], seen[:, 1]) / seen[:, 2]
    assert np.sqrt((slope**2).mean()) == pytest.approx(2 * 0.004 / 0.2, rel=0.25)
    np.testing.assert_allclose(seen[:10], grained(normals[:10], points[:10], 0.004, 0.2))
    assert not np.allclose(seen, grained(normals, points + 1.0, 0.004, 0.2))
    np.testing.assert_allclose(grained(normals, points, 0.0, 0.2), normals)
