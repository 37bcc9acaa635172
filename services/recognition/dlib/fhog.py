"""dlib's variant of Felzenszwalb's HOG features, for a batch of color images at once.

For every 8 x 8 px cell but the outermost: 18 orientations, 9 orientations without sign, 4 texture energies.
Sources: Felzenszwalb, Girshick, McAllester, Ramanan, Object Detection with Discriminatively Trained
Part-Based Models, PAMI 32(9), 2010, section 6; and dlib ``image_transforms/fhog.h`` for the details that
equal scores hang on: directions with four digits, one pixel left out at the borders, a whole number of cells.

The batch is the last axis everywhere: every step then runs over long contiguous rows, and what happens to one
image cannot depend on its neighbors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from services.recognition.dlib.hog_weights import CELL_PX, CHANNELS

ORIENTATIONS = 18

# dlib's unit vectors of the first nine orientations; the other nine point the opposite way.
_DIRECTIONS = np.array(
    [
        (1.0, 0.0),
        (0.9397, 0.3420),
        (0.7660, 0.6428),
        (0.5, 0.8660),
        (0.1736, 0.9848),
        (-0.1736, 0.9848),
        (-0.5, 0.8660),
        (-0.7660, 0.6428),
        (-0.9397, 0.3420),
    ],
    dtype=np.float32,
)

_SPAN = 511  # a difference of two 8-bit values has so many possible values
_OFFSET = 255

# Votes are whole numbers: length of the gradient in 2**-20, times the two bilinear weights in sixteenths.
# Whole numbers add up to the same in any order, so that no atomic operation can blur a score. They are held
# in float64, which is exact for them (a cell's sum stays below 2**45) and multiplies in half of int64's time.
_LENGTH_UNITS = 2**20
_WEIGHT_UNITS = 2 * CELL_PX
_VOTE = 1.0 / (_LENGTH_UNITS * _WEIGHT_UNITS**2)

_CLIP = 0.2
_EPSILON = 1e-4
_TEXTURE = 2 * 0.2357  # 0.2357 is Felzenszwalb's; the 2 undoes the half in the clipped values

# The four blocks around a cell, as steps (down, right) from the upper left one; dlib's order of textures.
_BLOCKS = ((1, 1), (0, 1), (1, 0), (0, 0))


def cells(size_px: int) -> int:
    """Cells along a side of `size_px` pixels: the nearest whole number, halves up."""
    return int(size_px / CELL_PX + 0.5)


def feature_cells(size_px: int) -> int:
    """Cells along a side that have features: the outermost lack the neighbors to be normalized with."""
    return max(cells(size_px) - 2, 0)


def features(image: torch.Tensor) -> torch.Tensor:
    """FHOG features of a batch.

    image: float32 (H, W, 3, n), whole values 0 to 255.
    Returns float32 (feature_cells(H), feature_cells(W), 31, n).
    """
    rows, columns = feature_cells(image.shape[0]), feature_cells(image.shape[1])
    if not rows or not columns:
        return image.new_zeros((rows, columns, CHANNELS, image.shape[3]))
    return _normalized(_histograms(image))


def _histograms(image: torch.Tensor) -> torch.Tensor:
    """Length of the gradients by orientation: float32 (cells(H), cells(W), 18, n)."""
    rows, columns, _, lanes = image.shape
    cell_rows, cell_columns = cells(rows), cells(columns)
    votes = _votes(rows, columns, lanes, image.device)
    used = image[: votes.used_rows, : votes.used_columns]

    gradients = _strongest_gradients(used, votes.tie_break)
    index = gradients.reshape(-1)
    lengths = votes.lengths.index_select(0, index).reshape(-1, lanes)
    bins = votes.bins.index_select(0, index).reshape(-1, lanes)
    bins.add_(votes.starts).add_(votes.lanes)
    flat = bins.reshape(-1)

    # One more cell all around takes the votes that fall outside.
    histograms = torch.zeros(votes.size, dtype=torch.float64, device=image.device)
    vote = torch.empty_like(lengths)
    for corner, weight in zip(votes.corners, votes.weights, strict=True):
        torch.mul(lengths, weight, out=vote)
        histograms[corner:].scatter_add_(0, flat, vote.reshape(-1))
    inner = histograms.reshape(cell_rows + 2, cell_columns + 2, ORIENTATIONS, lanes)[1:-1, 1:-1]
    return inner.float() * _VOTE


def _strongest_gradients(image: torch.Tensor, tie_break: torch.Tensor) -> torch.Tensor:
    """Index into the gradient tables of the color channel with the longest gradient: int64 (H-2, W-2, n)."""
    x = image[1:-1, 2:] - image[1:-1, :-2]
    y = image[2:, 1:-1] - image[:-2, 1:-1]
    length = (x * x).add_(y * y).add_(tie_break)
    code = x.mul_(_SPAN).add_(y)
    red, green, blue = length.unbind(2)
    red_code, green_code, blue_code = code.unbind(2)
    best = torch.where(red > green, red_code, green_code)
    best = torch.where(torch.maximum(red, green) > blue, best, blue_code)
    return best.add_(_OFFSET * _SPAN + _OFFSET).long()


def _normalized(histograms: torch.Tensor) -> torch.Tensor:
    """The 31 features of the inner cells: half the sum over the four blocks of 2 x 2 cells around each."""
    half = ORIENTATIONS // 2
    unsigned = histograms[:, :, :half] + histograms[:, :, half:]
    energy = (unsigned * unsigned).sum(2, keepdim=True)
    pairs = energy[:, :-1] + energy[:, 1:]
    clip = (pairs[:-1] + pairs[1:] + _EPSILON).sqrt_().mul_(_CLIP)
    scale = (_CLIP / 2) / clip  # half of one over the block's norm

    inner = torch.cat((histograms, unsigned), dim=2)[1:-1, 1:-1]
    rows, columns, channels, lanes = inner.shape
    out = histograms.new_zeros((rows, columns, CHANNELS, lanes))
    for block, (down, right) in enumerate(_BLOCKS):
        here = (slice(down, down + rows), slice(right, right + columns))
        clipped = torch.minimum(inner, clip[here]).mul_(scale[here])
        out[:, :, :channels] += clipped
        out[:, :, channels + block] = clipped[:, :, :ORIENTATIONS].sum(2).mul_(_TEXTURE)
    return out


@dataclass(frozen=True)
class _Votes:
    """Where each pixel's votes go, for one image size and batch.

    used_rows, used_columns: pixels beyond the last whole cell count for nothing.
    tie_break: float32 (1, W-2, 3, 1), below 1, so that it decides between equal squared lengths only.
    lengths, bins: float64 and int64 (511*511,), by gradient: length in units, orientation times the batch.
    starts: int64 (P, 1), where the histograms of the cell up left of each pixel begin; lanes: int64 (n,).
    corners, weights: for the four cells around a pixel, the way there from the first, and float64 (P, 1).
    size: entries of all histograms, with one more cell all around.
    """

    used_rows: int
    used_columns: int
    tie_break: torch.Tensor
    lengths: torch.Tensor
    bins: torch.Tensor
    starts: torch.Tensor
    lanes: torch.Tensor
    corners: tuple[int, int, int, int]
    weights: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
    size: int


@lru_cache(maxsize=64)
def _votes(rows: int, columns: int, lanes: int, device: torch.device) -> _Votes:
    cell_rows, cell_columns = cells(rows), cells(columns)
    used_rows, used_columns = min(cell_rows * CELL_PX, rows), min(cell_columns * CELL_PX, columns)
    up, down_share = _cell_and_share(used_rows)
    left, right_share = _cell_and_share(used_columns)

    across = ORIENTATIONS * lanes
    along = (cell_columns + 2) * across
    starts = (up[:, None] + 1) * along + (left + 1) * across
    lengths, orientations = _gradient_tables()

    def weight(vertical: np.ndarray, horizontal: np.ndarray) -> torch.Tensor:
        both = np.multiply.outer(vertical, horizontal).reshape(-1, 1).astype(np.float64)
        return torch.from_numpy(both).to(device)

    up_share, left_share = _WEIGHT_UNITS - down_share, _WEIGHT_UNITS - right_share
    return _Votes(
        used_rows=used_rows,
        used_columns=used_columns,
        tie_break=torch.from_numpy(_tie_break(used_columns)).to(device),
        lengths=torch.from_numpy(lengths).to(device),
        bins=torch.from_numpy(orientations * lanes).to(device),
        starts=torch.from_numpy(starts.reshape(-1, 1)).to(device),
        lanes=torch.arange(lanes, device=device),
        corners=(0, across, along, along + across),
        weights=(
            weight(up_share, left_share),
            weight(up_share, right_share),
            weight(down_share, left_share),
            weight(down_share, right_share),
        ),
        size=(cell_rows + 2) * along,
    )


def _cell_and_share(used: int) -> tuple[np.ndarray, np.ndarray]:
    """Of pixels 1 to used-2: the cell with the nearest center before, and the next cell's share in units."""
    pixel = np.arange(1, used - 1, dtype=np.int64)
    position = 2 * pixel + 1 - CELL_PX  # in sixteenths of a cell, from the center of the first cell
    cell = position // _WEIGHT_UNITS
    return cell, position - cell * _WEIGHT_UNITS


