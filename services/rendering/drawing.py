"""The renderer's arithmetic for CPU cores, compiled: from vertices in a camera to the bytes of its picture.

What :mod:`raster`, :mod:`shading` and :mod:`sensor` say in torch operations over whole chunks is said here
once more as loops over one picture at a time, whose depth buffer and light stay in a core's cache. Every
operation is the same float32 operation in the same order, so that the bytes are the same as well; a test
holds the two to each other. Nothing here may be reordered.

Triangles that need homogeneous edges (see :mod:`raster`) are not drawn here: where a chunk has one,
:func:`draw` says so, and the chunk is drawn in torch.
"""

from __future__ import annotations

import numpy as np
from numba import float32, int64, uint8, uint32
from numpy.typing import NDArray

from services.compiled import compiled
from services.rendering.camera import NEAR_M
from services.rendering.raster import EDGE, SMALLEST_AREA_PX, STRETCHED, TILE
from services.rendering.sensor import LEVELS

Floats = NDArray[np.float32]

_NEAR = np.float32(NEAR_M)
_SMALLEST_AREA = np.float32(SMALLEST_AREA_PX)
_EMPTY = np.int64((1 << 63) - 1)
_LOW_BITS = np.int64(0xFFFFFFFF)
_ZERO, _HALF, _ONE, _TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)
_TINY, _GRAZING = np.float32(1e-30), np.float32(1e-6)
_TILE_PX = np.float32(TILE)
_WHITE, _STEPS = np.float32(255), np.float32(LEVELS)


@compiled
def draw(
    x: Floats,
    y: Floats,
    depth: Floats,
    normals: tuple[Floats, Floats, Floats],
    colors: Floats,
    triangles: NDArray[np.int64],
    inverse_focal: Floats,
    toward_light: Floats,
    lights: Floats,
    background: Floats,
    albedo: Floats,
    taps: Floats,
    noise: Floats,
    table: Floats,
    images: NDArray[np.uint8],
    covered: NDArray[np.int32],
) -> bool:
    """Draw B pictures of M masks; picture k shows view k modulo v and mask k * M / B.

    ``x``, ``y``, ``depth`` float32 (V, B) as :func:`raster.corners_of` takes them. ``normals``: x, y and z in
    the camera frame, each float32 (V, B). ``colors`` float32 (3, V, M), linear, or (3, 0, M) for one color
    all over. ``inverse_focal`` (v,), ``toward_light`` (v, 3), ``lights`` (v, 4): ambient, light, specular,
    exposure. ``background`` (v, S) linear; ``albedo`` (v, 3) linear; ``taps`` (v, 1 + r); ``noise`` (3, v, S,
    S); ``table``: :func:`sensor.encoding_table`. Writes ``images`` uint8 (B, S, S, 3) and ``covered`` int32
    (B,), the number of pixels that show the mask. False: the pictures have to be drawn in torch.
    """
    pictures, views, size = x.shape[1], background.shape[0], images.shape[1]
    flat = np.empty((3, x.shape[0]), np.float32)
    keys = np.empty((size, size), np.int64)
    tinted = colors.shape[1] > 0
    carried = 6 if tinted else 3  # numbers of a vertex: its normal and, where there are any, its colors
    attributes = np.empty((carried, x.shape[0]), np.float32)
    planes = np.empty((triangles.shape[0], carried, 3), np.float32)
    known = np.empty(triangles.shape[0], np.bool_)
    # Neutral, then colored light: one plane, or one a channel.
    light = np.empty((4 if tinted else 2, size, size), np.float32)
    rows = np.empty((size, size), np.float32)
    for picture in range(pictures):
        view, mask = picture % views, picture // (pictures // colors.shape[2])
        _project(x, y, depth, picture, flat)
        keys.fill(_EMPTY)
        if not _rasterize(flat, triangles, keys):
            return False
        known.fill(False)
        focal, sun, strength = inverse_focal[view], toward_light[view], lights[view]
        for vertex in range(x.shape[0]):
            for axis in range(3):
                attributes[axis, vertex] = normals[axis][vertex, picture]
            for channel in range(carried - 3):
                attributes[3 + channel, vertex] = colors[channel, vertex, mask]
        covered[picture] = _shade(
            flat, attributes, triangles, keys, planes, known, focal, sun, strength, background[view], light
        )
        for plane in light:
            _blur(plane, taps[view], rows)
        for channel in range(3):
            source = light[1 + channel] if tinted else light[1]
            factor = _ONE if tinted else albedo[view, channel]
            _encode(source, factor, light[0], noise[channel, view], table, channel, images[picture])
    return True


