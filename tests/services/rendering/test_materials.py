"""What masks are shown in: names, published tones, and pictures as they were where none is named."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from bench.albedo import EXPOSURES, rows_of, show, views_of
from coordinator.spec.spec import parse_spec
from services.errors import BadInput
from services.rendering.materials import MATERIALS, material
from services.rendering.torch_renderer import TorchRenderer
from services.rendering.views import ViewRanges, Views, ranges_of, sample_views
from services.shape.basis import load_basis
from services.shape.decode import Decoder
from services.srgb import srgb_to_linear
from services.wire.plan import Plan, make_plan

HOG = {"kind": "detect", "model": "dlib-hog"}


@pytest.fixture(scope="module")
def seen():
    """Renders the neutral head under views: uint8 (v, 96, 96, 3)."""
    basis = load_basis("makehuman-mask-1")
    decoder = Decoder(basis)
    renderer = TorchRenderer(decoder.triangles, decoder.vertex_faces)
    head = decoder.decode(torch.zeros(1, len(basis.gene_names)))
    return lambda views: renderer.render(head, views, torch.zeros(0, dtype=torch.int64)).images[0].numpy()


def spec(**views):
    return parse_spec({"objective": [HOG], "views": views}, "here")


def test_monks_ten_tones_are_the_published_ones_from_light_to_dark():
    tones = [MATERIALS[f"monk-{k}"].srgb for k in range(1, 11)]
    assert [round(255 * c) for c in tones[0]] == [0xF6, 0xED, 0xE4]
    assert [round(255 * c) for c in tones[5]] == [0xA0, 0x7E, 0x56]
    assert [round(255 * c) for c in tones[9]] == [0x29, 0x24, 0x20]
    luminance = [float(srgb_to_linear(np.array(t)) @ (0.2126, 0.7152, 0.0722)) for t in tones]
    assert sorted(luminance, reverse=True)[3:] == luminance[3:]
    assert luminance[0] == max(luminance)
    assert float(srgb_to_linear(np.array(MATERIALS["grey"].srgb))[0]) == pytest.approx(0.18, abs=0.001)


def test_without_a_material_views_plans_and_meta_are_those_of_before():
    plain = ViewRanges()
    assert "material" not in plain.table()
    assert ranges_of(plain.table()) == plain
    drawn = sample_views(plain, 5, 3)
    assert (drawn.material_srgb == (0.86, 0.72, 0.64)).all()
    other = sample_views(ViewRanges(material=("nylon", "monk-9")), 5, 3)
    for name in ("yaw_deg", "noise_seed", "print_white", "print_level", "exposure"):
        np.testing.assert_array_equal(getattr(drawn, name), getattr(other, name))
    named = make_plan("makehuman-mask-1", (), ViewRanges(material=("nylon", "#102030")))
    assert named.meta()["ranges"]["material"] == ["nylon", "#102030"]
    assert Plan.from_meta(named.meta(), "here").ranges == named.ranges


def test_a_list_gives_each_view_one_of_them_and_the_same_again():
    ranges = ViewRanges(material=("nylon", "grey", "#0000ff"))
    first, again = (sample_views(ranges, 60, 4).material_srgb for _ in range(2))
    np.testing.assert_array_equal(first, again)
    known = {MATERIALS["nylon"].srgb, MATERIALS["grey"].srgb, (0.0, 0.0, 1.0)}
    assert {tuple(row) for row in first.tolist()} == known
    views = sample_views(ranges, 6, 4)
    np.testing.assert_array_equal(views.take(np.array([3])).material_srgb, views.material_srgb[3:4])
    np.testing.assert_array_equal(Views.joined([views, views]).material_srgb[6:], views.material_srgb)


def test_masks_are_rendered_in_their_material(seen):
    ranges = ViewRanges(size_px=96, noise=(0, 0), specular=(0, 0), blur_px=(0, 0), background=(0.5, 0.5))
    views = sample_views(ranges, 2, 1)
    shots = {name: seen(views.shown_in(name))[:, 36:60, 36:60].mean(axis=(0, 1, 2)) for name in MATERIALS}
    np.testing.assert_allclose(shots["skin"], seen(views)[:, 36:60, 36:60].mean(axis=(0, 1, 2)))
    bright = {name: shot.mean() for name, shot in shots.items()}
    assert bright["nylon"] > bright["skin"] > bright["grey"] > bright["mirror-dark"]
    assert bright["monk-1"] > bright["monk-6"] > bright["monk-10"]
    assert shots["wood"][0] > shots["wood"][1] > shots["wood"][2]
    green = seen(views.shown_in("#00ff00"))[:, 36:60, 36:60].mean(axis=(0, 1, 2))
    assert green[1] > 100
    assert max(green[0], green[2]) < 1


def test_a_spec_names_one_or_several():
    assert spec().views.ranges().material == ("skin",)
    assert spec(material="nylon").views.ranges().material == ("nylon",)
    assert spec(material=["skin", "#A0B0C0"]).views.ranges().material == ("skin", "#a0b0c0")
    for bad, words in (
        ("nylom", "did you mean 'nylon'"),
        ([], "expected a name, or a list of different ones"),
        (["skin", "skin"], "a list of different ones"),
        ("#12", "or #rrggbb"),
        ([3], "material"),
    ):
        with pytest.raises(BadInput, match=words) as caught:
            spec(material=bad)
        assert "\n" not in str(caught.value)
    with pytest.raises(BadInput, match=r"views\.material_srgb"):
        Views(**{**vars(sample_views(ViewRanges(), 2, 1)), "material_srgb": np.ones((3, 3))})
    assert material("#FF0000").srgb == (1.0, 0.0, 0.0)


def test_the_table_of_albedo_has_every_material_at_every_exposure(capsys):
    from rich.console import Console

    from services.recognition import catalog
    from worker.eye import Eye

    views = views_of(2)
    assert (views.exposure == 1).all()
    eye = Eye("makehuman-mask-1", ())
    zero = np.zeros(len(eye.basis.gene_names), np.float32)
    rows = rows_of("the head", eye, zero, views, {"yunet": catalog.detector("yunet")})
    assert [(row["material"], row["exposure"]) for row in rows] == list(product(MATERIALS, EXPOSURES))
    assert all(0 <= row["machines"]["yunet"]["seen"] <= row["views"] == 2 for row in rows)
    assert len({row["machines"]["yunet"]["median"] for row in rows}) > 5
    show(rows, Console(width=100))
    assert "monk-10" in capsys.readouterr().out


def test_studio_and_page_show_a_material_in_the_color_that_machines_are_shown():
    from services.rendering.materials import FINISHED, looks
    from services.rendering.rig import MATERIALS as MADE

    assert list(MADE) == list(FINISHED) == list(looks())
    for name, shown in FINISHED.items():
        np.testing.assert_allclose(MADE[name].albedo, srgb_to_linear(np.array(shown.srgb)))
        told = looks()[name]["color"]
        assert isinstance(told, str)
        np.testing.assert_allclose(
            [int(told[k : k + 2], 16) / 255 for k in (1, 3, 5)], shown.srgb, atol=0.002
        )
    assert {"nylon", "plaster"} == set(FINISHED) & set(MATERIALS)
    with pytest.raises(BadInput, match=r"views\.material 'mirror'"):
        material("mirror")
