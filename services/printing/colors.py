"""Colors of a solid: one material, or the colors of the mask's vertices carried over by nearest point."""

from __future__ import annotations

import io
import re

import igl
import numpy as np
import trimesh
from numpy.typing import NDArray

from services.errors import BadInput, CorruptData
from services.printing.surface import Float, Ints
from services.srgb import linear_to_srgb

Colors = NDArray[np.uint8]


def parse_color(text: str) -> tuple[int, int, int]:
    """``#rrggbb`` to sRGB 0..255. :raises BadInput: for anything else."""
    found = re.fullmatch(r"#?([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})", text.strip())
    if found is None:
        raise BadInput(f"--color {text}: expected own, #rrggbb, gaze or gaze:MODEL")
    red, green, blue = (int(part, 16) for part in found.groups())
    return red, green, blue


def glb_colors(data: bytes, count: int, where: str) -> Colors:
    """The vertex colors of a mask's ``.glb`` as sRGB, uint8 ``(count, 3)``.

    glTF's COLOR_0 is linear. :raises CorruptData: if it is no such file; BadInput: if it has no colors.
    """
    try:
        (mesh,) = trimesh.load(io.BytesIO(data), file_type="glb", process=False).geometry.values()
    except Exception as error:  # trimesh raises whatever its readers raise
        raise CorruptData(f"{where}: cannot be read as glTF ({error}); make it anew") from None
    found = getattr(mesh.visual, "vertex_attributes", {}).get("color")
    if found is None:
        found = getattr(mesh.visual, "vertex_colors", None)
    if found is None or len(found) != count:
        raise BadInput(f"{where}: it has no color for each of the mask's {count} vertices")
    linear = np.asarray(found, np.float64)[:, :3]
    linear = linear / 255.0 if np.asarray(found).dtype == np.uint8 else linear
    srgb: Colors = np.rint(np.clip(linear_to_srgb(linear), 0, 1) * 255).astype(np.uint8)
    return srgb


def carried(points: Float, vertices: Float, triangles: Ints, colors: Colors) -> Colors:
    """The color of the nearest point of a mask for each of ``points`` ``(n, 3)``, uint8 ``(n, 3)``.

    vertices ``(V, 3)``, in the points' own frame and unit; colors uint8 ``(V, 3)``.
    """
    _, face, nearest = igl.point_mesh_squared_distance(np.ascontiguousarray(points), vertices, triangles)
    a, b, c = (np.ascontiguousarray(vertices[triangles[face, k]]) for k in range(3))
    weights = igl.barycentric_coordinates(nearest, a, b, c)
    mixed = (np.clip(weights, 0, 1)[:, :, None] * colors[triangles[face]].astype(np.float64)).sum(axis=1)
    # Sixteen steps a channel: no printer shows more, and a file with one entry a vertex serves nobody.
    stepped: Colors = np.clip(np.rint(np.clip(mixed, 0, 255) / 17) * 17, 0, 255).astype(np.uint8)
    return stepped
