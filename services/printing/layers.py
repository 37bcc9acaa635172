"""What a printer leaves on a surface, the steps of its layers or grain: which way it faces, point by point.

A step is a tenth of a millimeter and a solid a quarter of a meter: as triangles its steps would be millions.
So the surface around each point is taken for the plane that it is at that size, the plane is cut into layers
as a slicer cuts it, and what the camera sees there is worked out exactly. Nothing throws shadows on its
neighbors, as nowhere in the renderer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

_REACH = 3  # layers on either side that a line of sight is followed through
_FLAT = 1e-6  # sine of the slope below which a plane lies in its layer
_WAVES = 64


def stepped(
    normals: Float, toward_camera: Float, heights_mm: Float, axis: Float, layer_mm: float, beads: bool = False
) -> Float:
    """The normals (n, 3) that a camera sees on a surface that is built of layers.

    Each layer is as wide as the solid is at its middle, with upright sides.

    :param normals: unit (n, 3), of the smooth surface, toward the camera's side. toward_camera: unit (n, 3).
    :param heights_mm: (n,), of the points above the printer's bed. axis: unit (3,), in which layers are
        stacked. beads: sides are half round, as strands of plastic are.
    """
    slope_up = normals @ axis
    across = normals - slope_up[:, None] * axis
    slope = np.linalg.norm(across, axis=1)
    flat = slope < _FLAT
    out = np.divide(across, slope[:, None], where=~flat[:, None], out=np.zeros_like(across))
    # In the plane of axis and slope: the line of sight is t * (view_out, view_up), the solid lies where
    # slope * a + slope_up * z <= 0.
    view_out, view_up = (toward_camera * out).sum(axis=1), toward_camera @ axis
    lean = np.divide(slope_up, slope, where=~flat, out=np.zeros_like(slope))
    round_mm = layer_mm / 2 if beads else 0.0
    first = np.floor(heights_mm / layer_mm) * layer_mm - heights_mm  # of the point's own layer, its bottom
    nearest = np.full(len(normals), -np.inf)
    seen = np.where(flat[:, None], np.sign(slope_up)[:, None] * axis, normals)

    def take(t: Float, there: NDArray[np.bool_], facing: Float) -> None:
        nearer = there & (t > nearest) & ~flat
        nearest[nearer] = t[nearer]
        seen[nearer] = facing[nearer]

    with np.errstate(divide="ignore", invalid="ignore"):
        for k in range(-_REACH, _REACH + 1):
            low = first + k * layer_mm
            high = low + layer_mm
            edge = -lean * (low + high) / 2  # how far out the layer goes
            # The face of the layer that its neighbor leaves bare: the top where the surface looks up.
            level = np.where(slope_up > 0, high, low)
            inner = edge - np.abs(lean) * layer_mm - round_mm
            t = level / view_up
            a = t * view_out
            bare = (slope_up * view_up > 0) & (a >= inner) & (a <= edge - round_mm)
            take(t, bare, np.sign(slope_up)[:, None] * axis)
            if not beads:
                t = edge / view_out
                z = t * view_up
                take(t, (view_out > 0) & (z >= low) & (z <= high), out)
                continue
            center_out, center_up = edge - round_mm, (low + high) / 2
            length = view_out**2 + view_up**2
            middle = (view_out * center_out + view_up * center_up) / length
            root = middle**2 - (center_out**2 + center_up**2 - round_mm**2) / length
            t = middle + np.sqrt(root)
            facing_out = (t * view_out - center_out) / round_mm
            facing_up = (t * view_up - center_up) / round_mm
            facing = facing_out[:, None] * out + facing_up[:, None] * axis
            take(t, (root >= 0) & (facing_out >= 0), facing)
    return seen


def grained(normals: Float, points_mm: Float, rms_mm: float, length_mm: float, seed: int = 0) -> Float:
    """The normals (n, 3) of a surface with grain: random heights that belong to the solid, not to a view.

    Their autocorrelation is exp(-r² / length_mm²), their root mean square ``rms_mm``: a slope of
    ``2 rms_mm / length_mm``. Made of plane waves (Shinozuka and Deodatis 1991).

    :param normals: unit (n, 3). points_mm: (n, 3), where they are on the solid.
    """
    rng = np.random.default_rng(seed)
    waves = rng.normal(0.0, np.sqrt(2.0) / length_mm, (_WAVES, 3))
    phases = rng.uniform(0.0, 2 * np.pi, _WAVES)
    rise = -rms_mm * np.sqrt(2.0 / _WAVES) * np.sin(points_mm @ waves.T + phases) @ waves
    along = rise - (rise * normals).sum(axis=1, keepdims=True) * normals
    tilted = normals - along
    found: Float = tilted / np.linalg.norm(tilted, axis=1, keepdims=True)
    return found
