"""Whole pictures: silhouettes, poses, light, degradations, and bytes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor

from services.errors import BadInput
from services.rendering import sensor
from services.rendering.camera import CENTER_M, cameras, project
from services.rendering.normals import vertex_faces_of, vertex_normals
from services.rendering.renderer import Rendered
from services.rendering.torch_renderer import TorchRenderer
from services.rendering.views import ViewRanges, Views, frontal_view, sample_views
from services.srgb import linear_to_srgb, srgb_to_linear

NONE = torch.zeros(0, dtype=torch.int64)


def mesh(shape: trimesh.Trimesh) -> tuple[Tensor, TorchRenderer]:
    """Vertices (1, V, 3) about the camera's center, and a renderer of that topology."""
    points = torch.tensor(np.asarray(shape.vertices) + CENTER_M, dtype=torch.float32)[None]
    triangles = torch.tensor(np.asarray(shape.faces), dtype=torch.int64)
    return points, TorchRenderer(triangles, vertex_count=points.shape[1])


def sphere(radius: float = 0.07) -> tuple[Tensor, TorchRenderer]:
    return mesh(trimesh.creation.icosphere(subdivisions=4, radius=radius))


def square() -> tuple[Tensor, TorchRenderer]:
    """A plate of 0.1 m in the plane z = 0 of the camera's center, facing +Z."""
    points = torch.tensor([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * 0.05 + torch.tensor(CENTER_M)
    return points[None], TorchRenderer(torch.tensor([[0, 1, 2], [0, 2, 3]]))


def view(**changes: float) -> Views:
    plain = {"specular": 0.0, "background": 0.0, **changes}
    arrays = {name: np.array([value], dtype=np.float32) for name, value in plain.items()}
    return dataclasses.replace(frontal_view(), **arrays)  # type: ignore[arg-type]


def shown(rendered: Rendered) -> Tensor:
    """Pixels brighter than a black background: bool (S, S)."""
    return rendered.images[0, 0].amax(dim=-1) > 0


def test_a_sphere_has_the_silhouette_of_the_tangent_cone() -> None:
    points, renderer = sphere(0.07)
    v = view()
    cover = shown(renderer.render(points, v, NONE))
    cams = cameras(v)
    # Rays at less than asin(r / d) from the axis meet the sphere: a disk of radius f * tan of that angle.
    radius = float(cams.focal_px[0]) * np.tan(np.arcsin(0.07 / float(v.distance_m[0])))
    at = np.arange(160) + 0.5 - 80
    disk = np.hypot(*np.meshgrid(at, at)) < radius
    both, either = (cover.numpy() & disk).sum(), (cover.numpy() | disk).sum()
    assert both / either > 0.99
    assert abs(int(cover.sum()) - np.pi * radius**2) < 0.01 * np.pi * radius**2


def test_a_plate_covers_exactly_the_pixels_that_its_projection_holds() -> None:
    points, renderer = square()
    rendered = renderer.render(points, view(), torch.arange(4))
    half = 0.05 / 0.235 * 160
    inside = np.abs(np.arange(160) + 0.5 - 80) < half
    assert np.array_equal(shown(rendered).numpy(), inside[:, None] & inside)
    box = [80 - half, 80 - half, 80 + half, 80 + half]
    np.testing.assert_allclose(rendered.box_px[0, 0].numpy(), box, atol=1e-3)
    assert rendered.coverage[0, 0].item() == pytest.approx((inside.sum() / 160) ** 2)


@pytest.mark.parametrize(
    ("change", "axis", "sign"),
    [("yaw_deg", 0, 1), ("pitch_deg", 1, -1)],  # y runs down: up is less
)
def test_yaw_turns_the_nose_right_and_pitch_turns_it_up(change: str, axis: int, sign: int) -> None:
    points, renderer = square()
    nose = torch.cat([points, (torch.tensor(CENTER_M) + torch.tensor([0, 0, 0.06]))[None, None]], dim=1)
    renderer = TorchRenderer(renderer.triangles, vertex_count=5)
    straight, turned = (renderer.render(nose, view(**{change: a}), torch.tensor([4])) for a in (0.0, 20.0))
    moved = (turned.points_px - straight.points_px)[0, 0, 0]
    assert moved[axis] * sign > 5
    assert abs(moved[1 - axis]) < 1e-3


def test_roll_turns_counter_clockwise_as_seen() -> None:
    points, renderer = square()
    corner = renderer.render(points, view(roll_deg=20.0), torch.tensor([2])).points_px[0, 0, 0]
    straight = renderer.render(points, view(), torch.tensor([2])).points_px[0, 0, 0]
    # The upper right corner goes left.
    assert corner[0] < straight[0] - 5


def test_landmarks_are_where_their_vertices_are_seen() -> None:
    """A colored vertex of a sphere must show its color at its projected place."""
    points, renderer = sphere()
    front = torch.tensor([k for k in range(0, points.shape[1], 40) if points[0, k, 2] > CENTER_M[2] + 0.045])
    colors = torch.zeros_like(points)
    views = sample_views(ViewRanges(blur_px=(0, 0), noise=(0, 0), specular=(0, 0), background=(0, 0)), 3, 2)
    rendered = renderer.render(points, views, front)
    expected, _ = project(points[0, front].numpy(), cameras(views))
    np.testing.assert_allclose(rendered.points_px[0].numpy(), expected, atol=2e-3)
    for number, vertex in enumerate(front.tolist()):
        colors.zero_()
        colors[0, vertex] = 1.0
        images = renderer.render(points, views, front, colors=colors).images[0].float().mean(dim=-1)
        for k in range(len(views)):
            x, y = rendered.points_px[0, k, number].tolist()
            peak = int(images[k].argmax())
            assert abs(peak % 160 + 0.5 - x) < 1.5
            assert abs(peak // 160 + 0.5 - y) < 1.5


def test_boxes_hold_every_covered_pixel() -> None:
    points, renderer = sphere(0.05)
    views = sample_views(
        ViewRanges(background=(0, 0), background_slope=(0, 0), noise=(0, 0), blur_px=(0, 0)), 4, 1
    )
    rendered = renderer.render(points, views, NONE)
    for k in range(4):
        rows, columns = (rendered.images[0, k].amax(dim=-1) > 0).nonzero().T
        left, top, right, bottom = rendered.box_px[0, k].tolist()
        assert left - 0.01 <= columns.min() + 0.5 < left + 2
        assert right - 2 < columns.max() + 0.5 <= right + 0.01
        assert top - 0.01 <= rows.min() + 0.5 < top + 2
        assert bottom - 2 < rows.max() + 0.5 <= bottom + 0.01


def test_both_sides_look_alike() -> None:
    points, renderer = sphere()
    inside_out = TorchRenderer(renderer.triangles.flip(1), vertex_count=points.shape[1])
    views = sample_views(ViewRanges(), 3, 0)
    first = renderer.render(points, views, NONE).images.int()
    second = inside_out.render(points, views, NONE).images.int()
    assert (first - second).abs().max() <= 1


def test_a_plate_from_behind_is_lit_like_one_from_the_front() -> None:
    points, renderer = square()
    front = renderer.render(points, view(), NONE).images[0, 0]
    behind = TorchRenderer(renderer.triangles.flip(1)).render(points, view(), NONE).images[0, 0]
    assert torch.equal(front, behind)


def test_the_light_model_holds_in_numbers() -> None:
    points, renderer = square()
    v = view(light_yaw_deg=60.0, light_pitch_deg=0.0, light=0.5, ambient=0.1, specular=0.2, exposure=1.1)
    middle = renderer.render(points, v, NONE).images[0, 0, 80, 80].numpy()
    # Facing the camera, light at 60 degrees: n.l = 1/2 and the half vector stands at 30 degrees.
    diffuse, shine = 0.1 + 0.5 * 0.5, 0.2 * 0.5 * np.cos(np.radians(30)) ** 16
    albedo = srgb_to_linear(np.array([0.86, 0.72, 0.64]))
    expected = linear_to_srgb(1.1 * (albedo * diffuse + shine)) * 255
    np.testing.assert_allclose(middle, expected, atol=1.2)


def test_light_from_the_right_brightens_the_right() -> None:
    points, renderer = sphere()
    for change, axis, sign in (("light_yaw_deg", 1, 1), ("light_pitch_deg", 0, -1)):
        v = view(**{"light_yaw_deg": 0.0, "light_pitch_deg": 0.0, change: 50.0})
        gray = renderer.render(points, v, NONE).images[0, 0].float().mean(dim=-1)
        low, high = gray.narrow(axis, 0, 80).sum(), gray.narrow(axis, 80, 80).sum()
        assert (high - low) * sign > 0.1 * (high + low)


def test_a_mask_has_the_same_bytes_whatever_its_neighbors() -> None:
    generator = torch.Generator().manual_seed(0)
    points, renderer = sphere()
    many = points + torch.randn(37, *points.shape[1:], generator=generator) * 0.004
    views = sample_views(ViewRanges(), 5, 3)
    landmarks = torch.tensor([0, 10])
    together = renderer.render(many, views, landmarks)
    for index in (0, 5, 6, 36):
        alone = renderer.render(many[index : index + 1], views, landmarks)
        for field in dataclasses.fields(Rendered):
            assert torch.equal(getattr(alone, field.name)[0], getattr(together, field.name)[index]), (
                field.name
            )
    backward = renderer.render(many.flip(0), views, landmarks)
    assert torch.equal(backward.images.flip(0), together.images)


def test_a_view_has_the_same_bytes_whatever_other_views_are_drawn() -> None:
    points, renderer = sphere()
    views = sample_views(ViewRanges(), 40, 3)  # more than one chunk of views
    together = renderer.render(points, views, NONE)
    for index in (0, 17, 39):
        alone = renderer.render(points, views.take(slice(index, index + 1)), NONE)
        assert torch.equal(alone.images[0, 0], together.images[0, index])


def test_the_same_call_gives_the_same_bytes() -> None:
    points, renderer = sphere()
    views = sample_views(ViewRanges(), 4, 9)
    assert torch.equal(
        renderer.render(points, views, NONE).images, renderer.render(points, views, NONE).images
    )


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_one_bad_vertex_flags_its_mask_and_no_other(bad: float) -> None:
    points, renderer = sphere()
    three = points.repeat(3, 1, 1)
    three[1, 5, 2] = bad
    views = sample_views(ViewRanges(), 2, 0)
    good = renderer.render(points, views, torch.tensor([5]))
    rendered = renderer.render(three, views, torch.tensor([5]))
    assert rendered.usable.tolist() == [True, False, True]
    assert rendered.coverage[1].tolist() == [0, 0]
    assert not rendered.points_px[1].any()
    assert not rendered.box_px[1].any()
    for index in (0, 2):
        assert torch.equal(rendered.images[index], good.images[0])
        assert torch.equal(rendered.points_px[index], good.points_px[0])
    # What is left of the bad mask's picture is its background.
    backdrop = rendered.images[1, 0, 0].float().mean()
    assert abs(rendered.images[1, 0, 0:3].float().mean() - backdrop) < 5


@pytest.mark.parametrize("stretch", [5.0, 50.0, 800.0])
def test_a_vertex_pulled_far_out_does_no_harm_to_the_rest(stretch: float) -> None:
    points, renderer = sphere()
    pulled = points.clone()
    pulled[0, 0] = torch.tensor([0.3, 0.2, 1.0]) * stretch
    rendered = renderer.render(torch.cat([points, pulled]), view(), NONE)
    assert rendered.usable.all()
    assert 0.1 < rendered.coverage[1, 0] <= 1
    assert torch.isfinite(rendered.box_px).all()


def test_a_mask_of_nothing_but_huge_triangles_is_drawn_in_bounded_pieces() -> None:
    """Every triangle spans the picture: some 400 tiles each, far more than are listed at once."""
    generator = torch.Generator().manual_seed(4)
    points = torch.randn(1, 900, 3, generator=generator) * torch.tensor([0.2, 0.2, 0.02])
    renderer = TorchRenderer(torch.randperm(900, generator=generator).repeat(3).view(-1, 3), vertex_count=900)
    views = sample_views(ViewRanges(), 2, 0)
    rendered = renderer.render(points.repeat(2, 1, 1), views, NONE)
    assert torch.equal(rendered.images[0], rendered.images[1])
    assert rendered.coverage.min() > 0.9


def test_a_picture_larger_than_a_chunk_is_the_small_one_in_finer_steps() -> None:
    points, renderer = sphere()
    small, large = (
        renderer.render(points, dataclasses.replace(view(), size_px=size), torch.tensor([3]))
        for size in (160, 1280)
    )
    blocks = large.images[0, 0].float().view(160, 8, 160, 8, 3).mean(dim=(1, 3))
    assert (blocks - small.images[0, 0]).abs().mean() < 1.0
    torch.testing.assert_close(large.points_px / 8, small.points_px, atol=1e-3, rtol=0)


def test_arguments_are_not_changed() -> None:
    points, renderer = sphere()
    before = points.clone()
    renderer.render(points, view(), NONE)
    assert torch.equal(points, before)


def test_a_wrong_shape_is_refused() -> None:
    points, renderer = sphere()
    for wrong in (points[0], points[:, :-1], points[..., :2]):
        with pytest.raises(BadInput, match="vertices: expected shape"):
            renderer.render(wrong, view(), NONE)
    with pytest.raises(BadInput, match="colors: expected shape"):
        renderer.render(points, view(), NONE, colors=points[:, :-1])


def test_no_masks_give_empty_arrays() -> None:
    points, renderer = sphere()
    rendered = renderer.render(points[:0], sample_views(ViewRanges(), 2, 0), NONE)
    assert rendered.images.shape == (0, 2, 160, 160, 3)


def test_background_slopes_from_top_to_bottom() -> None:
    points, renderer = square()
    v = view(background=0.5, background_slope=0.4)
    edge = renderer.render(points, v, NONE).images[0, 0, :, 0].float().mean(dim=-1) / 255
    assert edge[0].item() == pytest.approx(0.7, abs=0.01)
    assert edge[-1].item() == pytest.approx(0.3, abs=0.01)
    assert (edge.diff() <= 0).all()


def test_exposure_brightens_and_noise_spreads() -> None:
    points, renderer = sphere()
    means = [renderer.render(points, view(exposure=e), NONE).images.float().mean() for e in (0.6, 1.0, 1.4)]
    assert means[0] < means[1] < means[2]
    flat = view(background=0.5, noise=0.02)
    picture = renderer.render(points, flat, NONE).images[0, 0].float()
    corner = picture[:25, :25]
    assert corner.mean().item() == pytest.approx(127.5, abs=1)
    assert corner.std().item() == pytest.approx(0.02 * 255, rel=0.1)


def test_noise_follows_its_seed_and_is_white() -> None:
    seeds, sigma = torch.tensor([1, 2, 1]), torch.tensor([0.01, 0.01, 0.02])
    noise = sensor.sensor_noise(seeds, sigma, 64)
    torch.testing.assert_close(noise[:, 2], noise[:, 0] * 2)
    assert not torch.equal(noise[:, 0], noise[:, 1])
    one = noise[:, 0].double()
    assert abs(one.mean()) < 0.05
    assert one.std().item() == pytest.approx(2.55, rel=0.03)
    for other in (noise[:, 1].double(), one.roll(1, 2), one.roll(1, 1), one.roll(1, 0)):
        assert abs((one * other).mean() / 2.55**2) < 0.03


@pytest.mark.parametrize("sigma", [0.3, 0.8, 2.5])
def test_blur_is_the_gaussian_and_leaves_sums(sigma: float) -> None:
    point = torch.zeros(1, 2, 41, 41)
    point[:, :, 20, 20] = 1
    taps = torch.tensor(sensor.blur_weights(np.array([0.0, sigma], dtype=np.float32)))
    sharp, soft = sensor.blur(point, taps)[0].double()
    assert torch.equal(sharp, point[0, 0].double())
    assert soft.sum().item() == pytest.approx(1, abs=1e-5)
    at = np.arange(41) - 20
    line = np.exp(-0.5 * (at / sigma) ** 2) * (np.abs(at) <= np.ceil(3 * sigma))
    expected = np.outer(line, line) / line.sum() ** 2
    np.testing.assert_allclose(soft.numpy(), expected, atol=1e-6)


def test_blur_keeps_a_flat_picture_up_to_its_border() -> None:
    flat = torch.full((1, 1, 20, 30), 0.4)
    taps = torch.tensor(sensor.blur_weights(np.array([1.5], dtype=np.float32)))
    torch.testing.assert_close(sensor.blur(flat, taps), flat)


def test_encoding_is_srgb_within_half_a_level() -> None:
    table = sensor.encoding_table(torch.device("cpu"))
    linear = torch.linspace(-0.1, 1.2, 5001)
    expected = linear_to_srgb(linear.double().clamp(0, 1).numpy()) * 255
    assert np.abs(sensor.encode(linear, table).numpy() - expected).max() < 0.25
    levels = np.arange(256) / 255
    np.testing.assert_allclose(linear_to_srgb(srgb_to_linear(levels)), levels, atol=1e-9)


def test_vertex_colors_come_out_as_they_went_in() -> None:
    points, renderer = square()
    colors = torch.tensor([0.2, 0.5, 0.8]).expand_as(points)
    v = view(light=0.0, ambient=1.0)
    middle = renderer.render(points, v, NONE, colors=colors).images[0, 0, 80, 80]
    np.testing.assert_allclose(middle.numpy(), np.array([0.2, 0.5, 0.8]) * 255, atol=0.8)


def test_normals_of_a_sphere_point_outward() -> None:
    points, renderer = sphere()
    x, y, z = (points[0] - torch.tensor(CENTER_M)).T[:, :, None].contiguous()
    normals = torch.cat(vertex_normals((x, y, z), renderer.triangles, renderer.vertex_faces), dim=1)
    radial = torch.cat([x, y, z], dim=1)
    assert (normals * radial / 0.07).sum(dim=1).min() > 0.999


def test_the_vertex_face_table_lists_every_corner_once() -> None:
    shape = trimesh.creation.icosphere(subdivisions=2)
    triangles = torch.tensor(np.asarray(shape.faces), dtype=torch.int64)
    table = vertex_faces_of(triangles, len(shape.vertices) + 1)
    assert (table[-1] == len(triangles)).all()  # a vertex without triangles
    for vertex in range(len(shape.vertices)):
        around = (triangles == vertex).any(dim=1).nonzero()[:, 0].tolist()
        assert [f for f in table[vertex].tolist() if f < len(triangles)] == around


def test_a_mask_under_its_own_view_alone_has_the_bytes_of_render() -> None:
    points, renderer = sphere()
    masks = torch.cat([points, points * 0.9, points.roll(1, dims=2), points * float("nan")])
    ranges = ViewRanges(jpeg_quality=(0.0, 90.0), print_white=(0.0, 1.0))
    views = sample_views(ranges, 4, seed=2)
    landmarks = torch.tensor([0, 7])
    every, each = renderer.render(masks, views, landmarks), renderer.render_each(masks, views, landmarks)
    assert each.usable.tolist() == [True, True, True, False]
    for k in range(4):
        for name in ("images", "points_px", "box_px", "coverage"):
            assert torch.equal(getattr(every, name)[k, k], getattr(each, name)[k, 0]), (name, k)
    with pytest.raises(BadInput, match="one for each"):
        renderer.render_each(masks[:2], views, landmarks)


def test_a_triangle_map_shows_what_covers_and_which_face_it_is() -> None:
    points, renderer = square()
    views = sample_views(ViewRanges(yaw_deg=(-5, 5)), 3, seed=4)
    found = renderer.triangle_map(torch.cat([points, points * float("inf")]), views)
    rendered = renderer.render(points, views, NONE)
    assert found.shape == (2, 3, 160, 160)
    torch.testing.assert_close((found[0] >= 0).float().mean(dim=(1, 2)), rendered.coverage[0])
    assert set(found[0].unique().tolist()) == {-1, 0, 1}
    assert (found[1] == -1).all()
    # The first triangle of the plate is its lower right half.
    for k in range(3):
        rows, columns = (found[0, k] == 0).nonzero().float().mean(dim=0)
        other_rows, other_columns = (found[0, k] == 1).nonzero().float().mean(dim=0)
        assert rows > other_rows
        assert columns > other_columns
