"""What a renderer takes and gives, whoever implements it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from services.rendering.views import Views


@dataclass(frozen=True)
class Rendered:
    """Pictures of ``n`` masks under ``v`` views, with what the camera knows about them.

    ``images``: uint8 (n, v, S, S, 3), RGB, sRGB encoded.
    ``points_px``: float32 (n, v, L, 2), the asked landmarks' vertices, projected (also where hidden).
    ``box_px``: float32 (n, v, 4), left, top, right, bottom of the projected mask, clipped to the picture.
    ``coverage``: float32 (n, v), share of the pixels that show the mask.
    ``usable``: bool (n,), False where a vertex is not finite (or further than 1 km away). Such a mask is not
    drawn: its coverage, points and box are 0.
    """

    images: Tensor
    points_px: Tensor
    box_px: Tensor
    coverage: Tensor
    usable: Tensor


class Renderer(Protocol):
    """Renders masks of one fixed topology."""

    def render(self, vertices: Tensor, views: Views, landmarks: Tensor) -> Rendered:
        """Render every mask under every view.

        ``vertices`` float32 (n, V, 3) in meters, ``landmarks`` int64 (L,) vertex indices.
        """
        ...
