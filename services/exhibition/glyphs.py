"""What a machine received, and what it made of it: gradients as glyphs, the embedding as a strip."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

from services.errors import BadInput
from services.exhibition import palette
from services.exhibition.palette import Image

_GLYPH_PX = 20
_OVERSAMPLING = 4
_STRIP_PX = 40


def hog_glyphs(orientations: NDArray[np.floating[Any]]) -> Image:
    """Histograms of oriented gradients as strokes, uint8 (rows * 20, columns * 20).

    :param orientations: (rows, columns, 9), the strength of each gradient direction without its sign, from
    0 to
        180 degrees. A stroke runs along the edge, across its gradient, as in Dalal and Triggs 2005, figure 6.
    :raises BadInput: for another shape, or where a number is not finite.
    """
    strength = np.asarray(orientations, np.float32)
    if strength.ndim != 3 or strength.shape[2] != 9 or not np.isfinite(strength).all():
        raise BadInput(
            f"orientations: expected finite numbers of shape (rows, columns, 9), got {strength.shape}"
        )
    # Features are normalized over blocks, so that a flat wall's grain is as strong as an edge. What tells
    # them
    # apart is a preferred direction: each stroke shows how much its direction stands out of its cell.
    strength = np.maximum(strength - np.median(strength, axis=2, keepdims=True), 0.0)
    rows, columns, _ = strength.shape
    picture = np.zeros((rows * _GLYPH_PX, columns * _GLYPH_PX), np.float32)
    cells = picture.reshape(rows, _GLYPH_PX, columns, _GLYPH_PX)
    for k, stroke in enumerate(_strokes()):
        part = strength[:, None, :, None, k] * stroke[None, :, None, :]
        np.maximum(cells, part, out=cells)
    peak = float(np.quantile(strength.max(-1), 0.98)) if strength.size else 0.0
    shown = np.clip(picture / max(peak, 1e-6), 0.0, 1.0) ** 1.2
    return np.rint(shown * 255).astype(np.uint8)


@lru_cache(maxsize=1)
def _strokes() -> NDArray[np.float32]:
    """One stroke for each of the nine directions, (9, 20, 20) from 0 to 1."""
    side = _GLYPH_PX * _OVERSAMPLING
    drawn = []
    for k in range(9):
        angle = np.pi * k / 9 + np.pi / 2
        reach = side * 0.46
        dx, dy = np.cos(angle) * reach, np.sin(angle) * reach
        page = Pillow.new("L", (side, side), 0)
        center = side / 2
        ends = [(center - dx, center - dy), (center + dx, center + dy)]
        ImageDraw.Draw(page).line(ends, fill=255, width=_OVERSAMPLING * 2)
        drawn.append(np.asarray(page.resize((_GLYPH_PX, _GLYPH_PX), Pillow.Resampling.BOX), np.float32) / 255)
    return np.stack(drawn)


def embedding_strip(embedding: NDArray[np.floating[Any]], limit: float = 0.25) -> Image:
    """An embedding (d,) as a strip of d columns, uint8 (40, 4 d, 3): gold above zero, blue below.

    :param limit: the value at which a color is full.
    :raises BadInput: where the numbers are not finite.
    """
    values = np.asarray(embedding, np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise BadInput(f"embedding: expected finite numbers of shape (d,), got {values.shape}")
    share = np.clip(np.abs(values) / limit, 0.0, 1.0)[:, None]
    ground, gold, blue = (np.array(c, np.float64) for c in (palette.WALL, palette.YES, (96, 140, 186)))
    tint = np.where((values >= 0)[:, None], gold, blue)
    row = ground + (tint - ground) * share
    return np.repeat(np.repeat(np.rint(row).astype(np.uint8)[None], 4, axis=1), _STRIP_PX, axis=0)
