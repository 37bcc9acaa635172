"""Pictures for the recognition tests: a photograph in the public domain, and renders of our own masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import skimage.data
import torch
from numpy.typing import NDArray
from skimage.transform import resize

from services.recognition.dlib.alignment import POINT_NAMES
from services.rendering.torch_renderer import TorchRenderer
from services.rendering.views import ViewRanges, sample_views
from services.shape.basis import load_basis
from services.shape.decode import Decoder

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Renders:
    """images uint8 (n, 160, 160, 3); points_px float32 (n, 5, 2) in align's order; box_px float32 (n, 4)."""

    images: torch.Tensor
    points_px: torch.Tensor
    box_px: torch.Tensor


@pytest.fixture(scope="session")
def astronaut() -> Pixels:
    """NASA's portrait of Eileen Collins (public domain), uint8 (512, 512, 3)."""
    photo: Pixels = skimage.data.astronaut()
    return photo


@pytest.fixture(scope="session")
def photo_crops(astronaut: Pixels) -> Pixels:
    """uint8 (9, 160, 160, 3): the face in steps of 7% in size: on pyramid levels and between them."""
    crops = []
    for index in range(9):
        side = round(140 * 1.07**index)
        left, top = 222 - side // 2 + 5 * (index % 3), max(0, 122 - side // 2 + 4 * (index % 2))
        crop = astronaut[top : top + side, left : left + side]
        crops.append((resize(crop, (160, 160), anti_aliasing=True) * 255).round().astype(np.uint8))
    return np.stack(crops)


@pytest.fixture(scope="session")
def renders() -> Renders:
    """Three masks (neutral, mild, far out) in two views each."""
    basis = load_basis("makehuman-mask-1")
    decoder = Decoder(basis)
    renderer = TorchRenderer(decoder.triangles, decoder.vertex_faces)
    spread = np.array([0.0, 0.3, 0.6], dtype=np.float32)[:, None]
    genes = np.random.default_rng(0).standard_normal((3, len(basis.gene_names)), dtype=np.float32)
    vertices = decoder.decode(torch.from_numpy(genes * spread))
    rendered = renderer.render(
        vertices, sample_views(ViewRanges(), 2, seed=5), decoder.landmark_indices(POINT_NAMES)
    )
    return Renders(
        rendered.images.flatten(0, 1), rendered.points_px.flatten(0, 1), rendered.box_px.flatten(0, 1)
    )
