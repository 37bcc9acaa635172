"""Which triangle each pixel shows: a batched z-buffer in plain torch operations.

Layout. Vertex arrays are ``(V, B)`` and triangle arrays ``(T, B)``, where a column is one picture (a mask
under a view). Gathering a triangle's corners then copies whole rows, and what belongs to a picture broadcasts
along rows.

Method. A triangle is tested against the pixel centers of its bounding box. Most triangles of a mask are 2 to
6 pixels wide, so they are sorted into classes of 2 x 2, 4 x 4 and 8 x 8 pixels, and a class is one dense
array that needs no index arithmetic; larger triangles are cut into 8 x 8 tiles of the last class. Every hit
becomes one int64 key, (inverted bits of 1/depth) << 32 | triangle, and the smallest key of a pixel wins: the
nearest surface, then the lower triangle index. The minimum does not depend on the order of hits, so neither
do the bytes.

Triangles that cross the near plane, or that are stretched over thousands of pixels, go another way:
homogeneous edge functions (Olano and Greer 1997, "Triangle Scan Conversion using 2D Homogeneous
Coordinates"), which need no clipping, in float64, against every pixel. They are slow and rare.

Only additions, multiplications, divisions, minima and comparisons are used, each exactly rounded, so that a
picture's bytes depend neither on its neighbors in the batch nor on where a vector register ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from services.rendering.camera import NEAR_M
from services.rendering.gather import pick

_CLASSES = (2, 4, 8)
TILE = _CLASSES[-1]
# Pixel candidates held at once. On a CPU a float array of them has 0.5 MB, so that work stays in the cache;
# on a GPU 32 MB, so that starting operations does not cost more than they do.
_CPU_CAPACITY, _GPU_CAPACITY = 1 << 17, 1 << 23
_TILES = 1 << 19  # tiles of large triangles listed at once (one triangle may exceed it)
_WHOLE_PIXELS = 1 << 20  # pixels tested at once against triangles through the near plane (or one triangle)
STRETCHED = 3.2  # of a picture's size; float32 keeps edges to a tenth of EDGE below this
EDGE = 6e-7  # of a picture's size: a center this far outside still counts, so that rounding leaves no gap
SMALLEST_AREA_PX = 1e-9
_EMPTY = (1 << 63) - 1
_LOW_BITS = 0xFFFFFFFF

Plane = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Corners:
    """Triangle corners of B pictures, each a tuple of three ``(T, B)`` float32 arrays.

    ``x``, ``y``: pixels from the picture's center, y down; ``inverse_depth``: 1/m, 0 where not in front of
    the near plane. ``negated_inverse_area``: ``(T, B)``, -1 / |doubled signed area|, 0 for triangles that are
    not ordinary.
    """

    x: tuple[Tensor, Tensor, Tensor]
    y: tuple[Tensor, Tensor, Tensor]
    inverse_depth: tuple[Tensor, Tensor, Tensor]
    negated_inverse_area: Tensor
    facing: Tensor


@dataclass(frozen=True)
class Visible:
    """The covered pixels of B pictures, ``h`` of them, ordered by picture and pixel.

    ``pixel`` int64 (h,): picture * S * S + row * S + column. ``triangle`` int64 (h,): triangle * B + picture.
    ``inverse_depth`` float32 (h,), 1/m.
    ``covered`` bool (B, S, S).
    """

    pixel: Tensor
    triangle: Tensor
    inverse_depth: Tensor
    covered: Tensor


@dataclass(frozen=True)
class Special:
    """Triangles that need homogeneous edge functions: ``index`` int64 (k,) into (T, B); ``edges`` float64 (k,
    3, 3).

    ``edges[i, j] @ (x, y, 1)`` is corner j's barycentric weight over depth, at x and y pixels from the
    center.
    """

    index: Tensor
    edges: Tensor
    facing: Tensor


def corners_of(x: Tensor, y: Tensor, depth: Tensor, triangles: Tensor, size: int) -> tuple[Corners, Special]:
    """Gather corners and sort triangles into ordinary and special ones.

    ``x``, ``y``: (V, B) float32, camera coordinates times focal length, in px * m (y down); ``depth`` (V, B)
    in m; ``size`` of the picture in px.
    """
    front = depth > NEAR_M
    inverse = torch.where(front, 1.0 / depth, 0.0)
    flat_x, flat_y = x * inverse, y * inverse
    columns = [triangles[:, k] for k in range(3)]
    xs = _rows(flat_x, columns)
    ys = _rows(flat_y, columns)
    inverses = _rows(inverse, columns)

    area = (xs[1] - xs[0]) * (ys[2] - ys[0]) - (xs[2] - xs[0]) * (ys[1] - ys[0])
    nearest = torch.minimum(torch.minimum(inverses[0], inverses[1]), inverses[2])
    extent = torch.maximum(_spread(xs), _spread(ys))
    in_front = nearest > 0
    short = extent < STRETCHED * size
    ordinary = in_front & short & (area.abs() > SMALLEST_AREA_PX)
    scale = torch.where(ordinary, -1.0 / area.abs(), 0.0)
    facing = torch.where(area < 0, 1.0, -1.0)
    any_front = torch.maximum(torch.maximum(inverses[0], inverses[1]), inverses[2]) > 0
    special = (any_front & ~(in_front & short)).flatten().nonzero()[:, 0]
    return Corners(xs, ys, inverses, scale, facing), _special(x, y, depth, triangles, special)


def visible_pixels(corners: Corners, special: Special, size: int) -> Visible:
    """Depth-test every triangle and list the covered pixels of all pictures."""
    pictures = corners.negated_inverse_area.shape[1]
    stride = size + TILE  # a class may reach past the border; what it hits there is cut off below
    device = corners.negated_inverse_area.device
    buffer = torch.full((pictures * stride * stride,), _EMPTY, dtype=torch.int64, device=device)

    left, top, width, height = _bounding_boxes(corners, size)
    longest = torch.where(
        (corners.negated_inverse_area < 0) & (torch.minimum(width, height) > 0),
        torch.maximum(width, height),
        0.0,
    ).flatten()
    left, top = left.flatten(), top.flatten()
    reached = 0
    for side in _CLASSES:
        chosen = ((longest > reached) & (longest <= side)).nonzero()[:, 0]
        boxes = _boxes(chosen, left, top, corners, size, stride)
        step = _capacity(buffer) // (side * side)
        for start in range(0, len(chosen), step):
            _test(boxes.part(start, min(step, len(chosen) - start)), side, stride, buffer)
        reached = side
    large = (longest > reached).nonzero()[:, 0]
    tiles = [((pick(extent, large) + (TILE - 1)) / TILE).floor().long() for extent in (width, height)]
    slices = torch.div((tiles[0] * tiles[1]).cumsum(0), _TILES, rounding_mode="floor")
    lengths: list[int] = torch.unique_consecutive(slices, return_counts=True)[1].tolist()
    start = 0
    for length in lengths:
        piece = slice(start, start + length)
        boxes = _boxes(large[piece], left, top, corners, size, stride)
        _test_large(boxes, tiles[0][piece], tiles[1][piece], stride, buffer)
        start += length
    if special.index.numel():
        _test_whole(special, size, stride, pictures, buffer)

    keys = buffer.view(pictures, stride, stride)[:, :size, :size].reshape(-1)
    covered = keys != _EMPTY
    pixel = covered.nonzero()[:, 0]
    winners = pick(keys, pixel)
    bits = (0x7FFFFFFF - (winners >> 32)).to(torch.int32)
    return Visible(pixel, winners & _LOW_BITS, bits.view(torch.float32), covered.view(pictures, size, size))


def _capacity(buffer: Tensor) -> int:
    return _GPU_CAPACITY if buffer.is_cuda else _CPU_CAPACITY


@dataclass(frozen=True)
class _Boxes:
    """Edge functions and depth planes of m triangles, from the center of their box's first pixel; all (m,).

    A plane is (a, b, c) for a * column + b * row + c. ``low`` and ``high`` bound the depth plane: a sliver's
    is steep, and only what it says between its corners holds. ``base``: the first pixel's place in the
    buffer.
    """

    index: Tensor
    base: Tensor
    edges: tuple[Plane, Plane, Plane]
    depth: Plane
    low: Tensor
    high: Tensor

    def part(self, start: int, length: int) -> _Boxes:
        def cut(plane: Plane) -> Plane:
            a, b, c = (p.narrow(0, start, length) for p in plane)
            return a, b, c

        first, second, third = (cut(edge) for edge in self.edges)
        return _Boxes(
            self.index.narrow(0, start, length),
            self.base.narrow(0, start, length),
            (first, second, third),
            cut(self.depth),
            self.low.narrow(0, start, length),
            self.high.narrow(0, start, length),
        )


def _boxes(index: Tensor, left: Tensor, top: Tensor, corners: Corners, size: int, stride: int) -> _Boxes:
    pictures = corners.facing.shape[1]
    middle = size / 2 - 0.5
    left, top = pick(left, index), pick(top, index)
    origin_x, origin_y = left - middle, top - middle
    x = [pick(c, index).sub_(origin_x) for c in corners.x]
    y = [pick(c, index).sub_(origin_y) for c in corners.y]
    inverse = [pick(c, index) for c in corners.inverse_depth]
    # -1/|area| times the facing is 1/area: facing is -1 for a positive area (y down).
    over_area = pick(corners.negated_inverse_area, index) * pick(corners.facing, index)
    edges = []
    for j, k in ((1, 2), (2, 0), (0, 1)):
        a = (y[j] - y[k]).mul_(over_area)
        b = (x[k] - x[j]).mul_(over_area)
        # From a corner of the edge, not from x_j y_k - x_k y_j: that difference loses digits.
        c = (a.abs() + b.abs()).mul_(EDGE * size).sub_(a * x[j]).sub_(b * y[j])
        edges.append((a, b, c))
    rise_1, rise_2 = inverse[1] - inverse[0], inverse[2] - inverse[0]
    slope_x = (rise_1 * (y[2] - y[0]) - rise_2 * (y[1] - y[0])).mul_(over_area)
    slope_y = (rise_2 * (x[1] - x[0]) - rise_1 * (x[2] - x[0])).mul_(over_area)
    start = inverse[0] - (slope_x * x[0] + slope_y * y[0])
    low = torch.minimum(torch.minimum(inverse[0], inverse[1]), inverse[2])
    high = torch.maximum(torch.maximum(inverse[0], inverse[1]), inverse[2])
    base = index.remainder(pictures) * (stride * stride) + (top * stride + left).long()
    return _Boxes(index, base, (edges[0], edges[1], edges[2]), (slope_x, slope_y, start), low, high)


def _test(boxes: _Boxes, side: int, stride: int, buffer: Tensor) -> None:
    """Test m triangles against side x side pixel centers each, and lower the buffer's keys where they hit."""
    steps = torch.arange(side, dtype=torch.float32, device=buffer.device)[:, None]
    least = _grid(boxes.edges[0], steps)
    torch.minimum(least, _grid(boxes.edges[1], steps), out=least)
    torch.minimum(least, _grid(boxes.edges[2], steps), out=least)
    inverse = _grid(boxes.depth, steps)
    torch.minimum(torch.maximum(inverse, boxes.low, out=inverse), boxes.high, out=inverse)
    hits = (least >= 0).flatten().nonzero()[:, 0]
    offsets = torch.arange(side, device=buffer.device)
    pixel = boxes.base + (offsets[:, None, None] * stride + offsets[None, :, None])
    _lower(buffer, pick(pixel, hits), pick(inverse, hits), boxes.index.expand(pixel.shape).take(hits))


