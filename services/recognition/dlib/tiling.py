"""Where dlib's MMOD detector looks: all levels of an image pyramid laid out on one canvas.

dlib shrinks the image by 5/6 again and again, sets the levels into two columns (down on the left, back up on
the right) with a gap of 10 pixels between them and 11 around, and runs its network once over the whole
canvas. The network sees 189 pixels, so what it says about one level depends on the level's neighbors; hence
the same layout. Source: dlib/image_transforms/image_pyramid.h and dlib/dnn/input.h
(input_rgb_image_pyramid<pyramid_down<6>>).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GAP_PX = 10
BORDER_PX = 11
MIN_HEIGHT_PX = 5
_RATE = 5.0 / 6.0
# dlib maps a point one level up as p / rate + 0.3 (pyramid_down<N>::point_up).
_UP_OFFSET_PX = 0.3


@dataclass(frozen=True)
class Tile:
    """One level's place: first row and column on the canvas, and its size in pixels."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Canvas:
    """height, width in pixels; tiles[0] is the image itself, every next one 5/6 of the one before."""

    height: int
    width: int
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Windows:
    """The detector's windows in image coordinates (continuous, pixel centers at .5).

    centers_px: float32 (k, 2) as x, y. boxes_px: float32 (k, 4). levels: int64 (k,) index of the tile.
    """

    centers_px: NDArray[np.float32]
    boxes_px: NDArray[np.float32]
    levels: NDArray[np.int64]


def layout(height: int, width: int) -> Canvas:
    """dlib's canvas for images of that size in pixels."""
    sizes = _level_sizes(height, width)
    column_height = _first_column_height(sizes)
    tiles: list[Tile] = []
    y = BORDER_PX
    while y < column_height + BORDER_PX and len(tiles) < len(sizes):
        rows, columns = sizes[len(tiles)]
        tiles.append(Tile(y, BORDER_PX, rows, columns))
        y += rows + GAP_PX
    # The second column starts flush with the end of the first, and its tiles end at the right edge.
    bottom = y - GAP_PX
    for rows, columns in sizes[len(tiles) :]:
        tile = Tile(bottom - rows, BORDER_PX + width - columns, rows, columns)
        if _overlap(tile, tiles[0]):
            break
        tiles.append(tile)
        bottom -= rows + GAP_PX
    return Canvas(column_height + 2 * BORDER_PX, width + 2 * BORDER_PX, tuple(tiles))


def windows(
    canvas: Canvas, rows: int, columns: int, stride: int, offset: int, window_px: tuple[int, int]
) -> Windows:
    """What each cell of the network's answer, rows x columns on the canvas, looks at in the image.

    stride, offset: cell (r, c) is centered on canvas pixel (stride * r + offset, stride * c + offset).
    window_px: width and height of the sliding window on the canvas. Row-major order over the cells.
    """
    y, x = np.meshgrid(stride * np.arange(rows) + offset, stride * np.arange(columns) + offset, indexing="ij")
    points = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64)
    levels = _nearest_tiles(canvas, points)
    corner = np.array([(tile.left, tile.top) for tile in canvas.tiles], dtype=np.float64)[levels]
    # dlib's centered_drect spans (size - 1) between the centers of its outermost pixels.
    reach = (np.array(window_px, dtype=np.float64) - 1.0) / 2.0
    low, high = points - corner - reach, points - corner + reach
    for level in range(1, len(canvas.tiles)):
        deeper = levels >= level
        low[deeper] = low[deeper] / _RATE + _UP_OFFSET_PX
        high[deeper] = high[deeper] / _RATE + _UP_OFFSET_PX
    # From dlib's pixel indices to continuous coordinates: a pixel reaches from its index to the next.
    boxes = np.concatenate([low, high + 1.0], axis=1)
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2.0
    return Windows(centers.astype(np.float32), boxes.astype(np.float32), levels)


def _level_sizes(height: int, width: int) -> list[tuple[int, int]]:
    sizes = [(height, width)]
    while True:
        height, width = int(_RATE * height), int(_RATE * width)
        if width == 0 or height < MIN_HEIGHT_PX:
            return sizes
        sizes.append((height, width))


def _first_column_height(sizes: list[tuple[int, int]]) -> int:
    """The first column ends where the next level fits beside the last and half of the rest is placed."""
    first_height, first_width = sizes[0]
    total = sum(rows + GAP_PX for rows, _ in sizes) - 2 * GAP_PX
    height = last_width = 0
    for rows, columns in sizes:
        fits_beside = columns <= first_width - last_width - GAP_PX
        if fits_beside and (height - first_height) * 2 >= total - first_height:
            break
        height += rows + GAP_PX
        last_width = columns
    return height - GAP_PX


def _overlap(a: Tile, b: Tile) -> bool:
    apart = (
        a.top >= b.top + b.height
        or b.top >= a.top + a.height
        or a.left >= b.left + b.width
        or b.left >= a.left + a.width
    )
    return not apart


def _nearest_tiles(canvas: Canvas, points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index of the tile that holds each point (x, y), else of the nearest; the larger level wins a tie."""
    tiles = canvas.tiles
    low = np.array([(tile.left, tile.top) for tile in tiles], dtype=np.float64)
    high = np.array(
        [(tile.left + tile.width - 1, tile.top + tile.height - 1) for tile in tiles], dtype=np.float64
    )
    nearest = np.clip(points[:, None, :], low, high)
    distance = np.linalg.norm(nearest - points[:, None, :], axis=2)
    return np.asarray(distance.argmin(axis=1), dtype=np.int64)
