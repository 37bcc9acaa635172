"""The batched renderer: every mask under every view, in torch, on whatever device the vertices are on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.errors import BadInput
from services.rendering import jpeg, sensor
from services.rendering.camera import CENTER_M, NEAR_M, Cameras, Point, cameras, light_directions
from services.rendering.drawing import Floats, draw
from services.rendering.materials import material
from services.rendering.normals import Triple, vertex_faces_of, vertex_normals
from services.rendering.renderer import Rendered
from services.rendering.shading import Fragments, attribute, lambert_and_highlight, rasterize, surface
from services.rendering.views import Views
from services.srgb import srgb_to_linear

_FARTHEST_M = 1000.0

Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class _Chunk:
    """What is rendered together at most. Fewer pictures pay more for each call into torch; pixels bound the
    memory of large pictures, triangles that of fine meshes.
    """

    pictures: int
    pixels: int
    triangles: int


_ON_CPU = _Chunk(pictures=32, pixels=1 << 20, triangles=1 << 21)  # more falls out of a core's cache
_ON_GPU = _Chunk(pictures=512, pixels=1 << 24, triangles=1 << 22)


@dataclass(frozen=True)
class _Scene:
    """One chunk of views on the device; every tensor has a first dimension of v."""

    cameras: Cameras
    rotation: Tensor
    distance: Tensor
    focal: Tensor
    toward_light: Tensor
    ambient: Tensor
    light: Tensor
    specular: Tensor
    background: Tensor
    exposure: Tensor
    taps: Tensor
    noise: Tensor
    albedo: Tensor
    jpeg: tuple[Tensor, Tensor] | None

    @cached_property
    def compiled(self) -> tuple[Floats, Floats, Floats, Floats, Floats, Floats, Floats]:
        """What :func:`services.rendering.drawing.draw` takes of a scene, on a CPU."""
        columns = (self.ambient, self.light, self.specular, self.exposure)
        lights = torch.stack([column[:, 0, 0] for column in columns], dim=1)
        albedo = self.albedo[:, :, 0, 0].T.contiguous()
        return (
            (1.0 / self.focal).numpy(),
            self.toward_light.numpy(),
            lights.numpy(),
            self.background[:, :, 0].numpy(),
            albedo.numpy(),
            self.taps.numpy(),
            self.noise.numpy(),
        )

    @property
    def count(self) -> int:
        return self.rotation.shape[0]


class TorchRenderer:
    """Renders masks of one topology; implements :class:`services.rendering.renderer.Renderer`.

    ``triangles`` int64 (T, 3); ``vertex_faces`` int64 (V, K) padded with T, made here where it is not given;
    ``center_m``: what the cameras look at, the basis's center. On a CPU :mod:`services.rendering.drawing`
    draws, to the same bytes, unless ``compiled`` is false.
    """

    def __init__(
        self,
        triangles: Tensor,
        vertex_faces: Tensor | None = None,
        device: torch.device | str = "cpu",
        vertex_count: int | None = None,
        compiled: bool = True,
        center_m: Point = CENTER_M,
    ) -> None:
        self.device = torch.device(device)
        self.triangles = triangles.to(self.device, torch.int64).contiguous()
        if vertex_faces is None:
            count = int(triangles.max()) + 1 if vertex_count is None else vertex_count
            vertex_faces = vertex_faces_of(self.triangles, count)
        self.vertex_faces = vertex_faces.to(self.device, torch.int64)
        self._latest: tuple[Views, list[tuple[slice, _Scene]]] | None = None
        self._compiled = compiled and self.device.type == "cpu"
        self._center = center_m
        self._chunk = _ON_CPU if self.device.type == "cpu" else _ON_GPU
        self._table = sensor.encoding_table(self.device)

    @torch.inference_mode()
    def render(
        self, vertices: Tensor, views: Views, landmarks: Tensor, colors: Tensor | None = None
    ) -> Rendered:
        """Render every mask under every view.

        ``vertices`` float32 (n, V, 3) in meters; ``landmarks`` int64 (L,) vertex indices; ``colors`` float32
        (n, V, 3), display values (sRGB) in 0 to 1 of each vertex, in place of the one skin color. Arguments
        are not changed. Raises :class:`BadInput` where a shape does not fit the topology.
        """
        vertices, colors = self.checked(vertices), self._linear(vertices, colors)
        out = self._empty(vertices, views, landmarks)
        # A mask that is not finite becomes one point: its triangles have no area, and nothing of it is drawn.
        safe = torch.where(out.usable[:, None, None], vertices, 0.0)
        landmarks = landmarks.to(self.device)
        together = self._together(views.size_px)
        view_step = max(1, min(len(views), together))
        mask_step = together // view_step
        for view_part, scene in self._scenes(views, view_step):
            for first_mask in range(0, len(vertices), mask_step):
                mask_part = slice(first_mask, first_mask + mask_step)
                tint = None if colors is None else colors[mask_part]
                self._render_chunk(safe[mask_part], tint, scene, landmarks, _part(out, mask_part, view_part))
        return out

    @torch.inference_mode()
    def render_each(
        self, vertices: Tensor, views: Views, landmarks: Tensor, colors: Tensor | None = None
    ) -> Rendered:
        """Render mask k under view k alone; the result has n masks with one view each.

        As many views as masks; other arguments and errors as in :meth:`render`. A picture has the bytes that
        :meth:`render` gives it.
        """
        vertices, colors = self.checked(vertices), self._linear(vertices, colors)
        if len(views) != len(vertices):
            raise BadInput(f"views: expected one for each of {len(vertices)} masks, got {len(views)}")
        usable = self.usable(vertices)
        safe = torch.where(usable[:, None, None], vertices, 0.0)
        out = self._empty(vertices.new_zeros(1, 1, 3), views, landmarks)
        landmarks = landmarks.to(self.device)
        together = self._together(views.size_px)
        for first in range(0, len(views), together):
            part = slice(first, first + together)
            scene = self._scene(views.take(part))
            tint = None if colors is None else colors[part]
            self._render_chunk(safe[part], tint, scene, landmarks, _part(out, slice(1), part), each=True)
        seen = usable[:, None]
        return Rendered(
            images=out.images[0][:, None],
            points_px=torch.where(seen[..., None], out.points_px[0], 0.0)[:, None],
            box_px=torch.where(seen, out.box_px[0], 0.0)[:, None],
            coverage=out.coverage[0][:, None],
            usable=usable,
        )

    @torch.inference_mode()
    def triangle_map(self, vertices: Tensor, views: Views) -> Tensor:
        """Which triangle every pixel shows: int64 (n, v, S, S), -1 for none. Arguments as in render."""
        vertices = self.checked(vertices)
        size = views.size_px
        safe = torch.where(self.usable(vertices)[:, None, None], vertices, 0.0)
        found = torch.full((len(vertices), len(views), size, size), -1, device=self.device)
        together = self._together(size)
        for first in range(0, len(views), together):
            part = slice(first, first + together)
            scene = self._scene(views.take(part))
            for mask in range(len(vertices)):
                position = _split(safe[mask : mask + 1])
                place = self._into_cameras(position, scene, 1, scene.count)
                visible = rasterize(*place, self.triangles, size).visible
                shown = torch.div(visible.triangle, scene.count, rounding_mode="floor")
                found[mask, part].view(-1)[visible.pixel] = shown
        return found

    @torch.inference_mode()
    def develop(
        self,
        vertices: Tensor,
        views: Views,
        landmarks: Tensor,
        lambert: Tensor,
        highlight: Tensor,
        covered: Tensor,
    ) -> Rendered:
        """Make pictures of factors that another rasterizer found: float32, float32 and bool (n, v, S, S)."""
        vertices = self.checked(vertices)
        out = self._empty(vertices, views, landmarks)
        scene = self._scene(views)
        safe = torch.where(out.usable[:, None, None], vertices, 0.0)
        self._develop(lambert, highlight, covered, None, scene, out)
        self._compress(scene, out)
        place = self._into_cameras(_split(safe), scene, len(safe), scene.count)
        self._measure(place, landmarks.to(self.device), _counted(covered), out)
        return out

    def _together(self, size_px: int) -> int:
        """How many pictures of that side to draw at a time."""
        most = self._chunk
        by_triangles = most.triangles // max(1, len(self.triangles))
        return max(1, min(most.pictures, most.pixels // size_px**2, by_triangles))

    def checked(self, vertices: Tensor) -> Tensor:
        """``vertices`` on this device as float32; :class:`BadInput` where the shape does not fit."""
        count = self.vertex_faces.shape[0]
        if vertices.ndim != 3 or tuple(vertices.shape[1:]) != (count, 3):
            raise BadInput(f"vertices: expected shape (n, {count}, 3), got {tuple(vertices.shape)}")
        return vertices.to(self.device, torch.float32)

    def usable(self, vertices: Tensor) -> Tensor:
        """Which masks (n, V, 3) can be drawn: bool (n,)."""
        return (vertices.abs() <= _FARTHEST_M).flatten(1).all(dim=1)

    def _linear(self, vertices: Tensor, colors: Tensor | None) -> Tensor | None:
        if colors is None:
            return None
        if colors.shape != vertices.shape:
            raise BadInput(f"colors: expected shape {tuple(vertices.shape)}, got {tuple(colors.shape)}")
        display = colors.to(self.device).double().clamp(0, 1)
        curve = ((display + 0.055) / 1.055).pow(2.4)
        return torch.where(display <= 0.04045, display / 12.92, curve).float()

    def _empty(self, vertices: Tensor, views: Views, landmarks: Tensor) -> Rendered:
        masks, count, size = len(vertices), len(views), views.size_px
        return Rendered(
            images=torch.empty(masks, count, size, size, 3, dtype=torch.uint8, device=self.device),
            points_px=torch.empty(masks, count, len(landmarks), 2, device=self.device),
            box_px=torch.empty(masks, count, 4, device=self.device),
            coverage=torch.empty(masks, count, device=self.device),
            usable=self.usable(vertices),
        )

    def _scenes(self, views: Views, step: int) -> list[tuple[slice, _Scene]]:
        """The views in chunks of ``step``, kept until others come: many masks are seen under the same."""
        latest = self._latest
        if latest is not None and latest[0] is views:
            return latest[1]
        parts = [slice(first, first + step) for first in range(0, len(views), step)]
        scenes = [(part, self._scene(views.take(part))) for part in parts]
        self._latest = (views, scenes)
        return scenes

    def _scene(self, views: Views) -> _Scene:
        cams = cameras(views)
        return _Scene(
            cameras=cams,
            rotation=self._tensor(cams.rotation),
            distance=self._tensor(cams.distance_m),
            focal=self._tensor(cams.focal_px),
            toward_light=self._tensor(light_directions(views)),
            ambient=self._column(views.ambient),
            light=self._column(views.light),
            specular=self._column(views.specular),
            background=self._tensor(backgrounds(views))[:, :, None],
            exposure=self._column(views.exposure),
            taps=self._tensor(sensor.blur_weights(views.blur_px)),
            noise=sensor.sensor_noise(
                self._tensor(views.noise_seed), self._tensor(views.noise), views.size_px
            ),
            albedo=self._materials(views),
            jpeg=_compression(views, self.device),
        )

    def _materials(self, views: Views) -> Tensor:
        """Linear colors (3, v, 1, 1) of the mask in each view."""
        white, level = np.asarray(views.print_white), np.asarray(views.print_level)
        own = np.stack([srgb_to_linear(color) for color in np.asarray(views.material_srgb)], axis=1)
        nylon = srgb_to_linear(np.array(material("nylon").srgb))
        mixed = (own * (1 - white) + nylon[:, None] * white) * level
        return self._tensor(mixed.astype(np.float32))[:, :, None, None]

    def _render_chunk(
        self,
        vertices: Tensor,
        colors: Tensor | None,
        scene: _Scene,
        landmarks: Tensor,
        out: Rendered,
        each: bool = False,
    ) -> None:
        # With one view for each mask, the chunk is that of a single mask whose vertices differ by view.
        masks, views = (1, 1) if each else (vertices.shape[0], scene.count)
        position = _split(vertices)
        normals = vertex_normals(position, self.triangles, self.vertex_faces)
        place = self._into_cameras(position, scene, masks, views)
        normals = _turned(_spread(normals, views), scene.rotation.repeat(masks, 1, 1))

        covered = None
        if self._compiled:
            covered = self._draw_compiled(place, normals, colors, scene, out.images)
        if covered is None:
            covered = self._draw_in_torch(place, normals, colors, scene, out)
        self._compress(scene, out)
        self._measure(place, landmarks, covered.view(masks, scene.count), out)

    def _draw_compiled(
        self, place: Triple, normals: Triple, colors: Tensor | None, scene: _Scene, images: Tensor
    ) -> Tensor | None:
        """Draw a chunk by :mod:`drawing`; covered pixels int32 (B,) of its pictures, None where it cannot."""
        x, y, depth = place
        covered = torch.empty(x.shape[1], dtype=torch.int32)
        masks = 1 if colors is None else len(colors)
        tints = torch.empty(3, 0, masks) if colors is None else colors.permute(2, 1, 0).contiguous()
        drawn = draw(
            x.numpy(),
            y.numpy(),
            depth.numpy(),
            (normals[0].numpy(), normals[1].numpy(), normals[2].numpy()),
            tints.numpy(),
            self.triangles.numpy(),
            *scene.compiled,
            self._table.numpy(),
            images.view(-1, *images.shape[2:]).numpy(),  # no copy, or what is drawn would be lost
            covered.numpy(),
        )
        return covered if drawn else None

    def _draw_in_torch(
        self, place: Triple, normals: Triple, colors: Tensor | None, scene: _Scene, out: Rendered
    ) -> Tensor:
        """Draw a chunk by operations over all of it; covered pixels int32 (m, v)."""
        masks, views, size = out.images.shape[:3]
        shape = (masks, views, size, size)
        fragments = rasterize(*place, self.triangles, size)
        visible = fragments.visible
        seen = surface(normals, self.triangles, fragments, (1.0 / scene.focal).repeat(masks))
        lambert, highlight = lambert_and_highlight(seen, scene.toward_light.repeat(masks, 1))

        covered = visible.covered.view(shape)
        repeats = place[0].shape[1] // len(colors) if colors is not None else 1
        tint = None if colors is None else self._tints(colors, fragments, repeats, shape)
        lambert, highlight = (_paint(value, visible.pixel, shape) for value in (lambert, highlight))
        self._develop(lambert, highlight, covered, tint, scene, out)
        return _counted(covered)

    def _develop(
        self,
        lambert: Tensor,
        highlight: Tensor,
        covered: Tensor,
        tint: list[Tensor] | None,
        scene: _Scene,
        out: Rendered,
    ) -> None:
        """From light factors (m, v, S, S) to 8 bits: strengths, background, exposure, blur, encoding, noise.

        With one color for the whole mask, the colored and the neutral light are blurred as two planes, not
        three.
        """
        colored = lambert.mul(scene.light).add_(scene.ambient).mul_(covered).mul_(scene.exposure)
        shine = highlight.mul(scene.specular).mul_(scene.light)
        neutral = torch.where(covered, shine, scene.background).mul_(scene.exposure)
        neutral = sensor.blur(neutral, scene.taps)
        if tint is None:
            colored = sensor.blur(colored, scene.taps)
            channels = [(colored * scene.albedo[k]).add_(neutral) for k in range(3)]
        else:
            channels = [sensor.blur(t * colored, scene.taps).add_(neutral) for t in tint]
        for k, channel in enumerate(channels):
            level = sensor.encode(channel, self._table).add_(scene.noise[k])
            out.images[..., k] = level.add_(0.5).clamp_(0, 255).to(torch.uint8)

    def _compress(self, scene: _Scene, out: Rendered) -> None:
        """Make JPEG files of the views that want it, and read them again."""
        if scene.jpeg is not None:
            where, quality = scene.jpeg
            files = out.images[:, where]
            again = jpeg.compressed(files.flatten(0, 1), quality.repeat(len(files)))
            out.images[:, where] = again.view(files.shape)

    def _into_cameras(self, position: Triple, scene: _Scene, masks: int, views: int) -> Triple:
        """Camera coordinates times focal length in px * m (y down), and depths in m: three (V, masks *
        views).
        """
        centered = (
            position[0] - self._center[0],
            position[1] - self._center[1],
            position[2] - self._center[2],
        )
        x, y, z = _turned(_spread(centered, views), scene.rotation.repeat(masks, 1, 1))
        focal = scene.focal.repeat(masks)
        return x.mul_(focal), y.mul_(-focal), scene.distance.repeat(masks) - z

    def _tints(self, colors: Tensor, fragments: Fragments, views: int, shape: Shape) -> list[Tensor]:
        """Linear color planes (m, v, S, S) of vertex colors, one for each channel."""
        tints = []
        for channel in _spread(_split(colors), views):
            plane = attribute(channel, self.triangles, fragments.corners, fragments.special)
            value = plane.over_depth(fragments.visible, fragments.x, fragments.y)
            value.div_(fragments.visible.inverse_depth).clamp_(0.0, 1.0)
            tints.append(_paint(value, fragments.visible.pixel, shape))
        return tints

    def _measure(self, place: Triple, landmarks: Tensor, covered: Tensor, out: Rendered) -> None:
        """Where the mask lies in each picture; ``covered`` int32 (m, v): pixels that show it."""
        x, y, depth = place
        (masks, views), size = covered.shape, out.images.shape[2]
        usable = out.usable[:, None].expand(masks, views)
        front = depth > NEAR_M
        inverse = 1.0 / depth.clamp(min=NEAR_M)
        px, py = x * inverse + size / 2, y * inverse + size / 2
        points = torch.stack([px.index_select(0, landmarks), py.index_select(0, landmarks)], dim=-1)
        points = points.transpose(0, 1).reshape(masks, views, len(landmarks), 2)
        out.points_px.copy_(torch.where(usable[..., None, None], points, 0.0))
        box = torch.stack([px.amin(0), py.amin(0), px.amax(0), py.amax(0)], dim=-1).clamp_(0, size)
        # Behind the near plane a vertex projects to nowhere: the mask is all around, take the whole picture.
        whole = torch.tensor([0.0, 0.0, size, size], device=box.device)
        box = torch.where(front.all(dim=0)[:, None], box, whole).view(masks, views, 4)
        out.box_px.copy_(torch.where(usable[..., None], box, 0.0))
        out.coverage.copy_(covered.float().div_(size * size))

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        return torch.tensor(array, device=self.device)

    def _column(self, array: NDArray[np.generic]) -> Tensor:
        return self._tensor(array)[:, None, None]


def _counted(covered: Tensor) -> Tensor:
    """Covered pixels int32 (m, v) of bool (m, v, S, S)."""
    return covered.sum(dim=(2, 3), dtype=torch.int32)


def backgrounds(views: Views) -> NDArray[np.float32]:
    """Linear gray of every view's background, row by row: (v, S). The slope is even in display values."""
    height = 0.5 - (np.arange(views.size_px) + 0.5) / views.size_px
    level = views.background[:, None].astype(np.float64) + views.background_slope[:, None] * height
    return srgb_to_linear(np.clip(level, 0.0, 1.0)).astype(np.float32)