def _lower(buffer: Tensor, pixel: Tensor, inverse_depth: Tensor, index: Tensor) -> None:
    keys = ((0x7FFFFFFF - inverse_depth.view(torch.int32)).long() << 32) | index
    buffer.scatter_reduce_(0, pixel, keys, "amin")


def _grid(plane: Plane, steps: Tensor) -> Tensor:
    """a * column + b * row + c at side x side pixels: (side, side, m)."""
    a, b, c = plane
    return (b * steps + c)[:, None] + (a * steps)[None]


def _test_large(boxes: _Boxes, across: Tensor, down: Tensor, stride: int, buffer: Tensor) -> None:
    """Cut large triangles into tiles, drop the tiles that an edge excludes, test the others."""
    counts = across * down
    owner = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    within = torch.arange(len(owner), device=counts.device) - pick(counts.cumsum(0) - counts, owner)
    tiles_across = pick(across, owner)
    row = torch.div(within, tiles_across, rounding_mode="floor")
    below, right = row * TILE, (within - row * tiles_across) * TILE

    reach = float(TILE - 1)
    keep = torch.ones_like(owner, dtype=torch.bool)
    for a, b, c in boxes.edges:
        farthest = c + reach * (a.clamp(min=0) + b.clamp(min=0))
        keep &= pick(a, owner) * right + pick(b, owner) * below + pick(farthest, owner) >= 0
    for tiles in torch.split(keep.nonzero()[:, 0], _capacity(buffer) // (TILE * TILE)):
        _test(
            _tiled(boxes, pick(owner, tiles), pick(right, tiles), pick(below, tiles), stride),
            TILE,
            stride,
            buffer,
        )


def _tiled(boxes: _Boxes, owner: Tensor, right: Tensor, down: Tensor, stride: int) -> _Boxes:
    """One box for each tile: its owner's planes, seen from ``right`` and ``down`` pixels on."""

    def moved(plane: Plane) -> Plane:
        a, b, c = (pick(p, owner) for p in plane)
        return a, b, a * right + b * down + c

    first, second, third = (moved(edge) for edge in boxes.edges)
    return _Boxes(
        pick(boxes.index, owner),
        pick(boxes.base, owner) + down * stride + right,
        (first, second, third),
        moved(boxes.depth),
        pick(boxes.low, owner),
        pick(boxes.high, owner),
    )


def _test_whole(special: Special, size: int, stride: int, pictures: int, buffer: Tensor) -> None:
    device = buffer.device
    centers = torch.arange(size, dtype=torch.float64, device=device) + (0.5 - size / 2)
    lines = torch.arange(size, device=device)
    offsets = lines[:, None] * stride + lines
    step = max(1, _WHOLE_PIXELS // size**2)
    for start in range(0, len(special.index), step):
        index, edges = (t[start : start + step] for t in (special.index, special.edges))
        e = edges[:, :, :, None, None]
        weights = [e[:, j, 0] * centers + e[:, j, 1] * centers[:, None] + e[:, j, 2] for j in range(3)]
        inverse = (weights[0] + weights[1] + weights[2]).float()
        least = torch.minimum(torch.minimum(weights[0], weights[1]), weights[2])
        hits = ((least >= 0) & (inverse <= 1.0 / NEAR_M) & (inverse > 0)).flatten().nonzero()[:, 0]
        pixel = (index.remainder(pictures) * (stride * stride))[:, None, None] + offsets
        owner = index[:, None, None].expand(pixel.shape)
        _lower(buffer, pixel.take(hits), inverse.take(hits), owner.take(hits))


def _special(x: Tensor, y: Tensor, depth: Tensor, triangles: Tensor, index: Tensor) -> Special:
    pictures = x.shape[1]
    picture = index.remainder(pictures)
    corner = triangles.take(
        (torch.div(index, pictures, rounding_mode="floor") * 3)[:, None] + torch.arange(3, device=x.device)
    )
    flat = corner * pictures + picture[:, None]
    rows = torch.stack([x.take(flat), y.take(flat), depth.take(flat)], dim=-1).double()
    cross = torch.stack([_cross(rows[:, j], rows[:, k]) for j, k in ((1, 2), (2, 0), (0, 1))], dim=1)
    first, product = rows[:, 0], cross[:, 0]
    volume = first[:, 0] * product[:, 0] + first[:, 1] * product[:, 1] + first[:, 2] * product[:, 2]
    edges = torch.where(volume.abs() > 1e-30, 1.0 / volume, 0.0)[:, None, None] * cross
    return Special(index, edges, torch.where(volume < 0, 1.0, -1.0).float())


def _cross(p: Tensor, q: Tensor) -> Tensor:
    return torch.stack(
        [
            p[:, 1] * q[:, 2] - p[:, 2] * q[:, 1],
            p[:, 2] * q[:, 0] - p[:, 0] * q[:, 2],
            p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0],
        ],
        dim=-1,
    )


def _bounding_boxes(corners: Corners, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """First column and row, width and height in pixels, of the pixel centers in each triangle's box."""
    sides = []
    for values in (corners.x, corners.y):
        low = torch.minimum(torch.minimum(values[0], values[1]), values[2])
        high = torch.maximum(torch.maximum(values[0], values[1]), values[2])
        first = low.add_(size / 2 - 0.5 - EDGE * size).ceil_().clamp_(0, size)
        last = high.add_(size / 2 - 0.5 + EDGE * size).floor_().clamp_(-1, size - 1)
        sides.append((first, last.sub_(first).add_(1)))
    (left, width), (top, height) = sides
    return left, top, width, height


def _rows(array: Tensor, columns: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    return (
        array.index_select(0, columns[0]),
        array.index_select(0, columns[1]),
        array.index_select(0, columns[2]),
    )


def _spread(values: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    high = torch.maximum(torch.maximum(values[0], values[1]), values[2])
    return high - torch.minimum(torch.minimum(values[0], values[1]), values[2])
