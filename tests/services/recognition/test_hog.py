"""The batched detector against dlib's own, window for window, and against itself in other company."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import dlib
import numpy as np
import pytest
import torch
from skimage import data, transform

from services.errors import BadInput
from services.recognition.dlib.hog import FLOOR, HogDetector
from services.rendering.torch_renderer import TorchRenderer
from services.rendering.views import ViewRanges, sample_views
from services.shape.basis import load_basis
from services.shape.decode import Decoder

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def detector() -> Iterator[HogDetector]:
    # One image at a time is too little for threads; beside other tests they would mostly wait for each other.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield HogDetector()
    torch.set_num_threads(threads)


@cache
def dlib_detector() -> Any:
    return dlib.get_frontal_face_detector()


def dlib_best(image: np.ndarray, above: float) -> tuple[float, list[float]]:
    """dlib's best window; a negative `above` makes dlib tell of what it does not take for a face."""
    boxes, scores, _ = dlib_detector().run(np.ascontiguousarray(image), 0, above)
    assert scores, f"dlib has no window above {above}"
    box = boxes[0]
    return scores[0], [box.left(), box.top(), box.right() + 1, box.bottom() + 1]


def assert_agrees(detector: HogDetector, images: np.ndarray) -> list[float]:
    """Scores and boxes of equally large images are dlib's; returns the scores."""
    found = detector.score(torch.from_numpy(np.ascontiguousarray(images)))
    for image, score, box in zip(images, found.score.tolist(), found.box_px.tolist(), strict=True):
        # Just below our score: were dlib's best elsewhere, it would still be higher or be missing.
        dlib_score, dlib_box = dlib_best(image, score - 0.01)
        assert score == pytest.approx(dlib_score, abs=TOLERANCE)
        assert box == dlib_box
    return found.score.tolist()


@pytest.mark.parametrize("face_px", [48, 56, 67, 80, 88, 96, 105, 116, 131])
def test_photographs_with_faces_between_the_levels(detector: HogDetector, face_px: int) -> None:
    scaled = transform.rescale(data.astronaut(), face_px / 105, channel_axis=2, anti_aliasing=True)
    photo = np.round(scaled * 255).astype(np.uint8)
    top, left = (int(at * face_px / 105) for at in (20, 140))
    (score,) = assert_agrees(detector, photo[None, top : top + 170, left : left + 160])
    # Small faces still get a grade, but not a passing one.
    assert (score > 0) == (face_px > 60)


@pytest.mark.parametrize(("rows", "columns"), [(97, 203), (211, 90), (75, 75), (76, 77), (130, 65), (33, 41)])
def test_other_sizes_and_no_faces(detector: HogDetector, rows: int, columns: int) -> None:
    photo = data.coffee()[40 : 40 + rows, 80 : 80 + columns]
    noise = np.random.default_rng(rows).integers(0, 256, photo.shape, dtype=np.uint8)
    assert max(assert_agrees(detector, np.stack((photo, noise)))) < 0


def test_even_ground_scores_as_in_dlib(detector: HogDetector) -> None:
    row, column = np.mgrid[:160, :160]
    disk = np.hypot((row - 80) / 60, (column - 75) / 45) < 1
    images = np.where(disk[None, ..., None], [[[[230, 190, 170]]], [[[40, 40, 40]]]], 200).astype(np.uint8)
    assert_agrees(detector, images)


def test_plain_gray_scores_as_in_dlib(detector: HogDetector) -> None:
    gray = torch.full((1, 76, 80, 3), 200, dtype=torch.uint8)
    score = detector.score(gray).score.item()
    assert score == pytest.approx(dlib_best(gray[0].numpy(), score - 0.01)[0], abs=TOLERANCE)


@pytest.fixture(scope="module")
def renders() -> torch.Tensor:
    """Uint8 (24, 160, 160, 3): four masks, the neutral one first, each in six views of different widths."""
    decoder = Decoder(load_basis("makehuman-mask-1"))
    genomes = torch.zeros(4, len(decoder.basis.gene_names))
    genomes[1:] = torch.from_numpy(np.random.default_rng(1).normal(0, 0.7, (3, genomes.shape[1])))
    renderer = TorchRenderer(decoder.triangles, decoder.vertex_faces)
    views = sample_views(ViewRanges(field_mm=(140.0, 300.0)), 6, seed=4)
    rendered = renderer.render(decoder.decode(genomes), views, torch.zeros(0, dtype=torch.int64))
    return rendered.images.reshape(-1, 160, 160, 3)


def test_renders(detector: HogDetector, renders: torch.Tensor) -> None:
    scores = assert_agrees(detector, renders.numpy())
    assert len(set(scores)) == len(scores)


def test_company_changes_nothing(detector: HogDetector, renders: torch.Tensor) -> None:
    together = detector.score(renders)
    for chosen in ([23], [5, 4, 3], list(range(23, -1, -1)), [7] * 17):
        again = detector.score(renders[chosen])
        assert torch.equal(again.score, together.score[chosen])
        assert torch.equal(again.box_px, together.box_px[chosen])


def test_only_windows_centered_in_the_region_count(detector: HogDetector, renders: torch.Tensor) -> None:
    images = renders[:3]
    anywhere = detector.score(images)
    center = (anywhere.box_px[:, :2] + anywhere.box_px[:, 2:]) / 2
    at_best = torch.cat((center - 1, center + 1), dim=1)
    assert torch.equal(detector.score(images, at_best).score, anywhere.score)

    corner = torch.tensor([0.0, 0.0, 30.0, 40.0]).expand(3, 4)
    aside = detector.score(images, corner)
    assert (aside.score < anywhere.score).all()
    middle = (aside.box_px[:, :2] + aside.box_px[:, 2:]) / 2
    assert (middle >= corner[:, :2]).all()
    assert (middle <= corner[:, 2:]).all()


def test_without_a_window_there_is_the_floor(detector: HogDetector, renders: torch.Tensor) -> None:
    outside = detector.score(
        renders[:2], torch.tensor([[-90.0, -90.0, -80.0, -80.0], [0.0, 0.0, 160.0, 160.0]])
    )
    assert outside.score[0] == FLOOR
    assert outside.box_px[0].tolist() == [0, 0, 0, 0]
    assert outside.score[1] > FLOOR
    tiny = detector.score(torch.zeros(2, 16, 16, 3, dtype=torch.uint8))
    assert tiny.score.tolist() == [FLOOR, FLOOR]


def test_no_images_no_scores(detector: HogDetector) -> None:
    found = detector.score(torch.zeros(0, 160, 160, 3, dtype=torch.uint8))
    assert found.score.shape == (0,)
    assert found.box_px.shape == (0, 4)


def test_wrong_arguments_are_named(detector: HogDetector, renders: torch.Tensor) -> None:
    with pytest.raises(BadInput, match=r"images are torch\.float32"):
        detector.score(renders.float())
    with pytest.raises(BadInput, match=r"regions are \(3, 4\), expected \(2, 4\)"):
        detector.score(renders[:2], torch.zeros(3, 4))
    with pytest.raises(BadInput, match="lanes is 0"):
        HogDetector(lanes=0)
