"""Meshes and pictures as text, small enough to travel inside one page."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from services.errors import BadInput
from services.exhibition.palette import Image

_STEPS = 32767


def text_of(data: bytes) -> str:
    """Bytes as base64."""
    return base64.b64encode(data).decode("ascii")


def pack_triangles(triangles: NDArray[np.integer[Any]]) -> dict[str, Any]:
    """The topology that all masks share: triangles (T, 3) as little-endian integers in base64.

    :raises BadInput: where a corner is negative or does not fit into 32 bits.
    """
    corners = np.asarray(triangles, np.int64)
    if (
        corners.ndim != 2
        or corners.shape[1] != 3
        or corners.min(initial=0) < 0
        or corners.max(initial=0) >= 2**32
    ):
        raise BadInput(f"triangles: expected vertex indices of shape (T, 3), got shape {corners.shape}")
    wide = bool(corners.max(initial=0) > 65535)
    stored = corners.astype("<u4" if wide else "<u2")
    return {"bits": 32 if wide else 16, "count": len(corners), "data": text_of(stored.tobytes())}


def pack_vertices(vertices: NDArray[np.floating[Any]]) -> dict[str, Any]:
    """Places (V, 3) in meters as 16-bit steps: vertex = step * ``step_m``. Two bytes a coordinate.

    A mask is 0.2 m across, so that a step is a few micrometers; a printer sees a hundred.

    :raises BadInput: where a vertex is not finite.
    """
    points = np.asarray(vertices, np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
        raise BadInput(f"vertices: expected finite numbers of shape (V, 3), got shape {points.shape}")
    step = max(float(np.abs(points).max(initial=0.0)), 1e-9) / _STEPS
    return {"step_m": step, "data": text_of(np.rint(points / step).astype("<i2").tobytes())}


def picture_uri(image: Image, *, quality: int | None = None) -> str:
    """A data URI of uint8 (H, W), (H, W, 3) or (H, W, 4): PNG, or WebP of that quality (1 to 100).

    The machine's own pixels must go as PNG: WebP at any quality changes them.
    """
    buffer = io.BytesIO()
    picture = Pillow.fromarray(np.asarray(image, np.uint8))
    if quality is None:
        picture.save(buffer, "PNG", optimize=True)
        return f"data:image/png;base64,{text_of(buffer.getvalue())}"
    picture.save(buffer, "WEBP", quality=quality, method=4)
    return f"data:image/webp;base64,{text_of(buffer.getvalue())}"


def smaller(data: bytes, size_px: int) -> Image:
    """A picture file as pixels uint8 (H, W, 3), its longer side at most ``size_px``."""
    with Pillow.open(io.BytesIO(data)) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((size_px, size_px), Pillow.Resampling.LANCZOS)
    return np.asarray(picture, np.uint8)
