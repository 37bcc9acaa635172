"""A photographer's studio for masks: soft light, real shadows, smooth edges, in plain torch.

Pictures that people look at get more than the scored renders do: a softbox from the upper left, a dim fill,
a rim light from behind, and the shadow that the mask throws on itself. How much of the sky each vertex sees
is worked out once a mask, from depth pictures taken from all around; any pose is then lit by looking the
lights up in it (Sloan, Kautz and Snyder 2002, "Precomputed radiance transfer", with directions in place of
harmonics). One renderer for every machine: a mask gives the same bytes with and without OpenGL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import product
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.errors import BadInput
from services.exhibition.finer import Finer
from services.exhibition.palette import Image
from services.rendering.camera import CENTER_M, Point, least_field_mm, rotations
from services.rendering.normals import vertex_faces_of, vertex_normals
from services.rendering.raster import corners_of, visible_pixels
from services.rendering.rig import LIGHTS, NYLON, SKY, Material
from services.srgb import srgb_to_linear

Vertices = NDArray[np.float32]
Item = TypeVar("Item")
Done = TypeVar("Done")
Shading = Callable[[Tensor], Tensor]  # as :func:`shade`

DISTANCE_M = 1.6  # a portrait lens: far enough that a nose stays in proportion
FAR_M = 60.0  # from here the sky's depth pictures are as good as orthographic
_BIAS_M = 0.0035  # a vertex this far behind what the sky sees still counts as seen
_GRAZING = 0.2  # cosine: a surface that is seen more from the side than this is taken for one seen like this

_WRAP = (0.12, 0.09, 0.07)  # light bleeds past the edge of shadow, red the furthest
_TILE_PX = (
    1024  # samples along a side that are drawn at a time: it bounds memory, whatever the picture's size
)


@dataclass(frozen=True)
class Pose:
    """How a mask is held up: degrees as everywhere in the project (yaw > 0 turns the face toward +X)."""

    yaw_deg: float = 0.0
    pitch_deg: float = 0.0


class Studio:
    """Takes pictures of masks of one topology.

    :param triangles: int (T, 3). center_m: what they are turned about and the camera looks at, the basis's
        center. directions, shadow_px: how many depth pictures shadows are made from, and their size; fewer
        are faster and blotchier. finer: how often each triangle is made four before a picture is taken.
    """

    def __init__(
        self,
        triangles: NDArray[np.int32],
        center_m: Point = CENTER_M,
        *,
        directions: int = 160,
        shadow_px: int = 96,
        finer: int = 0,
    ) -> None:
        self._center = center_m
        self._casting = torch.from_numpy(np.asarray(triangles, np.int64))
        self._faces = vertex_faces_of(self._casting, int(self._casting.max()) + 1)
        self._finer = Finer(triangles, finer)
        self._sky = _sphere(directions)
        self._shadow_px = shadow_px

    @torch.inference_mode()
    def light(self, vertices: Vertices) -> LitMask:
        """Prepare a mask, float32 (V, 3) in meters, for any number of pictures.

        :raises BadInput: where a vertex is not finite.
        """
        if not np.isfinite(vertices).all() or np.abs(vertices).max(initial=0.0) > 5.0:
            raise BadInput("this mask's vertices are not finite, or meters apart; it cannot be pictured")
        coarse = self._centered(vertices)
        with one_thread():
            # What casts the shadows is the mesh as it is: a finer one differs by less than their slack.
            centered, normals = self._finer.places(coarse), self._normals(coarse)
            seen = sky_seen(centered, coarse, self._casting, self._sky, self._shadow_px, normals)
            return self._lit(centered, normals, seen)

    @torch.inference_mode()
    def pass_by(self, vertices: Vertices, before: LitMask, after: LitMask, share: float) -> LitMask:
        """A mask on its way between two others: its shadows are blended from theirs, ten times as quick."""
        with one_thread():
            coarse = self._centered(vertices)
            seen = torch.lerp(before.seen, after.seen, share)
            return self._lit(self._finer.places(coarse), self._normals(coarse), seen)

    def _centered(self, vertices: Vertices) -> Tensor:
        return torch.from_numpy(np.asarray(vertices, np.float32) - np.asarray(self._center, np.float32))

    def _normals(self, coarse: Tensor) -> Tensor:
        # Those of the finer mesh itself would show every edge of the coarse one.
        position = (coarse[:, :1], coarse[:, 1:2], coarse[:, 2:])
        return self._finer.values(torch.cat(vertex_normals(position, self._casting, self._faces), dim=1))

    def _lit(self, centered: Tensor, normals: Tensor, seen: Tensor) -> LitMask:
        return LitMask(centered, normals, self._sky, seen, self._finer, self._center)


@dataclass(frozen=True)
class LitMask:
    """One mask in the studio: places and normals (V, 3), sky directions (K, 3), seen (V, K) from 0 to 1.

    finer: what the vertices were made with. center_m: the basis's center, which places are counted from.
    colors: linear (V, 3), or None for those of the material.
    """

    centered: Tensor
    normals: Tensor
    sky: Tensor
    seen: Tensor
    finer: Finer
    center_m: Point = CENTER_M
    colors: Tensor | None = None

    def painted(self, colors: NDArray[np.uint8]) -> LitMask:
        """The same mask in colors of its own, uint8 sRGB of the vertices that it was given with, (V, 3).

        :raises BadInput: for another shape.
        """
        expected = (self.finer.count, 3)
        if colors.shape != expected or colors.dtype != np.uint8:
            raise BadInput(f"colors: expected uint8 of shape {expected}, got {colors.shape}")
        linear = srgb_to_linear(colors.astype(np.float64) / 255.0).astype(np.float32)
        return replace(self, colors=self.finer.values(torch.from_numpy(linear)))

    def least_field_mm(self, poses: Sequence[Pose], distance_m: float = DISTANCE_M) -> float:
        """The narrowest field of a camera this far away that shows the whole mask in all of the poses."""
        turned = np.stack([turn_of(pose).numpy() for pose in poses])
        return least_field_mm(self.centered.numpy(), turned, distance_m)

    def width_mm(self) -> float:
        """Twice how far the front reaches to a side of the picture's middle, at the mask's center."""
        across = self.centered.numpy() * np.array([1.0, 0.0, 1.0])
        return least_field_mm(across, np.eye(3, dtype=np.float32)[None], DISTANCE_M)

    def shoot(
        self,
        pose: Pose,
        size_px: int,
        field_mm: float,
        samples: int = 2,
        material: Material = NYLON,
        shading: Shading | None = None,
    ) -> Image:
        """A picture uint8 (size, size, 4), straight alpha, sRGB: the mask alone on nothing.

        :param field_mm: width of the picture at the mask's center. samples: squared per pixel. Large pictures
            are made in tiles, which give the same pixels. shading: in place of the studio's own lamps.
        """
        shading = shading or partial(shade, material=material)
        with one_thread():
            return self._shoot(pose, size_px, field_mm, samples, shading)

    @torch.inference_mode()
    def _shoot(self, pose: Pose, size_px: int, field_mm: float, samples: int, shading: Shading) -> Image:
        side = size_px * samples
        turn = turn_of(pose)
        place, normals = self.centered @ turn.T, self.normals @ turn.T
        attributes = [normals, place, self._light_seen(turn)]
        if self.colors is not None:
            attributes.append(self.colors)

        focal = side * DISTANCE_M / (field_mm * 1e-3)
        depth = DISTANCE_M - place[:, 2]
        flat = torch.stack([place[:, 0] * focal / depth, -place[:, 1] * focal / depth, 1.0 / depth], dim=1)
        sheet = _Sheet(self.finer.triangles, torch.cat(attributes, dim=1), flat, samples, shading)
        tile = max(_TILE_PX // samples, 1)
        if size_px <= tile:
            return sheet.tile(0, 0, size_px, side)
        picture = np.zeros((size_px, size_px, 4), np.uint8)
        for top, left in product(range(0, size_px, tile), repeat=2):
            part = sheet.tile(left, top, tile, side)
            picture[top : top + tile, left : left + tile] = part[: size_px - top, : size_px - left]
        return picture

    def _light_seen(self, turn: Tensor) -> Tensor:
        """Share of each light, and of the sky, that each vertex sees: (V, lights + 1)."""
        sky = self.sky @ turn.T
        columns = []
        for light in LIGHTS:
            toward = torch.from_numpy(light.direction)
            weight = ((sky @ toward - 1.0) / light.spread).exp()
            columns.append(self.seen @ (weight / weight.sum()))
        # The sky is brighter above, and only its half above a surface can light it.
        above = (self.normals @ self.sky.T).abs() * (1.0 + 0.6 * sky[:, 1])
        half = 2.0 * (self.seen * above).sum(1) / above.sum(1)
        columns.append(half.clamp(max=1.0))
        return torch.stack(columns, dim=1)


def turn_of(pose: Pose) -> Tensor:
    """The rotation (3, 3) of a pose."""
    angles = [np.array([a], np.float32) for a in (pose.yaw_deg, pose.pitch_deg, 0.0)]
    return torch.from_numpy(rotations(*angles)[0])


@dataclass(frozen=True)
class _Sheet:
    """One pose, ready to be drawn piece by piece. flat: (V, 3), x and y in samples from the middle, 1 /
    depth.
    """

    triangles: Tensor
    attributes: Tensor
    flat: Tensor
    samples: int
    shading: Shading

    def tile(self, left: int, top: int, size_px: int, side: int) -> Image:
        """Pixels (size, size, 4) of a picture of ``side`` samples, from a pixel on."""
        samples, edge = self.samples, size_px * self.samples
        shift_x = side / 2 - left * samples - edge / 2
        shift_y = side / 2 - top * samples - edge / 2
        x, y, depth = self.flat[:, 0] + shift_x, self.flat[:, 1] + shift_y, 1.0 / self.flat[:, 2]
        corners, special = corners_of(
            (x * depth)[:, None], (y * depth)[:, None], depth[:, None], self.triangles, edge
        )
        visible = visible_pixels(corners, special, edge)

        # Samples of a pixel are averaged as surface, then lit once: the light is smooth, edges are in alpha.
        flat = torch.stack([x, y, self.flat[:, 2]], dim=1)
        sampled = _interpolate(visible.pixel, self.triangles[visible.triangle], flat, self.attributes, edge)
        normal = _toward_eye(sampled[:, :3], sampled[:, 3:6])
        surface = torch.zeros(edge * edge, self.attributes.shape[1] + 1)
        surface[visible.pixel] = torch.cat([normal, sampled[:, 3:], torch.ones(len(normal), 1)], dim=1)
        cells = surface.view(size_px, samples, size_px, samples, -1)
        total = torch.zeros_like(cells[:, 0, :, 0])
        for row, column in product(range(samples), repeat=2):
            total += cells[:, row, :, column]
        mean = total.flatten(0, 1)
        drawn = mean[:, -1].nonzero()[:, 0]
        found = mean[drawn]
        picture = torch.zeros(size_px * size_px, 4)
        picture[drawn, :3] = self.shading(found[:, :-1] / found[:, -1:])
        picture[drawn, 3] = found[:, -1] / samples**2
        return developed(picture.view(size_px, size_px, 4))


def _interpolate(pixel: Tensor, corner: Tensor, flat: Tensor, attributes: Tensor, side: int) -> Tensor:
    """Perspective-correct attributes (h, a) of pixels (h,) in triangles with corner vertices (h, 3)."""
    px = (pixel % side).float() + (0.5 - side / 2)
    py = torch.div(pixel, side, rounding_mode="floor").float() + (0.5 - side / 2)
    a, b, c = (flat[corner[:, k]] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
    wb = ((px - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (py - a[:, 1])) / area
    wc = ((b[:, 0] - a[:, 0]) * (py - a[:, 1]) - (px - a[:, 0]) * (b[:, 1] - a[:, 1])) / area
    weights = torch.stack([1.0 - wb - wc, wb, wc], dim=1).clamp(0.0, 1.0)
    weights = weights * torch.stack([a[:, 2], b[:, 2], c[:, 2]], dim=1)
    weights = weights / weights.sum(1, keepdim=True)
    total = weights[:, :1] * attributes[corner[:, 0]]
    for k in (1, 2):
        total += weights[:, k : k + 1] * attributes[corner[:, k]]
    return total


def _toward_eye(normals: Tensor, places: Tensor) -> Tensor:
    """Normals (h, 3) turned to the camera's side: a fold shows its other side, lit like the first."""
    eye = torch.tensor([0.0, 0.0, DISTANCE_M]) - places
    return torch.where((normals * eye).sum(1, keepdim=True) < 0, -normals, normals)


