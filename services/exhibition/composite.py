"""The mean of the elites, twice: of their geometry, and of their pictures laid over one another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.exhibition import palette
from services.exhibition.lineup import FRONT, shared_field_mm
from services.exhibition.palette import Image
from services.exhibition.procrustes import mean_mask
from services.exhibition.studio import Studio, one_by_one

_PANEL_PX = 900
_FOOT_PX = 110


def overlay(pictures: Sequence[Image]) -> Image:
    """Pictures uint8 (H, W, 4) laid over one another with equal weight, in display values."""
    stack = np.stack([p.astype(np.float64) / 255.0 for p in pictures])
    alpha = stack[..., 3:]
    total = alpha.sum(0)
    color = (stack[..., :3] * alpha).sum(0) / np.where(total > 0, total, 1.0)
    together = np.concatenate([color, total / len(pictures)], axis=-1)
    return np.rint(together * 255.0).astype(np.uint8)


def composite(
    studio: Studio,
    vertices: NDArray[np.float32],
    points: NDArray[np.floating] | None,
    how: str = "aligned on landmarks",
) -> Image:
    """A picture uint8 (H, W, 3): left the mean of the geometry, right the mean of the pictures.

    :param vertices: float32 (n, V, 3), the masks. points: (n, L, 3), the places of each that are aligned;
        None: the masks stay where they are. how: what the picture says of that.
    :raises BadInput: where there is no mask, or a vertex is not finite.
    """
    mean, aligned = mean_mask(vertices, points)
    middle, *masks = one_by_one(studio.light, [mean, *aligned])
    field = shared_field_mm([middle, *masks])
    shape, *pictures = one_by_one(lambda mask: mask.shoot(FRONT, _PANEL_PX, field), [middle, *masks])
    margin = palette.MARGIN_PX
    page = palette.backdrop(2 * _PANEL_PX + 3 * margin, _PANEL_PX + _FOOT_PX + margin)
    count = "one mask" if len(masks) == 1 else f"{len(masks)} masks"
    panels = (
        (shape, 0.55, "Mean of the shapes", f"{count}, {how}"),
        (overlay(pictures), 0.45, "Mean of the pictures", f"{count}, one exposure each"),
    )
    for k, (shot, shadow, title, note) in enumerate(panels):
        x = margin + k * (_PANEL_PX + margin)
        palette.mount(page, shot, (x, margin // 2), shadow)
        center = x + _PANEL_PX / 2
        palette.write(page, (center, _PANEL_PX + margin + 22), title, 26, palette.TEXT, "ms")
        palette.write(page, (center, _PANEL_PX + margin + 54), note, 18, palette.QUIET, "ms")
    return palette.pixels(page)
