"""Compiled drawing gives the bytes of the torch renderer, whatever is drawn."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from services.rendering.renderer import Rendered
from services.rendering.rounding import root
from services.rendering.torch_renderer import TorchRenderer
from services.rendering.views import ViewRanges, sample_views
from services.shape.basis import load_basis
from services.shape.catalog import basis_info
from services.shape.decode import Decoder

BASIS = "makehuman-mask-1"
GENES = len(basis_info(BASIS).gene_names)
FIELDS = ("images", "points_px", "box_px", "coverage", "usable")


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return Decoder(load_basis(BASIS))


class Watched(TorchRenderer):
    """Notes of every chunk whether it was drawn compiled."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__(decoder.triangles, decoder.vertex_faces)
        self.drawn: list[bool] = []

    def _draw_compiled(self, *chunk: Any) -> Tensor | None:
        covered = super()._draw_compiled(*chunk)
        self.drawn.append(covered is not None)
        return covered


def pair(decoder: Decoder) -> tuple[Watched, TorchRenderer]:
    """One renderer that draws compiled, one in torch."""
    return Watched(decoder), TorchRenderer(decoder.triangles, decoder.vertex_faces, compiled=False)


def heads(decoder: Decoder, spread: float, count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return decoder.decode(torch.randn(count, GENES, generator=generator) * spread)


def same(one: Rendered, other: Rendered) -> None:
    for name in FIELDS:
        assert torch.equal(getattr(one, name), getattr(other, name)), name


@pytest.mark.parametrize("spread", [0.0, 0.4, 1.2, 3.0])
@pytest.mark.parametrize("size_px", [31, 160, 256])
def test_a_head_has_the_same_bytes(decoder: Decoder, spread: float, size_px: int) -> None:
    compiled, plain = pair(decoder)
    masks, landmarks = heads(decoder, spread, 7, 3), torch.tensor([0, 9])
    views = sample_views(ViewRanges(size_px=size_px, blur_px=(0.0, 1.5)), 5, 11)
    same(compiled.render(masks, views, landmarks), plain.render(masks, views, landmarks))
    assert all(compiled.drawn)


def test_colors_materials_and_files_have_the_same_bytes(decoder: Decoder) -> None:
    compiled, plain = pair(decoder)
    masks, landmarks = heads(decoder, 0.6, 4, 5), torch.tensor([0, 9])
    colors = torch.rand(masks.shape, generator=torch.Generator().manual_seed(1))
    ranges = ViewRanges(print_white=(0.0, 1.0), jpeg_quality=(20.0, 90.0), noise=(0.0, 0.05))
    views = sample_views(ranges, 4, 7)
    for tint in (None, colors):
        one = compiled.render(masks, views, landmarks, tint)
        same(one, plain.render(masks, views, landmarks, tint))
        same(
            compiled.render_each(masks, views, landmarks, tint),
            plain.render_each(masks, views, landmarks, tint),
        )
    assert one.coverage.min() > 0
    assert all(compiled.drawn)


@pytest.mark.parametrize("stretch", [0.1, 50.0, 800.0, float("nan")])
def test_a_triangle_through_the_camera_is_left_to_torch(decoder: Decoder, stretch: float) -> None:
    compiled, plain = pair(decoder)
    masks = heads(decoder, 0.4, 3, 2).clone()
    masks[1, 100] = torch.tensor([0.3, 0.2, 1.0]) * stretch
    views = sample_views(ViewRanges(), 3, 1)
    same(compiled.render(masks, views, torch.tensor([100])), plain.render(masks, views, torch.tensor([100])))
    assert all(compiled.drawn) is not (stretch > 1)


def test_triangles_that_fill_the_picture_have_the_same_bytes() -> None:
    generator = torch.Generator().manual_seed(4)
    points = torch.randn(2, 90, 3, generator=generator) * torch.tensor([0.2, 0.2, 0.02])
    triangles = torch.randint(90, (60, 3), generator=generator)
    views = sample_views(ViewRanges(), 3, 0)
    drawn = [
        TorchRenderer(triangles, vertex_count=90, compiled=compiled).render(points, views, torch.tensor([0]))
        for compiled in (True, False)
    ]
    same(*drawn)
    assert drawn[0].coverage.min() > 0.3


def test_roots_are_rounded_once() -> None:
    values = np.random.default_rng(0).random(100_000).astype(np.float32)
    exact = np.sqrt(values.astype(np.longdouble)).astype(np.float32)
    assert np.array_equal(root(torch.from_numpy(values)).numpy(), exact)


def test_it_draws_where_machine_code_cannot_be_kept() -> None:
    """As in a container whose disk is read-only: no folder for the code, so that each process compiles it."""
    code = (
        "import numpy as np; from services.rendering.drawing import _outside as f; "
        "n = np.float32; assert f(n(1), n(0), n(-9), n(0), n(0)); "
        "assert not f(n(1), n(0), n(0), n(0), n(0)); "
        "assert type(f._cache).__name__ == 'NullCache'"
    )
    nowhere = {**os.environ, "NUMBA_CACHE_LOCATOR_CLASSES": "ZipCacheLocator"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=nowhere, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