def _tie_break(used_columns: int) -> np.ndarray:
    """dlib prefers the later of equal channels in its registers of eight pixels, the earlier one after."""
    pixels = used_columns - 2
    in_registers = pixels // 8 * 8
    order = np.empty((1, pixels, 3, 1), dtype=np.float32)
    order[:, :in_registers, :, 0] = (0.0, 0.25, 0.5)
    order[:, in_registers:, :, 0] = (0.5, 0.25, 0.0)
    return order


@lru_cache(maxsize=1)
def _gradient_tables() -> tuple[np.ndarray, np.ndarray]:
    """Length in units, float64, and orientation, int64, of each gradient (x, y), at (x+255)*511 + y+255."""
    value = np.arange(-_OFFSET, _OFFSET + 1, dtype=np.float32)
    x, y = (axis.reshape(-1) for axis in np.meshgrid(value, value, indexing="ij"))
    lengths = np.rint(np.hypot(x, y, dtype=np.float64) * _LENGTH_UNITS)
    along = np.multiply.outer(_DIRECTIONS[:, 0], x) + np.multiply.outer(_DIRECTIONS[:, 1], y)
    # The first of equals wins, each direction coming right before its opposite.
    first = np.stack((along, -along), axis=1).reshape(ORIENTATIONS, -1).argmax(axis=0)
    return lengths, first // 2 + first % 2 * (ORIENTATIONS // 2)
