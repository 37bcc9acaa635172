"""A mask on a wall under one hard lamp, for pictures that are printed, by the studio's own means.

The studio lights a mask softly before nothing. Here a lamp of nine centimeters, two meters away, throws the
mask's shadow on itself and on the wall behind it; the rest of the room gives a tenth. Shadows are looked up
in depth pictures from a dozen places of the lamp (Williams 1978), so that they are sharp where they begin and
softer further away.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from services.exhibition.palette import Image
from services.exhibition.studio import (
    DISTANCE_M,
    FAR_M,
    LitMask,
    Pose,
    developed,
    frames,
    one_thread,
    shade,
    sky_seen,
    soft_test,
    turn_of,
)
from services.rendering.raster import corners_of, visible_pixels
from services.rendering.rig import FILL, KEY, SKY, Material

WALL = (0.24, 0.24, 0.243)  # linear
_TOWARD = (-0.72, 0.58, 0.80)  # from the key's side and height, more from the front: it grazes a wall
_STRONG = 1.12  # times the rig's key
_ROOM = 1.0  # times the rig's sky and fill
_LAMP_M, _AWAY_M = 0.045, 2.1
_PLACES, _MAP_PX = 12, 1024
_BIAS_M = 0.0009
_OFF_WALL_M = 0.006
_BAND = 128
_AROUND = 40  # points across the grid on which the wall's share of the sky is worked out
_GRAIN_M, _GRAIN_CELLS, _GRAIN_TILT = 0.00022, 48, 1.6


def hung(
    mask: LitMask, pose: Pose, size_px: tuple[int, int], field_mm: float, material: Material, at: float = 0.5
) -> Image:
    """A picture uint8 (H, W, 3). size_px: width and height.

    :param field_mm: what the shorter side shows. at: where between top and bottom the mask hangs, from 0 to
        1.
    """
    with one_thread(), torch.inference_mode():
        return _Hung(mask, pose, material).picture(size_px, field_mm, at)


class _Hung:
    """One mask, turned, with the wall that turns with it, in the camera's frame."""

    def __init__(self, mask: LitMask, pose: Pose, material: Material) -> None:
        self.mask, self.pose, self.material = mask, pose, material
        self.turn = turn_of(pose)
        self.places = mask.centered @ self.turn.T
        back = float(mask.centered[:, 2].min()) - _OFF_WALL_M
        self.normal = self.turn[:, 2]
        self.foot = self.normal * back
        # Half as warm as the rig's: what is white is to be white.
        self.power = torch.tensor(KEY.power).sqrt() * _STRONG
        self.toward = torch.nn.functional.normalize(torch.tensor(_TOWARD), dim=0)
        self.reach = float(self.places.norm(dim=1).max())
        self.maps = [self._depths(lamp) for lamp in _over_lamp(self.toward)]

    def picture(self, size_px: tuple[int, int], field_mm: float, at: float) -> Image:
        width, height = size_px
        side = min(width, height)
        left, top = (width - side) // 2, round((height - side) * at)
        focal = side * DISTANCE_M / (field_mm * 1e-3)
        x = (torch.arange(width) + 0.5 - left - side / 2) / focal
        y = -(torch.arange(height) + 0.5 - top - side / 2) / focal
        page = np.empty((height, width, 3), np.uint8)
        open_sky = self._open_sky(x, y)
        for start in range(0, height, _BAND):
            rows = slice(start, start + _BAND)
            page[rows] = self._wall(x, y[rows], open_sky[rows])
        shot = self.mask.shoot(self.pose, side, field_mm, material=self.material, shading=self._shade)
        share = shot[..., 3:].astype(np.float32) / 255
        here = page[top : top + side, left : left + side]
        here[:] = np.rint(share * shot[..., :3] + (1 - share) * here).astype(np.uint8)
        return page

    def _depths(self, lamp: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A place of the lamp, as a direction: right, up, and how far it sees: (px * px,)."""
        right, up = (axis[0] for axis in frames(lamp[None]))
        focal = (_MAP_PX - 8) * FAR_M / (2 * self.reach)
        depth = FAR_M - self.places @ lamp
        across, down = (self.places @ right) * focal, -(self.places @ up) * focal
        corners, special = corners_of(
            across[:, None], down[:, None], depth[:, None], self.mask.finer.triangles, _MAP_PX
        )
        visible = visible_pixels(corners, special, _MAP_PX)
        nearest = torch.full((_MAP_PX * _MAP_PX,), torch.inf)
        nearest[visible.pixel] = 1.0 / visible.inverse_depth
        return torch.stack([lamp, right, up]), nearest, torch.tensor(focal)

    def _lit(self, points: Tensor) -> Tensor:
        """How much of the lamp points (n, 3) see, (n,) from 0 to 1."""
        total = torch.zeros(len(points))
        for axes, nearest, focal in self.maps:
            along, across, up = (points @ axis for axis in axes)
            depth = FAR_M - along
            px, py = across * focal / depth + _MAP_PX / 2, -up * focal / depth + _MAP_PX / 2
            # Beyond the picture's edge there is nothing in the way: its border is empty.
            px, py = px.clamp(1, _MAP_PX - 1), py.clamp(1, _MAP_PX - 1)
            total += soft_test(nearest, px[:, None], py[:, None], depth[:, None], _MAP_PX, _BIAS_M)[:, 0]
        return total / len(self.maps)

    def _shade(self, values: Tensor) -> Tensor:
        """Linear RGB (n, 3) of the mask, of values as the studio's own shading takes them."""
        if self.material.finish.mirror:
            return shade(values, self.material)
        normal = torch.nn.functional.normalize(values[:, :3], dim=1)
        place, sky = values[:, 3:6], values[:, 6:10]
        own = values[:, 10:]
        finish = self.material.finish
        if finish.grain and not own.shape[1]:
            tilt = finish.grain * _GRAIN_TILT * _grains(place @ self.turn)
            normal = torch.nn.functional.normalize(normal + tilt, dim=1)
        albedo = own if own.shape[1] else torch.tensor(self.material.albedo)
        cosine = (normal @ self.toward).clamp(min=0.0)
        seen = self._lit(place + 0.0012 * normal) * cosine
        eye = torch.nn.functional.normalize(torch.tensor([0.0, 0.0, DISTANCE_M]) - place, dim=1)
        half = torch.nn.functional.normalize(eye + self.toward, dim=1)
        peak = (normal * half).sum(1).clamp(min=0.0) ** finish.gloss_power
        total = seen[:, None] * self.power + _ROOM * sky[:, 3:] ** 1.3 * torch.tensor(SKY)
        fill = (normal @ torch.from_numpy(FILL.direction)).clamp(min=0.0)
        total = total + _ROOM * (sky[:, 1] * fill)[:, None] * torch.tensor(FILL.power)
        # The wall gives some of the lamp back to whatever is turned to it.
        back = (0.5 - 0.5 * (normal @ self.normal))[:, None] * sky[:, 3:]
        total = total + 0.5 * back * torch.tensor(WALL) * self.power
        return total * albedo + finish.gloss * (peak * seen)[:, None] * self.power

    def _hits(self, x: Tensor, y: Tensor) -> Tensor:
        """Where rays through (x, y) of the picture, at a meter, meet the wall: (len(y), len(x), 3)."""
        across, up = torch.meshgrid(x, y, indexing="xy")
        way = torch.stack([across, up, -torch.ones_like(across)], dim=-1)
        start = torch.tensor([0.0, 0.0, DISTANCE_M])
        far = (self.normal @ (self.foot - start)) / (way @ self.normal)
        return start + far[..., None] * way

    def _open_sky(self, x: Tensor, y: Tensor) -> Tensor:
        """What share of the half of space before it the wall sees past the mask, (len(y), len(x)): worked out
        on a coarse grid.
        """
        across, up = (torch.linspace(float(way[0]), float(way[-1]), _AROUND) for way in (x, y))
        sky = self.mask.sky @ self.turn.T
        facing = sky @ self.normal
        sky, weight = sky[facing > 0.05], facing[facing > 0.05]
        points = self._hits(across, up).reshape(-1, 3)
        seen = sky_seen(points, self.places, self.mask.finer.triangles, sky, 96)
        coarse = ((seen @ weight) / weight.sum()).view(1, 1, _AROUND, _AROUND)
        size = (len(y), len(x))
        return torch.nn.functional.interpolate(coarse, size, mode="bicubic", align_corners=True)[0, 0]

    def _wall(self, x: Tensor, y: Tensor, open_sky: Tensor) -> Image:
        """Some rows of the wall, uint8 (len(y), len(x), 3)."""
        points = self._hits(x, y).reshape(-1, 3)
        away = self.toward * _AWAY_M - points
        strong = (away @ self.normal).clamp(min=0.0) / away.norm(dim=1) ** 3 * _AWAY_M**2
        total = (self._lit(points) * strong)[:, None] * self.power
        total = total + _ROOM * open_sky.reshape(-1, 1) * torch.tensor(SKY)
        light = total * torch.tensor(WALL)
        # As fine as paint from a roller; without it so even a gray shows bands.
        light = light * (1 + 0.012 * _grains(points @ self.turn)[:, :1])
        solid = torch.cat([light, torch.ones(len(light), 1)], dim=1).view(len(y), len(x), 4)
        return developed(solid)[..., :3]


def _over_lamp(toward: Tensor) -> Tensor:
    """Directions (n, 3) to places spread evenly over the lamp (Vogel's spiral)."""
    right, up = (axis[0] for axis in frames(toward[None]))
    k = torch.arange(_PLACES) + 0.5
    radius, angle = _LAMP_M / _AWAY_M * (k / _PLACES).sqrt(), k * 2.399963
    spread = (radius * angle.cos())[:, None] * right + (radius * angle.sin())[:, None] * up
    return torch.nn.functional.normalize(toward + spread, dim=1)


@cache
def _cells() -> Tensor:
    """Random numbers (1, 3, n + 1, n + 1, n + 1), the last of each axis as the first."""
    drawn = np.random.default_rng(1).standard_normal((3, *3 * (_GRAIN_CELLS,)))
    wrapped = np.pad(drawn, ((0, 0), *3 * ((0, 1),)), mode="wrap")
    return torch.from_numpy(wrapped.astype(np.float32))[None]


def _grains(points: Tensor) -> Tensor:
    """Three smooth random numbers for each of the points (n, 3) of a mask, (n, 3)."""
    place = torch.remainder(points / (_GRAIN_M * _GRAIN_CELLS), 1.0) * 2 - 1
    found = torch.nn.functional.grid_sample(_cells(), place.view(1, 1, 1, -1, 3), align_corners=True)
    return found.view(3, -1).T
