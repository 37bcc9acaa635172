"""The cascade with a grade: OpenCV's own yes, and no that is more or less near."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from skimage import data

from services.recognition import catalog
from services.recognition.classical.cascade import ViolaJones
from services.recognition.classical.graded_cascade import FLOOR


@pytest.fixture(scope="module")
def fading() -> torch.Tensor:
    """uint8 (7, 160, 160, 3): a face that sinks into gray with each picture."""
    face = data.astronaut()[20:180, 140:300].astype(float)
    shares = np.array([1.0, 0.6, 0.3, 0.15, 0.08, 0.03, 0.0])[:, None, None, None]
    noise = np.random.default_rng(0).normal(0, 6, face.shape)
    return torch.from_numpy((shares * face + (1 - shares) * 128 + noise).clip(0, 255).astype(np.uint8))


def test_above_zero_is_where_opencv_reports_a_face(fading: torch.Tensor) -> None:
    scores = catalog.detector("viola-jones").score(fading).score
    plain = [verdict.accepted for verdict in ViolaJones().detect(fading.numpy())]
    assert (scores > 0).tolist() == plain
    assert plain[0]
    assert not plain[-1]


def test_a_no_is_graded_and_an_even_picture_is_at_the_floor(fading: torch.Tensor) -> None:
    detector = catalog.detector("viola-jones")
    below = detector.score(fading).score
    below = below[below <= 0]
    assert len(below.unique()) >= 2
    assert (below > FLOOR).any()
    even = detector.score(torch.full((1, 160, 160, 3), 128, dtype=torch.uint8))
    assert even.score.tolist() == [FLOOR]
    assert not even.box_px.any()


def test_only_windows_in_the_region_count(fading: torch.Tensor) -> None:
    detector = catalog.detector("viola-jones")
    anywhere = detector.score(fading[:1])
    left, top, right, bottom = anywhere.box_px[0].tolist()
    inside = torch.tensor([[left, top, right, bottom]])
    assert torch.equal(detector.score(fading[:1], inside).score, anywhere.score)
    corner = torch.tensor([[0.0, 140.0, 20.0, 160.0]])
    assert detector.score(fading[:1], corner).score.item() < 0


def test_lanes_do_not_disturb_each_other(fading: torch.Tensor) -> None:
    detector = catalog.detector("viola-jones")
    alone = detector.score(fading).score
    with ThreadPoolExecutor(3) as lanes:
        together = list(lanes.map(lambda _: detector.score(fading).score, range(3)))
    assert all(torch.equal(scores, alone) for scores in together)
