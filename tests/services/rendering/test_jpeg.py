"""Batched JPEG against a real encoder and decoder, and what it does to renders."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from services.rendering import jpeg
from services.rendering.torch_renderer import TorchRenderer
from services.rendering.views import ViewRanges, sample_views


def pillows(image: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)  # 4:2:0, the standard's tables
    return np.asarray(Image.open(file))


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """uint8 (2, 150, 133, 3): a face, and the same with noise; sides that are no whole blocks."""
    face = np.ascontiguousarray(skimage.data.astronaut()[20:170, 150:283])
    noisy = face + np.random.default_rng(0).normal(0, 12, face.shape)
    return np.stack([face, noisy.clip(0, 255).astype(np.uint8)])


@pytest.mark.parametrize("quality", [5, 30, 50, 75, 95])
def test_pictures_come_out_as_from_a_real_file(pictures: np.ndarray, quality: int) -> None:
    ours = jpeg.compressed(torch.from_numpy(pictures), torch.tensor([quality, quality])).numpy()
    theirs = np.stack([pillows(picture, quality) for picture in pictures])
    off = np.abs(ours.astype(int) - theirs.astype(int))
    lost = np.abs(pictures.astype(int) - theirs.astype(int)).mean()
    assert off.mean() < 0.6
    assert off.mean() < 0.12 * lost
    assert np.quantile(off, 0.99) <= 6


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 88, 100])
def test_tables_are_those_that_an_encoder_writes(quality: int) -> None:
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG", quality=quality)
    written = Image.open(file).quantization
    for table, steps in zip(jpeg.tables(quality), (written[0], written[1]), strict=True):
        assert sorted(table.ravel().tolist()) == sorted(steps)


def test_a_picture_does_not_depend_on_its_neighbors(pictures: np.ndarray) -> None:
    images, quality = torch.from_numpy(pictures), torch.tensor([40, 70])
    both = jpeg.compressed(images, quality)
    for k in range(2):
        assert torch.equal(jpeg.compressed(images[k : k + 1], quality[k : k + 1])[0], both[k])


def test_renders_become_files_in_their_own_quality_and_others_stay() -> None:
    triangles = torch.tensor([[0, 1, 2]])
    vertices = torch.tensor([[[-0.06, -0.08, -0.03], [0.06, -0.08, -0.03], [0.0, 0.05, -0.03]]])
    renderer = TorchRenderer(triangles, vertex_count=3)
    none = torch.zeros(0, dtype=torch.int64)
    plain = sample_views(ViewRanges(size_px=64), 3, 1)
    mixed = replace(plain, jpeg_quality=np.array([0, 30, 80], np.float32))
    before = renderer.render(vertices, plain, none).images[0]
    after = renderer.render(vertices, mixed, none).images[0]
    assert torch.equal(after[0], before[0])
    assert torch.equal(after[1:], jpeg.compressed(before[1:], torch.tensor([30, 80])))


def test_the_materials_color_is_skin_unless_said_otherwise() -> None:
    triangles = torch.tensor([[0, 1, 2]])
    vertices = torch.tensor([[[-0.3, -0.3, -0.03], [0.3, -0.3, -0.03], [0.0, 0.4, -0.03]]])
    renderer = TorchRenderer(triangles, vertex_count=3)
    none = torch.zeros(0, dtype=torch.int64)
    still = ViewRanges(size_px=32, noise=(0, 0), specular=(0, 0))
    plain = sample_views(still, 1, 1)

    def middle(**quantities: float) -> list[int]:
        views = replace(plain, **{k: np.array([v], np.float32) for k, v in quantities.items()})
        return renderer.render(vertices, views, none).images[0, 0, 16, 16].tolist()

    skin, white, dark = middle(), middle(print_white=1.0), middle(print_level=0.2)
    assert skin[0] - skin[2] > 30
    assert white[0] - white[2] < 12
    assert white[2] > skin[2]
    assert all(a < b for a, b in zip(dark, skin, strict=True))