def shade(values: Tensor, material: Material) -> Tensor:
    """Linear RGB (h, 3) from normal, place (camera frame), seen lights (h, lights + 1) and, last, own
    color.
    """
    normal = torch.nn.functional.normalize(values[:, :3], dim=1)
    eye = torch.nn.functional.normalize(torch.tensor([0.0, 0.0, DISTANCE_M]) - values[:, 3:6], dim=1)
    facing = (normal * eye).sum(1, keepdim=True).clamp(0.0, 1.0)

    seen = values[:, 6 : 7 + len(LIGHTS)]
    own = values[:, 7 + len(LIGHTS) :]
    albedo = own if own.shape[1] else torch.tensor(material.albedo)
    wrap = torch.tensor(_WRAP)
    total = seen[:, -1:] ** 1.3 * torch.tensor(SKY) * (0.75 + 0.25 * normal[:, 1:2])
    shine = torch.zeros_like(facing)
    for k, light in enumerate(LIGHTS):
        toward = torch.from_numpy(light.direction)
        cosine = (normal @ toward)[:, None]
        bleed = ((cosine + wrap) / (1.0 + wrap)).clamp(min=0.0)
        total = total + seen[:, k : k + 1] * bleed * torch.tensor(light.power)
        half = torch.nn.functional.normalize(eye + toward, dim=1)
        peak = (normal * half).sum(1, keepdim=True).clamp(min=0.0) ** material.finish.gloss_power
        fresnel = material.finish.gloss * (0.35 + 0.65 * (1.0 - facing) ** 4)
        shine = shine + fresnel * peak * (cosine > 0) * seen[:, k : k + 1] * light.power[1] * 3.0
    matt = total * albedo + shine
    if material.finish.mirror == 0.0:
        return matt
    away = 2.0 * (normal * eye).sum(1, keepdim=True) * normal - eye
    reflected = _surroundings(away) * torch.tensor(material.albedo) * (0.25 + 0.75 * seen[:, -1:])
    return torch.lerp(matt, reflected, material.finish.mirror)


