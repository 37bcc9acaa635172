"""What is drawn of a solid point by point is what the renderer draws of it, and steps change it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from bench.virtual_print import FACE_UP, FINISHES, KINDS, RESULT, Thing, layers, page, pictures
from services.rendering.torch_renderer import TorchRenderer
from services.rendering.views import frontal_view

CENTER_M = (0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def thing():
    """A round hill 140 mm wide and 40 mm high, as a grid."""
    side = np.linspace(-0.07, 0.07, 60)
    x, y = np.meshgrid(side, side)
    z = 0.04 * np.exp(-(x**2 + y**2) / 0.04**2)
    number = np.arange(3600).reshape(60, 60)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]
    halves = [np.stack(corners, -1).reshape(-1, 3) for corners in ((a, b, c), (a, c, d))]
    return Thing(np.stack([x, y, z], -1).reshape(-1, 3), np.concatenate(halves), 1200.0)


@pytest.fixture(scope="module")
def drawn(thing):
    finishes = {"smooth": FINISHES["smooth"], "steps": layers(FACE_UP, 0.2)}
    return {
        name: images.numpy().astype(float)
        for name, (images, _) in pictures(thing, frontal_view(64), CENTER_M, finishes).items()
    }


def test_without_a_finish_it_is_the_renderers_own_picture(thing, drawn):
    renderer = TorchRenderer(torch.from_numpy(thing.triangles), center_m=CENTER_M)
    vertices = torch.from_numpy(thing.points.astype(np.float32))[None]
    own = renderer.render(vertices, frontal_view(64), torch.zeros(0, dtype=torch.int64))
    apart = np.abs(drawn["smooth"][0] - own.images[0, 0].numpy())
    assert np.median(apart) <= 1
    assert apart.mean() < 1.5


def test_steps_of_a_thing_that_was_built_face_up_are_flat_from_the_front(drawn):
    middle = (slice(None), slice(20, 44), slice(20, 44), 0)
    smooth, steps = drawn["smooth"][middle], drawn["steps"][middle]
    assert smooth.std() > 8
    assert steps.std() < 0.3 * smooth.std()


def test_the_page_counts_views_over_masks():
    rows = [
        {"run": run, "kind": kind, "subject": kind, "finish": finish, "views": 4, "seen": {"m": seen}}
        for run, seen in (("a", 1), ("b", 3))
        for kind in KINDS
        for finish in ("mask", "smooth")
    ]
    text = page({"rows": rows})
    assert "A face in so many of 8 views, elites (2):" in text
    assert text.count("| `m` | 4 | 4 |") == 3


def test_what_was_measured_has_every_finish():
    rows = json.loads(RESULT.read_text())["rows"]
    assert {row["finish"] for row in rows} == {"mask", *FINISHES}
    assert {row["kind"] for row in rows} == set(KINDS)
