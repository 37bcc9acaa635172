from __future__ import annotations

from typing import Any

import dlib
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.transform import resize, rotate

from services.recognition import catalog
from services.recognition.dlib import alignment
from services.recognition.dlib.resnet import DlibResNet

# dlib's five parts in the order of align.POINT_NAMES.
DLIB_ORDER = (2, 3, 1, 0, 4)


@pytest.fixture(scope="module")
def predictor() -> Any:
    return dlib.shape_predictor(str(catalog.verify(catalog.model_info("dlib-landmarks-5"))))


@pytest.fixture(scope="module")
def resnet() -> DlibResNet:
    return DlibResNet("cpu")


def both_chips(
    predictor: Any, picture: NDArray[np.uint8], box: dlib.rectangle
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Ours and dlib's chip from the same landmarks."""
    shape = predictor(picture, box)
    points = (
        np.array([[shape.part(part).x, shape.part(part).y] for part in DLIB_ORDER], dtype=np.float32) + 0.5
    )
    ours = alignment.chips(torch.from_numpy(picture)[None], torch.from_numpy(points)[None])[0].numpy()
    return ours, dlib.get_face_chip(picture, shape, size=150, padding=0.25)


@pytest.mark.parametrize(
    ("side", "turn_deg", "largest_mean"),
    [(160, 0, 0.01), (160, 15, 0.01), (240, -20, 0.01), (512, 8, 0.01), (1200, 5, 0.5), (2000, 0, 0.5)],
)
def test_chips_equal_dlibs(
    predictor: Any,
    resnet: DlibResNet,
    astronaut: NDArray[np.uint8],
    side: int,
    turn_deg: float,
    largest_mean: float,
) -> None:
    """Also where dlib goes one (1200) or two (2000) levels down, whose pixels start at a cropped corner."""
    turned = rotate(astronaut[0:300, 70:370], turn_deg, center=(152, 122))
    picture = (resize(turned, (side, side), anti_aliasing=True) * 255).round().astype(np.uint8)
    unit = side / 300
    box = dlib.rectangle(round(105 * unit), round(80 * unit), round(200 * unit), round(175 * unit))
    ours, theirs = both_chips(predictor, picture, box)
    assert np.abs(ours.astype(int) - theirs.astype(int)).mean() < largest_mean
    embeddings = resnet.embed(torch.from_numpy(np.stack([ours, theirs])))
    assert float((embeddings[0] - embeddings[1]).norm()) < 0.1


def test_outside_the_image_is_black_as_in_dlib(predictor: Any, astronaut: NDArray[np.uint8]) -> None:
    picture = np.ascontiguousarray(astronaut[90:200, 180:280])
    ours, theirs = both_chips(predictor, picture, dlib.rectangle(0, 0, 90, 85))
    assert (theirs == 0).all(axis=2).mean() > 0.05
    assert np.abs(ours.astype(int) - theirs.astype(int)).mean() < 0.01


def test_chip_puts_the_points_where_dlib_wants_them() -> None:
    """Five painted dots come to lie on the mean face, whatever the similarity between."""
    mean_face = np.array(alignment._MEAN_FACE)
    angle, scale = np.deg2rad(25), 60.0
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (mean_face @ turn.T + (70, 40)).astype(np.float32)
    expected = (mean_face + 0.25) / 1.5 * 150
    yy, xx = np.mgrid[0:160, 0:160] + 0.5
    for point, place in zip(points, expected, strict=True):
        dot = np.exp(-((xx - point[0]) ** 2 + (yy - point[1]) ** 2) / 4.5)
        picture = (255 * dot[..., None].repeat(3, axis=2)).astype(np.uint8)
        chip = alignment.chips(torch.from_numpy(picture)[None], torch.from_numpy(points)[None])[
            0, ..., 0
        ].numpy()
        rows, columns = np.mgrid[0:150, 0:150]
        found = np.array([(chip * columns).sum(), (chip * rows).sum()]) / chip.sum()
        np.testing.assert_allclose(found, place, atol=0.8)


def test_rendered_masks_fill_their_chips(renders: Any) -> None:
    chips = alignment.chips(renders.images, renders.points_px)
    assert chips.shape == (6, 150, 150, 3)
    assert chips.dtype == torch.uint8
    assert chips.float().std(dim=(1, 2, 3)).min() > 10


def test_neighbors_in_the_batch_change_nothing(renders: Any) -> None:
    together = alignment.chips(renders.images, renders.points_px)
    alone = [alignment.chips(renders.images[i : i + 1], renders.points_px[i : i + 1]) for i in range(6)]
    assert torch.equal(together, torch.cat(alone))


@torch.inference_mode()
def test_cpu_cores_and_gpus_cut_the_same_chips(renders: Any) -> None:
    chips = alignment.chips(renders.images, renders.points_px)
    level = renders.images.permute(0, 3, 1, 2).float()
    sampled = alignment._sample(level, *alignment._chip_squares(renders.points_px)).permute(0, 2, 3, 1)
    off = (chips.float() - sampled).abs()
    assert off.max() <= 1.01  # fractions are cut off
    assert ((sampled + alignment._SOFTLY).to(torch.uint8) != chips).float().mean() < 1e-4


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, 1e30])
def test_useless_points_do_not_break_the_batch(renders: Any, value: float) -> None:
    points = renders.points_px.clone()
    points[0] = value
    chips = alignment.chips(renders.images, points)
    assert torch.equal(chips[1:], alignment.chips(renders.images, renders.points_px)[1:])
    if not np.isfinite(value):
        assert int(chips[0].max()) == 0


def test_wrong_shapes_are_refused(renders: Any) -> None:
    with pytest.raises(ValueError, match="points_px"):
        alignment.chips(renders.images, renders.points_px[:, :4])
    with pytest.raises(ValueError, match="uint8"):
        alignment.chips(renders.images.float(), renders.points_px)