def _surroundings(toward: Tensor) -> Tensor:
    """What a mirror sees in directions (h, 3): a dark room, a pale ceiling, and the lamps as soft boxes."""
    up = toward[:, 1:2]
    room = torch.tensor(SKY) * (0.25 + 2.6 * (up.clamp(min=0.0) ** 1.5))
    floor = torch.tensor([0.035, 0.032, 0.030]) * (-up).clamp(min=0.0)
    total = room + floor
    for light in LIGHTS:
        near = toward @ torch.from_numpy(light.direction)
        width = 1.0 - 1.6 * light.spread
        box = torch.sigmoid((near - width) * 36.0)[:, None]
        total = total + box * torch.tensor(light.power) * 1.5
    return total


def developed(linear: Tensor) -> Image:
    """Linear color and alpha (H, W, 4) to sRGB bytes, highlights rolled off."""
    color, alpha = linear[..., :3], linear[..., 3:]
    color = color * (1.0 + color / 2.2) / (1.0 + color)  # Reinhard's curve with white at 1.5
    color = color.clamp(0.0, 1.0) * 1.12
    color = torch.where(color <= 0.0031308, color * 12.92, 1.055 * color.clamp(min=1e-6) ** (1 / 2.4) - 0.055)
    picture = torch.cat([color.clamp(0.0, 1.0), alpha], dim=-1) * (alpha > 0)
    developed: Image = (picture * 255.0 + 0.5).to(torch.uint8).numpy()
    return developed


