"""The sheet of a gaze, and the picture in its middle, which hangs elsewhere without words."""

import numpy as np

from services.exhibition.gaze_sheet import gaze_sheet, middle


def test_the_middle_of_a_sheet_is_the_middle_picture_to_the_pixel():
    rng = np.random.default_rng(1)
    sides = [rng.integers(0, 256, (64, 64, 3)).astype(np.uint8) for _ in range(3)]
    ramp = np.zeros((20, 3), np.uint8)
    sheet = gaze_sheet(sides, "yunet", "i00-g0001-000", "six views", ramp, 0.5)
    assert np.array_equal(middle(sheet), sides[1])