def _compression(views: Views, device: torch.device) -> tuple[Tensor, Tensor] | None:
    """Which views (k,) become JPEG files, and in what quality (k,), on the CPU; None where none does."""
    quality = np.rint(np.asarray(views.jpeg_quality)).astype(np.int64)
    where = np.flatnonzero(quality >= 1)
    if not len(where):
        return None
    return torch.from_numpy(where).to(device), torch.from_numpy(quality[where])


def _part(out: Rendered, masks: slice, views: slice) -> Rendered:
    """The part of the result that one chunk writes to; shares memory."""
    return Rendered(
        images=out.images[masks, views],
        points_px=out.points_px[masks, views],
        box_px=out.box_px[masks, views],
        coverage=out.coverage[masks, views],
        usable=out.usable[masks],
    )


def _split(points: Tensor) -> Triple:
    """(m, V, 3) to x, y and z as (V, m), contiguous."""
    x, y, z = points.permute(2, 1, 0).contiguous()
    return x, y, z


def _spread(triple: Triple, views: int) -> Triple:
    """(V, m) to (V, m * views), each mask's column repeated for its views."""
    x, y, z = (t[:, :, None].expand(-1, -1, views).reshape(t.shape[0], -1) for t in triple)
    return x, y, z


def _turned(triple: Triple, rotation: Tensor) -> Triple:
    """Rotate (V, B) coordinates, each column by its own matrix of ``rotation`` (B, 3, 3)."""
    x, y, z = triple
    r = rotation.permute(1, 2, 0).contiguous()
    turned = [(x * r[i, 0]).add_(y * r[i, 1]).add_(z * r[i, 2]) for i in range(3)]
    return turned[0], turned[1], turned[2]


def _paint(values: Tensor, pixel: Tensor, shape: Shape) -> Tensor:
    """Write one value for each covered pixel into zeros; no pixel comes twice."""
    canvas = torch.zeros(shape, device=values.device)
    canvas.view(-1).index_copy_(0, pixel, values)
    return canvas