@compiled
def _project(x: Floats, y: Floats, depth: Floats, picture: int, flat: Floats) -> None:
    """Pixels from the center and inverse depths of one picture's vertices, as in raster.corners_of."""
    for vertex in range(x.shape[0]):
        inverse = _ONE / depth[vertex, picture] if depth[vertex, picture] > _NEAR else _ZERO
        flat[0, vertex] = x[vertex, picture] * inverse
        flat[1, vertex] = y[vertex, picture] * inverse
        flat[2, vertex] = inverse


@compiled
def _rasterize(flat: Floats, triangles: NDArray[np.int64], keys: NDArray[np.int64]) -> bool:
    """Depth-test every triangle of a picture; False where one is not ordinary. See raster.visible_pixels."""
    size = keys.shape[0]
    low_shift = float32(size / 2 - 0.5 - EDGE * size)
    high_shift = float32(size / 2 - 0.5 + EDGE * size)
    middle, most, last_pixel = float32(size / 2 - 0.5), float32(size), float32(size - 1)
    stretched, slack = float32(STRETCHED * size), float32(EDGE * size)
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, x1, x2 = flat[0, i], flat[0, j], flat[0, k]
        y0, y1, y2 = flat[1, i], flat[1, j], flat[1, k]
        z0, z1, z2 = flat[2, i], flat[2, j], flat[2, k]
        low, high = min(z0, z1, z2), max(z0, z1, z2)
        x_low, x_high = min(x0, x1, x2), max(x0, x1, x2)
        y_low, y_high = min(y0, y1, y2), max(y0, y1, y2)
        if not (low > _ZERO and max(x_high - x_low, y_high - y_low) < stretched):
            if high > _ZERO:
                return False
            continue
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if not abs(area) > _SMALLEST_AREA:
            continue
        left = min(max(np.ceil(x_low + low_shift), _ZERO), most)
        top = min(max(np.ceil(y_low + low_shift), _ZERO), most)
        width = min(max(np.floor(x_high + high_shift), -_ONE), last_pixel) - left + _ONE
        height = min(max(np.floor(y_high + high_shift), -_ONE), last_pixel) - top + _ONE
        if not (width > _ZERO and height > _ZERO):
            continue
        scale = -_ONE / abs(area)
        scale = scale if area < _ZERO else -scale
        shift_x, shift_y = left - middle, top - middle
        x0, x1, x2 = x0 - shift_x, x1 - shift_x, x2 - shift_x
        y0, y1, y2 = y0 - shift_y, y1 - shift_y, y2 - shift_y
        a0, b0 = (y1 - y2) * scale, (x2 - x1) * scale
        a1, b1 = (y2 - y0) * scale, (x0 - x2) * scale
        a2, b2 = (y0 - y1) * scale, (x1 - x0) * scale
        c0 = (abs(a0) + abs(b0)) * slack - a0 * x1 - b0 * y1
        c1 = (abs(a1) + abs(b1)) * slack - a1 * x2 - b1 * y2
        c2 = (abs(a2) + abs(b2)) * slack - a2 * x0 - b2 * y0
        slope_x, slope_y, start = _plane(x0, y0, x1, y1, x2, y2, z0, z1, z2, scale, _ONE)
        longest = max(width, height)
        side = 2 if longest <= 2 else 4 if longest <= 4 else TILE
        across = down = 1
        if longest > TILE:
            across, down = int(np.ceil(width / _TILE_PX)), int(np.ceil(height / _TILE_PX))
        first_column, first_row = int(left), int(top)
        for tile in range(across * down):
            right, below = float32(tile % across * TILE), float32(tile // across * TILE)
            d0, d1, d2, d = c0, c1, c2, start
            if longest > TILE:
                if _outside(a0, b0, c0, right, below) or _outside(a1, b1, c1, right, below):
                    continue
                if _outside(a2, b2, c2, right, below):
                    continue
                d0 = a0 * right + b0 * below + c0
                d1 = a1 * right + b1 * below + c1
                d2 = a2 * right + b2 * below + c2
                d = slope_x * right + slope_y * below + start
            row_start = first_row + int(below)
            column_start = first_column + int(right)
            for row in range(min(side, size - row_start)):
                down_ = float32(row)
                e0, e1, e2, e = b0 * down_ + d0, b1 * down_ + d1, b2 * down_ + d2, slope_y * down_ + d
                target = keys[row_start + row, column_start : column_start + side]
                for column in range(len(target)):
                    right_ = float32(column)
                    if min(e0 + a0 * right_, e1 + a1 * right_, e2 + a2 * right_) >= _ZERO:
                        inverse = min(max(e + slope_x * right_, low), high)
                        bits = int64(np.float32(inverse).view(np.int32))
                        key = ((int64(0x7FFFFFFF) - bits) << 32) | t
                        target[column] = min(key, target[column])
    return True


@compiled
def _outside(a: np.float32, b: np.float32, c: np.float32, right: np.float32, below: np.float32) -> bool:
    """Whether an edge excludes a whole tile."""
    reach = float32(TILE - 1)
    farthest = c + reach * (max(a, _ZERO) + max(b, _ZERO))
    return bool(not a * right + b * below + farthest >= _ZERO)


@compiled
def _shade(
    flat: Floats,
    attributes: Floats,
    triangles: NDArray[np.int64],
    keys: NDArray[np.int64],
    planes: Floats,
    known: NDArray[np.bool_],
    inverse_focal: np.float32,
    sun: Floats,
    strength: Floats,
    background: Floats,
    light: Floats,
) -> int:
    """The light of every pixel before blur: ``light`` float32 (2 or 4, S, S); how many show the mask."""
    size = keys.shape[0]
    middle = float32(size / 2 - 0.5)
    tinted = len(attributes) > 3
    columns = np.empty(size, np.int64)
    xs = np.empty(size, np.float32)
    values = np.empty((6, size), np.float32)
    found = 0
    for row in range(size):
        y = float32(row) - middle
        for column in range(size):
            light[0, row, column] = background[row] * strength[3]
            for plane in range(1, len(light)):
                light[plane, row, column] = _ZERO
        count = 0
        for column in range(size):
            key = keys[row, column]
            if key == _EMPTY:
                continue
            t = key & _LOW_BITS
            if not known[t]:
                _planes_of(flat, attributes, triangles, t, planes[t])
                known[t] = True
            x, p = float32(column) - middle, planes[t]
            columns[count], xs[count] = column, x
            for axis in range(3):
                values[axis, count] = p[axis, 0] * x + p[axis, 1] * y + p[axis, 2]
            if tinted:
                inverse = np.int32(int64(0x7FFFFFFF) - (key >> 32)).view(np.float32)
                for k in range(3, 6):
                    value = (p[k, 0] * x + p[k, 1] * y + p[k, 2]) / inverse
                    values[k, count] = min(max(value, _ZERO), _ONE)
            count += 1
        _illuminate(values[:, :count], xs[:count], y * inverse_focal, inverse_focal, sun, strength)
        for k in range(count):
            light[0, row, columns[k]] = values[0, k]
            light[1, row, columns[k]] = values[1, k]
        if tinted:
            for k in range(count):
                for channel in range(3):
                    light[1 + channel, row, columns[k]] = values[3 + channel, k] * values[1, k]
        found += count
    return found


@compiled
def _illuminate(
    values: Floats,
    xs: Floats,
    vy_: np.float32,
    inverse_focal: np.float32,
    sun: Floats,
    strength: Floats,
) -> None:
    """Normals over depth, values[:3] float32 (3, n), become shine and diffuse light, values[:2]."""
    ambient, bright, specular, exposure = strength[0], strength[1], strength[2], strength[3]
    lx, ly, lz = sun[0], sun[1], sun[2]
    for k in range(len(xs)):
        nx, ny, nz = values[0, k], values[1, k], values[2, k]
        length = np.sqrt(max(nx * nx + ny * ny + nz * nz, _TINY))
        nx, ny, nz = nx / length, ny / length, nz / length
        vx, vy = -(xs[k] * inverse_focal), vy_
        vz = _ONE / np.sqrt(vx * vx + vy * vy + _ONE)
        vx, vy = vx * vz, vy * vz
        n_l = nx * lx + ny * ly + nz * lz
        n_v = nx * vx + ny * vy + nz * vz
        l_v = vx * lx + vy * ly + vz * lz
        half = (n_l + n_v) / np.sqrt(max(l_v + _ONE, _GRAZING) * _TWO)
        half = min(max(half, _ZERO), _ONE) if n_l > _ZERO else _ZERO
        half = half * half
        half = half * half
        half = half * half
        half = half * half
        values[0, k] = half * specular * bright * exposure
        values[1, k] = (max(n_l, _ZERO) * bright + ambient) * exposure


@compiled
def _planes_of(
    flat: Floats,
    attributes: Floats,
    triangles: NDArray[np.int64],
    t: int,
    planes: Floats,
) -> None:
    """A triangle's normals, and colors if there are any, over depth as planes; see shading.attribute."""
    i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
    x0, x1, x2 = flat[0, i], flat[0, j], flat[0, k]
    y0, y1, y2 = flat[1, i], flat[1, j], flat[1, k]
    z0, z1, z2 = flat[2, i], flat[2, j], flat[2, k]
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    scale = -_ONE / abs(area)
    facing = _ONE if area < _ZERO else -_ONE
    for row in range(len(attributes)):
        w0, w1, w2 = attributes[row, i] * z0, attributes[row, j] * z1, attributes[row, k] * z2
        if row < 3:  # a normal, turned round where the triangle shows its back
            plane = _plane(x0, y0, x1, y1, x2, y2, w0, w1, w2, scale, facing)
        else:
            plane = _plane(x0, y0, x1, y1, x2, y2, w0, w1, w2, scale * facing, _ONE)
        planes[row, 0], planes[row, 1], planes[row, 2] = plane


@compiled
def _plane(
    x0: np.float32,
    y0: np.float32,
    x1: np.float32,
    y1: np.float32,
    x2: np.float32,
    y2: np.float32,
    w0: np.float32,
    w1: np.float32,
    w2: np.float32,
    scale: np.float32,
    sign: np.float32,
) -> tuple[np.float32, np.float32, np.float32]:
    """a, b and c of the plane a x + b y + c through three corners' values; see shading.attribute."""
    rise_1, rise_2 = w1 - w0, w2 - w0
    a = (rise_1 * (y2 - y0) - rise_2 * (y1 - y0)) * scale
    b = (rise_2 * (x1 - x0) - rise_1 * (x2 - x0)) * scale
    return a, b, w0 * sign - (a * x0 + b * y0)


@compiled
def _blur(plane: Floats, taps: Floats, rows: Floats) -> None:
    """Blur a picture in place, first down, then across; the border repeats. See sensor.blur."""
    size, radius = plane.shape[0], taps.shape[0] - 1
    while radius > 0 and taps[radius] == _ZERO:
        radius -= 1
    if radius == 0:
        return
    for row in range(size):
        for column in range(size):
            rows[row, column] = plane[row, column] * taps[0]
        for step in range(1, radius + 1):
            before, after, weight = max(row - step, 0), min(row + step, size - 1), taps[step]
            for column in range(size):
                rows[row, column] += (plane[before, column] + plane[after, column]) * weight
    padded = np.empty(size + 2 * radius, np.float32)
    for row in range(size):
        for column in range(radius):
            padded[column], padded[radius + size + column] = rows[row, 0], rows[row, size - 1]
        for column in range(size):
            padded[radius + column] = rows[row, column]
            plane[row, column] = rows[row, column] * taps[0]
        for step in range(1, radius + 1):
            weight = taps[step]
            for column in range(size):
                total = padded[radius + column - step] + padded[radius + column + step]
                plane[row, column] += total * weight


@compiled
def _encode(
    source: Floats,
    factor: np.float32,
    neutral: Floats,
    noise: Floats,
    table: Floats,
    channel: int,
    image: NDArray[np.uint8],
) -> None:
    """One channel's bytes of linear light: sRGB by the table, noise, rounding. See sensor.encode."""
    size = source.shape[0]
    line = np.empty(size, np.uint8)
    for row in range(size):
        for column in range(size):
            linear = source[row, column] * factor + neutral[row, column]
            index = uint32(min(max(linear * _STEPS + _HALF, _ZERO), _STEPS))
            level = table[index] + noise[row, column] + _HALF
            line[column] = uint8(min(max(level, _ZERO), _WHITE))
        for column in range(size):
            image[row, column, channel] = line[column]
