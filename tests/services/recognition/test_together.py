from __future__ import annotations

import pytest
import torch

from services.recognition.dlib.hog import HogDetector
from services.recognition.together import SIZE_PX, together


@pytest.mark.parametrize(
    ("side", "expected"), [(96, 64), (SIZE_PX, 64), (2 * SIZE_PX, 16), (640, 4), (5000, 1)]
)
def test_large_pictures_are_fewer_together(side: int, expected: int) -> None:
    assert together(torch.device("cuda"), 5, 64, side, side) == expected
    assert together(torch.device("cpu"), 5, 64, side, side) == 5


def test_a_cpu_s_lanes_do_not_depend_on_the_size() -> None:
    assert {HogDetector("cpu").lanes(side, side) for side in (96, 160, 640)} == {24}
    assert HogDetector("cpu", 7).lanes(640, 640) == 7
