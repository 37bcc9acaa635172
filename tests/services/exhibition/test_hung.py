"""A mask on a wall under one hard lamp: where its shadow falls, what is white, what has colors of its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from services.exhibition.hung import _Hung, hung
from services.exhibition.press import plate
from services.exhibition.studio import Pose, Studio
from services.rendering.rig import MATERIALS
from services.shape.basis import load_basis

BASIS = load_basis("makehuman-mask-1")
NYLON = MATERIALS["nylon"]


@pytest.fixture(scope="module")
def neutral():
    return Studio(BASIS.triangles, directions=48, shadow_px=48).light(np.array(BASIS.neutral))


@pytest.fixture(scope="module")
def picture(neutral):
    return hung(neutral, Pose(), (120, 160), 260.0, NYLON)


def test_the_lamp_stands_to_the_upper_left_and_the_shadow_falls_to_the_lower_right(picture):
    gray = picture.astype(float).mean(axis=2)
    assert picture.shape == (160, 120, 3)
    assert picture.dtype == np.uint8
    corners = [gray[:12, :12], gray[:12, -12:], gray[-12:, :12]]
    wall = min(corner.mean() for corner in corners)
    darkest = np.argwhere(gray < 0.5 * wall)
    assert len(darkest) > 150
    middle = darkest.mean(axis=0)
    assert middle[0] > 80
    assert middle[1] > 60
    assert gray[70:85, 50:60].mean() > 1.4 * wall  # white nylon before a gray wall


def test_shadows_are_whole_inside_and_gone_outside(neutral):
    made = _Hung(neutral, Pose(), NYLON)
    behind = made.foot - 0.001 * made.normal
    lit = made._lit(
        torch.stack([behind, behind + torch.tensor([-0.3, 0.3, 0.0]), torch.tensor([0.0, 0.0, 0.5])])
    )
    assert lit.tolist() == [0.0, 1.0, 1.0]


def test_a_shadow_is_sharp_where_it_begins_and_softer_further_away():
    # A square plate parallel to the wall, near to it and far from it.
    side = np.array([[-0.05, -0.05, 0], [0.05, -0.05, 0], [0.05, 0.05, 0], [-0.05, 0.05, 0]], np.float32)
    studio = Studio(np.array([[0, 1, 2], [0, 2, 3]], np.int32), (0.0, 0.0, 0.0), directions=8, shadow_px=16)
    soft = []
    for off in (0.006, 0.12):
        made = _Hung(studio.light(side), Pose(), NYLON)
        drop = off / float(made.toward[2])
        line = torch.zeros(400, 3)
        line[:, 0] = torch.linspace(-0.02, 0.03, 400) + 0.05 - drop * made.toward[0]
        line[:, 1] = -drop * made.toward[1]
        line[:, 2] = -off
        lit = made._lit(line)
        soft.append(int(((lit > 0.05) & (lit < 0.95)).sum()))
        assert lit[0] == 0
        assert lit[-1] == 1
    assert soft[1] > 3 * soft[0] > 0


def test_bytes_are_the_same_again_and_parts_of_a_page_fit(neutral, picture, monkeypatch):
    np.testing.assert_array_equal(hung(neutral, Pose(), (120, 160), 260.0, NYLON), picture)
    monkeypatch.setattr("services.exhibition.hung._BAND", 33)
    np.testing.assert_array_equal(hung(neutral, Pose(), (120, 160), 260.0, NYLON), picture)


def test_colors_and_a_mirror_hang_there_too(neutral, picture):
    red = np.zeros(BASIS.neutral.shape, np.uint8)
    red[:, 0] = 220
    painted = hung(neutral.painted(red), Pose(), (120, 160), 260.0, MATERIALS["color"]).astype(int)
    assert painted[75, 60, 0] > painted[75, 60, 1] + 60
    mirror = hung(neutral, Pose(), (120, 160), 260.0, MATERIALS["mirror"]).astype(int)
    assert np.abs(mirror - picture.astype(int))[60:100, 40:80].mean() > 15
    np.testing.assert_array_equal(mirror[:10], picture[:10])  # one wall


def test_a_plate_is_to_one_scale_and_has_the_pixels_of_its_size(neutral):
    page = plate(neutral, dpi=20)
    assert page.shape == (205, 142, 3)
