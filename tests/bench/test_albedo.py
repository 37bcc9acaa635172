"""What an automatic camera sets: the exposure that it should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.albedo import EXPOSURES, FIXED, GRAY, MASK, PICTURE, Meter, page, views_of
from services.shape.catalog import DEFAULT_BASIS
from services.srgb import srgb_to_linear
from worker.eye import Eye


def test_exposure_follows_the_picture_or_the_mask():
    eye = Eye(DEFAULT_BASIS)
    genome = np.zeros(len(eye.basis.gene_names), np.float32)
    none = np.zeros(2, np.float32)
    views = replace(
        views_of(2), size_px=64, noise=none, blur_px=none, specular=none
    )  # which would be cut off
    meter = Meter(eye, genome, views)
    luminance = np.array([0.2126, 0.7152, 0.0722])

    def light(material, exposure):
        exposed = meter.exposed(material, exposure)
        _, seen = eye.every(genome[None], exposed)
        linear = srgb_to_linear(seen.images[0].numpy() / 255) @ luminance
        shown = eye.renderer.triangle_map(eye.vertices(genome[None]), views)[0].numpy() >= 0
        masks = [one[where].mean() for one, where in zip(linear, shown, strict=True)]
        return linear.mean(axis=(1, 2)), np.array(masks)

    for material in ("monk-8", "grey"):
        assert light(material, PICTURE)[0] == pytest.approx(GRAY, rel=0.03)
        usual = light("skin", FIXED)[1]
        assert (light(material, FIXED)[1] < 0.7 * usual).all()
        assert light(material, MASK)[1] == pytest.approx(usual, rel=0.05)
    np.testing.assert_array_equal(meter.exposed("skin", FIXED).exposure, views.exposure)


def test_the_page_has_a_cell_of_three_exposures_for_each_material():
    rows = [
        {
            "subject": "a head",
            "material": material,
            "exposure": exposure,
            "views": 20,
            "machines": {"m": {"seen": 10 * j + k, "median": 0.0}},
        }
        for j, material in enumerate(("skin", "grey"))
        for k, exposure in enumerate(EXPOSURES)
    ]
    assert "| `m` | 0 / 1 / 2 | 10 / 11 / 12 |" in page(rows)