@lru_cache(maxsize=4)
def _sphere(count: int) -> Tensor:
    """``count`` directions spread evenly over the sphere (Fibonacci lattice): (count, 3) float32."""
    k = np.arange(count) + 0.5
    height = 1.0 - 2.0 * k / count
    angle = k * (np.pi * (1.0 + 5.0**0.5))
    radius = np.sqrt(1.0 - height**2)
    return torch.from_numpy(
        np.stack([radius * np.cos(angle), height, radius * np.sin(angle)], 1).astype(np.float32)
    )


def sky_seen(
    points: Tensor,
    casting: Tensor,
    triangles: Tensor,
    sky: Tensor,
    size: int,
    normals: Tensor | None = None,
) -> Tensor:
    """Whether each of the points (V, 3) sees each direction past a mesh: (V, K) from 0 to 1, soft at shadow
    edges. casting: the mesh's vertices. normals: (V, 3) of the surface that the points lie on, if they do: a
    depth picture sees it in steps, which are no shadow of it on itself.
    """
    middle = (casting.amax(0) + casting.amin(0)) / 2
    local, points = casting - middle, points - middle
    reach = max(float(each.norm(dim=1).max()) for each in (local, points))
    focal = (size - 4) * FAR_M / (2.0 * reach + 1e-6)
    right, up = frames(sky)
    parts = []
    for start in range(0, len(sky), 40):
        k = torch.arange(start, min(start + 40, len(sky)))
        x, y = (local @ right[k].T) * focal, -(local @ up[k].T) * focal
        depth = FAR_M - local @ sky[k].T
        corners, special = corners_of(x, y, depth, triangles, size)
        visible = visible_pixels(corners, special, size)
        nearest = torch.full((len(k) * size * size,), torch.inf)
        nearest[visible.pixel] = 1.0 / visible.inverse_depth
        x, y = (points @ right[k].T) * focal, -(points @ up[k].T) * focal
        depth = FAR_M - points @ sky[k].T
        slope = None
        if normals is not None:
            facing = normals @ sky[k].T
            side = torch.where(facing < 0, -1.0, 1.0)  # a fold is lit from its back, too
            a_pixel = side * depth / focal / facing.abs().clamp(min=_GRAZING)
            slope = (normals @ right[k].T) * a_pixel, -(normals @ up[k].T) * a_pixel
        parts.append(soft_test(nearest, x / depth + size / 2, y / depth + size / 2, depth, size, slope=slope))
    return torch.cat(parts, dim=1)


