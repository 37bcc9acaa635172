"""The pyramid's levels against dlib's own, bit for bit."""

from __future__ import annotations

import dlib
import numpy as np
import pytest
import torch

from services.recognition.dlib import pyramid

SIZES = [(160, 160), (133, 133), (97, 143), (64, 250), (81, 83), (201, 333), (6, 6), (40, 7)]


def dlib_level(image: np.ndarray) -> np.ndarray:
    return np.asarray(dlib.pyramid_down(pyramid.RATE)(image))


@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_noise_is_resampled_as_dlib_does(rows: int, columns: int) -> None:
    image = np.random.default_rng(rows * columns).integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    ours = pyramid.shrink(torch.from_numpy(image).float())
    np.testing.assert_array_equal(ours.numpy(), dlib_level(image))


def test_even_gray_gets_the_same_dark_columns_as_in_dlib() -> None:
    image = np.full((160, 160, 3), 200, dtype=np.uint8)
    level = dlib_level(image)
    assert len(np.unique(level)) == 2, "this is the effect that the exact arithmetic is for"
    np.testing.assert_array_equal(pyramid.shrink(torch.from_numpy(image).float()).numpy(), level)


def test_a_batch_behind_the_pixels_changes_nothing() -> None:
    images = np.random.default_rng(5).integers(0, 256, (4, 71, 90, 3), dtype=np.uint8)
    together = pyramid.shrink(torch.from_numpy(images).float().permute(1, 2, 3, 0))
    assert together.shape == (59, 75, 3, 4)
    for lane, image in enumerate(images):
        np.testing.assert_array_equal(together[..., lane].numpy(), dlib_level(image))


def test_points_go_up_as_in_dlib() -> None:
    ours = pyramid.points_up(np.array([[12.0, 40.0]]), 3)[0]
    theirs = dlib.pyramid_down(pyramid.RATE).point_up(dlib.dpoint(12, 40), 3)
    assert ours == pytest.approx([theirs.x, theirs.y])
