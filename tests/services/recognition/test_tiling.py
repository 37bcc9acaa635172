from __future__ import annotations

import numpy as np
import pytest

from services.recognition.dlib import tiling


def test_levels_shrink_by_five_sixths_and_lie_apart() -> None:
    canvas = tiling.layout(160, 160)
    assert [tile.height for tile in canvas.tiles[:6]] == [160, 133, 110, 91, 75, 62]
    taken = np.zeros((canvas.height, canvas.width), dtype=int)
    for tile in canvas.tiles:
        taken[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width] += 1
    assert taken.max() == 1
    assert taken.sum() == sum(tile.height * tile.width for tile in canvas.tiles)


@pytest.mark.parametrize(("height", "width"), [(160, 160), (300, 90), (60, 240), (5, 5)])
def test_tiles_stay_inside_the_border(height: int, width: int) -> None:
    canvas = tiling.layout(height, width)
    border = tiling.BORDER_PX
    for tile in canvas.tiles:
        assert tile.top >= border
        assert tile.left >= border
        assert tile.top + tile.height <= canvas.height - border
        assert tile.left + tile.width <= canvas.width - border


def test_windows_on_the_first_level_lie_where_they_are() -> None:
    canvas = tiling.layout(160, 160)
    found = tiling.windows(canvas, 76, 20, 8, 14, (80, 80))
    cell = 5 * 20 + 7
    # cell (5, 7) is centered on canvas pixel (54, 70); the image starts at pixel 11
    np.testing.assert_allclose(found.centers_px[cell], [70 - 11 + 0.5, 54 - 11 + 0.5])
    np.testing.assert_allclose(found.boxes_px[cell], [19.5, 3.5, 99.5, 83.5])
    assert found.levels[cell] == 0


def test_windows_grow_by_six_fifths_a_level() -> None:
    canvas = tiling.layout(160, 160)
    found = tiling.windows(canvas, 76, 20, 8, 14, (80, 80))
    width = found.boxes_px[:, 2] - found.boxes_px[:, 0]
    for level in range(len(canvas.tiles)):
        np.testing.assert_allclose(width[found.levels == level], 79 * 1.2**level + 1, rtol=1e-5)
