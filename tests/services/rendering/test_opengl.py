"""The fast rasterizer against OpenGL, and the beauty shots."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from services.errors import BadInput, Unavailable
from services.rendering.beauty import Shot, beauty_shot, opengl_shot, torch_shot
from services.rendering.opengl import offscreen
from services.rendering.opengl_renderer import OpenGLRenderer
from services.rendering.torch_renderer import TorchRenderer
from services.rendering.views import ViewRanges, sample_views
from services.shape.basis import load_basis
from services.shape.decode import Decoder


@pytest.fixture(scope="module", autouse=True)
def _opengl() -> None:
    try:
        with offscreen(8):
            pass
    except Unavailable as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return Decoder(load_basis("makehuman-mask-1"))


@pytest.fixture(scope="module")
def masks(decoder: Decoder) -> Tensor:
    """The neutral mask and three of noise, N(0, 1.2)."""
    weights = torch.randn(4, len(decoder.basis.gene_names), generator=torch.Generator().manual_seed(3)) * 1.2
    weights[0] = 0
    return decoder.decode(weights)


@pytest.fixture(scope="module")
def renderers(decoder: Decoder) -> tuple[TorchRenderer, OpenGLRenderer]:
    return TorchRenderer(decoder.triangles, decoder.vertex_faces), OpenGLRenderer(decoder.triangles)


def test_silhouettes_agree(renderers: tuple[TorchRenderer, OpenGLRenderer], masks: Tensor) -> None:
    dark = {"background": (0, 0), "background_slope": (0, 0), "blur_px": (0, 0), "noise": (0, 0)}
    views = sample_views(dataclasses.replace(ViewRanges(size_px=320), **dark), 3, 5)  # type: ignore[arg-type]
    ours, theirs = (r.render(masks, views, torch.zeros(1, dtype=torch.int64)) for r in renderers)
    a, b = (pictures.images.amax(dim=-1) > 0 for pictures in (ours, theirs))
    overlap = (a & b).sum(dim=(2, 3)) / (a | b).sum(dim=(2, 3))
    assert overlap.min() >= 0.99
    assert overlap.mean() >= 0.995
    for field in ("points_px", "box_px"):
        torch.testing.assert_close(getattr(ours, field), getattr(theirs, field), atol=1e-3, rtol=0)


def test_shading_agrees(renderers: tuple[TorchRenderer, OpenGLRenderer], masks: Tensor) -> None:
    """Measured: 0.2 to 0.6 of 255 levels in a picture's mean, from outlines and edges of folds."""
    views = sample_views(ViewRanges(), 3, 6)
    ours, theirs = (r.render(masks, views, torch.zeros(1, dtype=torch.int64)).images for r in renderers)
    off = (ours.int() - theirs.int()).abs().float()
    assert off.mean(dim=(2, 3, 4)).max() < 1.0
    assert off.flatten(2).median(dim=-1).values.max() <= 1


def test_a_mask_that_is_not_finite_is_flagged_alike(
    renderers: tuple[TorchRenderer, OpenGLRenderer], masks: Tensor
) -> None:
    broken = masks[:2].clone()
    broken[1, 7, 0] = float("nan")
    views = sample_views(ViewRanges(size_px=64), 1, 0)
    ours, theirs = (r.render(broken, views, torch.zeros(1, dtype=torch.int64)) for r in renderers)
    assert ours.usable.tolist() == theirs.usable.tolist() == [True, False]
    assert torch.equal(ours.images[1], theirs.images[1])
    assert theirs.coverage[1].tolist() == [0]


@pytest.mark.parametrize("shot", [opengl_shot, torch_shot, beauty_shot])
def test_a_beauty_shot_shows_a_light_mask_on_a_dark_ground(
    shot: object, decoder: Decoder, masks: Tensor
) -> None:
    triangles = decoder.basis.triangles
    image = shot(masks[0].numpy(), triangles, Shot(yaw_deg=20.0, size_px=96))  # type: ignore[operator]
    assert image.shape == (96, 96, 3)
    assert image.dtype == np.uint8
    assert image[:8, :8].max() < 40
    assert image[40:56, 40:56].mean() > 110
    again = shot(masks[0].numpy(), triangles, Shot(yaw_deg=20.0, size_px=96))  # type: ignore[operator]
    assert np.array_equal(image, again)


@pytest.mark.parametrize("shot", [opengl_shot, torch_shot])
def test_beauty_shots_turn_the_right_way_and_take_colors(
    shot: object, decoder: Decoder, masks: Tensor
) -> None:
    points, triangles = masks[0].numpy(), decoder.basis.triangles
    colors = np.full(points.shape, 0.2, dtype=np.float32)
    nose = decoder.basis.landmarks["nose_tip"]
    near = np.linalg.norm(points - points[nose], axis=1) < 0.012
    colors[near] = [1.0, 0.1, 0.1]
    image = shot(points, triangles, Shot(yaw_deg=25.0, size_px=128), colors)  # type: ignore[operator]
    red = image[..., 0].astype(int) - image[..., 1]
    assert red.max() > 60
    assert np.nonzero(red > 40)[1].mean() > 64 + 8


def test_both_beauty_shots_show_the_same_outline(decoder: Decoder, masks: Tensor) -> None:
    shots = [
        f(masks[1].numpy(), decoder.basis.triangles, Shot(-20.0, 5.0, 128)) for f in (opengl_shot, torch_shot)
    ]
    assert np.abs(shots[0].astype(int) - shots[1]).mean() < 25


def test_bad_beauty_input_is_refused(decoder: Decoder, masks: Tensor) -> None:
    points, triangles = masks[0].numpy(), decoder.basis.triangles
    with pytest.raises(BadInput, match="vertices"):
        beauty_shot(points[:, :2], triangles)
    with pytest.raises(BadInput, match="triangles"):
        beauty_shot(points[:10], triangles)
    with pytest.raises(BadInput, match="colors"):
        beauty_shot(points, triangles, colors=points[:-1])


def test_without_opengl_the_error_says_how_to_get_it_and_beauty_still_works(tmp_path: Path) -> None:
    """A process of its own, whose PyOpenGL finds no EGL library."""
    code = """
import ctypes.util, ctypes
real = ctypes.CDLL
def missing(name, *a, **k):
    if name and ("EGL" in str(name) or "libGL" in str(name)):
        raise OSError("no such library")
    return real(name, *a, **k)
ctypes.CDLL = missing
ctypes.util.find_library = lambda name: None
import numpy as np
from services.errors import Unavailable
from services.rendering.opengl import offscreen
from services.rendering.beauty import Shot, beauty_shot
try:
    with offscreen(8):
        print("None")
except Unavailable as missing:
    print(missing)
points = np.array([[-.05, -.05, 0], [.05, -.05, 0], [0, .05, 0]], dtype=np.float32)
print(beauty_shot(points, np.array([[0, 1, 2]]), Shot(size_px=32)).max() > 100)
"""
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "PYOPENGL_PLATFORM")}
    out = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=Path.cwd(),
    )
    said, works = out.stdout.strip().splitlines()
    assert "apt-get install libegl1 libgl1 libgl1-mesa-dri libxrender1" in said
    assert works == "True"