def soft_test(
    nearest: Tensor,
    px: Tensor,
    py: Tensor,
    depth: Tensor,
    size: int,
    bias_m: float = _BIAS_M,
    slope: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Percentage-closer filtering (Reeves, Salesin and Cook 1987): four comparisons, blended.

    nearest: how far pictures of size squared see, (K * size * size,). px, py, depth: points in them, (n, K).
    slope: how much deeper a point's surface lies a pixel to the right, and a pixel below, (n, K) each
    (Isidoro 2006, "Shadow mapping: GPU-based tips and techniques"); level without.
    """
    left, top = (px - 0.5).floor(), (py - 0.5).floor()
    fx, fy = px - 0.5 - left, py - 0.5 - top
    base = torch.arange(px.shape[1])[None] * (size * size)
    total = torch.zeros_like(px)
    for dx, wx in ((0, 1 - fx), (1, fx)):
        for dy, wy in ((0, 1 - fy), (1, fy)):
            column = (left.long() + dx).clamp(0, size - 1)
            row = (top.long() + dy).clamp(0, size - 1)
            here = depth
            if slope is not None:
                here = depth + (dx - fx) * slope[0] + (dy - fy) * slope[1]
            total += wx * wy * (here <= nearest[base + row * size + column] + bias_m)
    return total


def frames(sky: Tensor) -> tuple[Tensor, Tensor]:
    """Right and up vectors (K, 3) of cameras that look along -sky."""
    helper = torch.where(
        sky[:, 1:2].abs() < 0.9, torch.tensor([0.0, 1.0, 0.0]), torch.tensor([1.0, 0.0, 0.0])
    )
    right = torch.nn.functional.normalize(torch.linalg.cross(helper, sky), dim=1)
    return right, torch.linalg.cross(sky, right)


def dressed(lit: Sequence[LitMask], colors: NDArray[np.uint8] | None) -> list[LitMask]:
    """The masks in colors of their own, uint8 (n, V, 3); as they are where there are none."""
    if colors is None:
        return list(lit)
    return [mask_lit.painted(own) for mask_lit, own in zip(lit, colors, strict=True)]


def one_by_one(task: Callable[[Item], Done], items: Iterable[Item]) -> list[Done]:
    """``task`` of every item on one thread. Two large pictures at a time would take half a gigabyte more."""
    with one_thread():
        return [task(item) for item in items]


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread: bytes do not depend on the count, and pictures can be taken side by side."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
