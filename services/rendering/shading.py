"""Light on the covered pixels: smooth normals, diffuse light and a Blinn-Phong highlight, on both sides."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from services.rendering.gather import pick
from services.rendering.normals import Triple
from services.rendering.raster import Corners, Plane, Special, Visible, corners_of, visible_pixels
from services.rendering.rounding import root


@dataclass(frozen=True)
class Fragments:
    """What rasterization found: triangles' corners, visible pixels, and where those lie.

    ``x``, ``y`` float32 (h,): pixels from the picture's center, y down; ``picture`` int64 (h,).
    """

    corners: Corners
    special: Special
    visible: Visible
    x: Tensor
    y: Tensor
    picture: Tensor


def rasterize(x: Tensor, y: Tensor, depth: Tensor, triangles: Tensor, size: int) -> Fragments:
    """Find what every pixel shows; arguments as in :func:`services.rendering.raster.corners_of`."""
    corners, special = corners_of(x, y, depth, triangles, size)
    visible = visible_pixels(corners, special, size)
    return Fragments(corners, special, visible, *pixel_positions(visible.pixel, size))


@dataclass(frozen=True)
class Surface:
    """What the covered pixels show, in the camera frame; all (h,) float32.

    ``normal``: unit, on the side that the camera sees. ``toward_camera``: unit. ``picture`` int64 (h,).
    """

    normal: Triple
    toward_camera: Triple
    picture: Tensor


@dataclass(frozen=True)
class Attribute:
    """A quantity of the vertices over depth, as planes over the picture: three (T * B,) arrays.

    An attribute divided by depth is linear in the picture, which is all of perspective-correct interpolation:
    ``(a * x + b * y + c) / inverse_depth`` at x and y pixels from the center.
    """

    plane: Plane

    def over_depth(self, visible: Visible, x: Tensor, y: Tensor) -> Tensor:
        """The attribute over depth at the covered pixels (h,)."""
        a, b, c = self.plane
        value = pick(a, visible.triangle).mul_(x)
        value += pick(b, visible.triangle).mul_(y)
        value += pick(c, visible.triangle)
        return value


def attribute(
    values: Tensor, triangles: Tensor, corners: Corners, special: Special, facing: bool = False
) -> Attribute:
    """Planes of a vertex quantity (V, B); with ``facing``, negated where a triangle shows its back."""
    over = [values.index_select(0, triangles[:, k]).mul_(corners.inverse_depth[k]) for k in range(3)]
    x, y, scale = corners.x, corners.y, corners.negated_inverse_area
    if not facing:
        scale = scale * corners.facing
    rise_1, rise_2 = over[1] - over[0], over[2] - over[0]
    a = (rise_1 * (y[2] - y[0]) - rise_2 * (y[1] - y[0])).mul_(scale)
    b = (rise_2 * (x[1] - x[0]) - rise_1 * (x[2] - x[0])).mul_(scale)
    start = over[0] * corners.facing if facing else over[0]
    c = start - (a * x[0] + b * y[0])
    if special.index.numel():
        pictures = values.shape[1]
        row = torch.div(special.index, pictures, rounding_mode="floor")
        column = special.index.remainder(pictures)
        sign = special.facing if facing else 1.0
        corner = [values[triangles[row, k], column].double() * sign for k in range(3)]
        e = special.edges
        planes = [corner[0] * e[:, 0, i] + corner[1] * e[:, 1, i] + corner[2] * e[:, 2, i] for i in range(3)]
        for array, plane in zip((a, b, c), planes, strict=True):
            array.view(-1)[special.index] = plane.float()
    return Attribute((a.view(-1), b.view(-1), c.view(-1)))


def surface(normals: Triple, triangles: Tensor, fragments: Fragments, inverse_focal: Tensor) -> Surface:
    """Interpolate vertex normals (three (V, B), camera frame) and renormalize them at every covered pixel."""
    x, y, picture = fragments.x, fragments.y, fragments.picture
    planes = [attribute(n, triangles, fragments.corners, fragments.special, facing=True) for n in normals]
    nx, ny, nz = (plane.over_depth(fragments.visible, x, y) for plane in planes)
    reciprocal = pick(inverse_focal, picture)
    vx, vy = -(x * reciprocal), y * reciprocal
    away = 1.0 / root(vx * vx + vy * vy + 1.0)
    return Surface(_unit(nx, ny, nz), (vx * away, vy * away, away), picture)


def lambert_and_highlight(surface: Surface, light: Tensor) -> tuple[Tensor, Tensor]:
    """Diffuse factor max(n.l, 0) and highlight max(n.h, 0)^16 of one light; ``light`` (B, 3) unit vectors
    toward it.

    The half vector h = (l + v) / |l + v| needs no vector: n.h = (n.l + n.v) / sqrt(2 + 2 l.v). The power is
    four squarings, which round alike everywhere; pow does not.
    """
    n, v = surface.normal, surface.toward_camera
    lx, ly, lz = (pick(light[:, k].contiguous(), surface.picture) for k in range(3))
    n_l = n[0] * lx + n[1] * ly + n[2] * lz
    n_v = n[0] * v[0] + n[1] * v[1] + n[2] * v[2]
    l_v = v[0] * lx + v[1] * ly + v[2] * lz
    half = ((n_l + n_v) / root((l_v + 1.0).clamp_(min=1e-6).mul_(2.0))).clamp_(0.0, 1.0)
    half = torch.where(n_l > 0, half, 0.0)
    for _ in range(4):
        half.mul_(half)
    return n_l.clamp_(min=0.0), half


def pixel_positions(pixel: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Centers x and y in pixels from the picture's center (y down), and the picture's number, of flat pixel
    indices.
    """
    area = size * size
    whole = pixel.to(torch.int32)
    picture = torch.div(whole, area, rounding_mode="floor")
    rest = whole - picture * area
    row = torch.div(rest, size, rounding_mode="floor")
    column = rest - row * size
    middle = size / 2 - 0.5
    return column.float() - middle, row.float() - middle, picture.long()


def _unit(x: Tensor, y: Tensor, z: Tensor) -> Triple:
    length = root((x * x + y * y + z * z).clamp_(min=1e-30))
    return x / length, y / length, z / length
