"""A wall as a level set: distance to its core on a grid, made one body without cavities, meshed.

Only voxels near the level are asked for their exact distance (libigl's tree of bounding boxes); all others
need a sign. The grid is mended where marching cubes could go two ways, so that the mesh is a manifold
whatever the mask: see :func:`well_composed`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import igl
import numpy as np
from manifold3d import Manifold, Mesh
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from services.errors import BadInput, DatamaskError
from services.printing.surface import Float, Ints, sample

VOXEL_MM = 0.5
STRUT_MM = 4.0  # thickness of what ties a loose part to the rest: the least bridge that we allow
CRUMB_MM3 = 40.0  # a loose part smaller than this is dropped
MOST_VOXELS = 120_000_000
_BLOCK = 8
_STRUTS = 3
_STRUT_APART_MM = 8.0
_LEAST = 1e-3  # values nearer to the level than this, in voxels, would make needles

Volume = NDArray[np.float32]
Solid = NDArray[np.bool_]


@dataclass
class Grid:
    """Values over voxels: ``values[i, j, k]`` at ``origin_mm + (i, j, k) * voxel_mm``, positive inside."""

    values: Volume
    origin_mm: Float
    voxel_mm: float


@dataclass(frozen=True)
class Mended:
    """To make one body of it: what was filled and dropped (cubic millimeters), and parts tied on."""

    cavities_mm3: float
    crumbs_mm3: float
    tied_parts: int


def wall_grid(core: Float, triangles: Ints, wall_mm: float, voxel_mm: float) -> Grid:
    """Half the wall less the distance to the core ``(n, 3)``: exact within a voxel of 0, signs elsewhere.

    :raises BadInput: where the mask would need too large a grid.
    """
    reach = wall_mm / 2 + 2 * voxel_mm
    low, high = core.min(axis=0) - reach, core.max(axis=0) + reach
    block_mm = _BLOCK * voxel_mm
    blocks = np.ceil((high - low) / block_mm).astype(np.int64) + 1
    if float(np.prod(blocks * _BLOCK)) > MOST_VOXELS:
        size = " x ".join(f"{side:.0f}" for side in high - low)
        enough = voxel_mm * (float(np.prod(blocks * _BLOCK)) / MOST_VOXELS) ** (1 / 3) + 0.05
        raise BadInput(
            f"a solid of {size} mm is too large for {voxel_mm:.2g} mm voxels; print it smaller, or take "
            f"--voxel-mm {enough:.1f} and a wall of three voxels or more"
        )
    near = np.zeros(blocks, bool)
    points, _, _ = sample(core, triangles, min(1.0, block_mm / 2))
    near[tuple(((points - low) / block_mm).astype(np.int64).T)] = True
    near = ndimage.binary_dilation(
        near, np.ones((3, 3, 3), np.bool_), iterations=int(np.ceil(reach / block_mm))
    )
    values = np.full(blocks * _BLOCK, -1.0, np.float32)
    grid = Grid(values, low, voxel_mm)
    # Pairs of voxels first, by their middle: a distance changes no faster than one walks.
    coarse = _children(np.argwhere(near), _BLOCK // 2)
    middle = (coarse * 2 + 0.5) * voxel_mm + low
    level = wall_mm / 2 - _distance(middle, core, triangles)
    fine = _children(coarse, 2).reshape(len(coarse), 8, 3)
    values[tuple(fine.reshape(-1, 3).T)] = np.repeat(level, 8)
    reach_in = (0.5 * 3**0.5 + 1.01) * voxel_mm
    asked = fine[np.abs(level) < reach_in].reshape(-1, 3)
    exact = wall_mm / 2 - _distance(asked * voxel_mm + low, core, triangles)
    values[tuple(asked.T)] = exact
    return grid


def _children(cells: Ints, factor: int) -> Ints:
    """Indices ``(n * factor ** 3, 3)`` of the cells inside larger ones, grouped by parent."""
    step = np.arange(factor)
    offsets = np.stack(np.meshgrid(step, step, step, indexing="ij"), axis=-1).reshape(-1, 3)
    return (cells[:, None] * factor + offsets).reshape(-1, 3)


def _distance(points: Float, core: Float, triangles: Ints) -> Float:
    squared = igl.point_mesh_squared_distance(np.ascontiguousarray(points), core, triangles)[0]
    distance: Float = np.sqrt(squared)
    return distance


def mend(grid: Grid) -> Mended:
    """Make the inside one body without cavities, in place: fill, tie on or drop what is loose.

    :raises DatamaskError: where that does not come to an end.
    """
    cavities = crumbs = 0.0
    tied = 0
    voxel_mm3 = grid.voxel_mm**3
    for _ in range(6):
        # Parts and gaps of a well-composed set touch nowhere, so filling and dropping whole ones keeps it so.
        well_composed(grid)
        inside: NDArray[np.bool_] = np.asarray(grid.values > 0)
        cavities += _fill(grid, inside) * voxel_mm3
        dropped, joined = _join(grid, inside)
        crumbs, tied = crumbs + dropped * voxel_mm3, tied + joined
        if not joined:
            return Mended(cavities, crumbs, tied)
    raise DatamaskError("the solid's grid could not be made one body; please report the run and the mask")


def _fill(grid: Grid, inside: Solid) -> int:
    """Fill what cannot be reached from outside; how many voxels."""
    regions, count = ndimage.label(~inside)
    if count < 2:
        return 0
    closed = (regions != regions[0, 0, 0]) & ~inside
    grid.values[closed] = grid.voxel_mm
    inside[closed] = True
    return int(closed.sum())


def _join(grid: Grid, inside: Solid) -> tuple[int, int]:
    """Drop crumbs and tie larger loose parts to the body: voxels dropped, parts tied."""
    parts, count = ndimage.label(inside)
    if count < 2:
        return 0, 0
    size = np.bincount(parts.reshape(-1))
    size[0] = 0
    body = int(size.argmax())
    small = size * grid.voxel_mm**3 < CRUMB_MM3
    small[0] = False
    small[body] = False
    crumbs = small[parts]
    grid.values[crumbs] = -grid.voxel_mm
    inside[crumbs] = False
    loose = [k for k in range(1, count + 1) if k != body and not small[k]]
    edge = inside & ~ndimage.binary_erosion(inside)
    at = np.argwhere(edge)
    owner = parts[tuple(at.T)]
    held = owner == body
    for part in sorted(loose, key=lambda k: -size[k]):
        mine = owner == part
        for start, end in _shortest(at[mine] * grid.voxel_mm, at[held] * grid.voxel_mm):
            _capsule(grid, start + grid.origin_mm, end + grid.origin_mm, STRUT_MM / 2)
        held |= mine
    return int(crumbs.sum()), len(loose)


def _shortest(loose: Float, body: Float) -> list[tuple[Float, Float]]:
    """The shortest ways from a loose part to the body that are not side by side, three at most."""
    found = cKDTree(body).query(loose)
    length, nearest = np.asarray(found[0], np.float64), np.asarray(found[1], np.int64)
    ways: list[tuple[Float, Float]] = []
    for k in np.argsort(length, kind="stable"):
        if ways and length[k] > 2 * length.min() + STRUT_MM:
            break
        if all(np.linalg.norm(loose[k] - start) >= _STRUT_APART_MM for start, _ in ways):
            ways.append((loose[k], body[nearest[k]]))
        if len(ways) == _STRUTS:
            break
    return ways


def _capsule(grid: Grid, start: Float, end: Float, radius_mm: float) -> None:
    """Add a rod with round ends, in place."""
    reach = radius_mm + 2 * grid.voxel_mm
    low = np.floor((np.minimum(start, end) - reach - grid.origin_mm) / grid.voxel_mm).astype(int)
    high = np.ceil((np.maximum(start, end) + reach - grid.origin_mm) / grid.voxel_mm).astype(int) + 1
    low, high = np.maximum(low, 1), np.minimum(high, np.array(grid.values.shape) - 1)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    axes = [np.arange(a, b) * grid.voxel_mm + o for a, b, o in zip(low, high, grid.origin_mm, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    along = end - start
    share = np.clip((points - start) @ along / max(float(along @ along), 1e-9), 0, 1)
    distance = np.linalg.norm(points - start - share[..., None] * along, axis=-1)
    grid.values[box] = np.maximum(grid.values[box], radius_mm - distance)


def well_composed(grid: Grid) -> int:
    """Add voxels where inside voxels touch by an edge or a corner only, in place; how many were added.

    Latecki, Eckhardt and Rosenfeld 1995, "Well-composed sets": without such places the boundary is a
    manifold, and marching cubes has no ambiguous case to decide. Of the voxels that would part a touching
    pair the one nearest to the wall is taken, so that the solid grows by little. All of them lie between
    full ones: what is added never leaves the box of what was there, nor reaches the border of the grid.
    """
    inside: NDArray[np.bool_] = np.asarray(grid.values > 0)
    parting_codes: NDArray[np.bool_] = np.asarray(_PARTING.any(axis=1))
    cubes = np.argwhere(parting_codes[_codes(inside.view(np.uint8))])
    added = 0
    while len(cubes):  # it ends, for each round fills a voxel
        corners = tuple((cubes[:, None] + _CUBE).transpose(2, 0, 1))
        parting = _PARTING[inside[corners] @ _BITS]
        best = np.where(parting, grid.values[corners], -np.inf).argmax(axis=1)
        new = np.unique((cubes + _CUBE[best])[parting.any(axis=1)], axis=0)
        grid.values[tuple(new.T)] = 0.25 * grid.voxel_mm
        inside[tuple(new.T)] = True
        added += len(new)
        # Only cubes around new voxels can have become critical, or still be so.
        cubes = np.unique((new[:, None] - _CUBE).reshape(-1, 3), axis=0)
        cubes = cubes[((cubes >= 0) & (cubes < np.array(inside.shape) - 1)).all(axis=1)]
    return added


def _codes(inside: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Which of its eight corners are full, one bit each, for every cube of 2 x 2 x 2 voxels."""
    codes = np.zeros(np.array(inside.shape) - 1, np.uint8)
    for bit, (i, j, k) in enumerate(_CUBE):
        x, y, z = (slice(at, at + side) for at, side in zip((i, j, k), codes.shape, strict=True))
        codes |= inside[x, y, z] << np.uint8(bit)
    return codes


def _parting() -> NDArray[np.bool_]:
    """For each code, ``(256, 8)``: the empty corners between voxels that touch by edge or corner alone."""
    table = np.zeros((256, 2, 2, 2), bool)
    for code, parting in enumerate(table):
        full = np.array([(code >> bit) & 1 for bit in range(8)], bool).reshape(2, 2, 2)
        for axis in range(3):
            for square, mark in zip(np.moveaxis(full, axis, 0), np.moveaxis(parting, axis, 0), strict=True):
                if square[0, 0] == square[1, 1] != square[0, 1] == square[1, 0]:
                    mark |= ~square
        for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
            pair = full[i, j, 0], full[1 - i, 1 - j, 1]
            others = full.sum() - sum(pair)
            if (all(pair) and others == 0) or (not any(pair) and others == 6):
                parting |= ~full
    return table.reshape(256, 8)


_CUBE = np.array([(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)])
_BITS = 1 << np.arange(8)
_PARTING = _parting()


def mesh_of(grid: Grid) -> Manifold:
    """The surface where the values are 0, as a manifold in millimeters.

    :raises DatamaskError: where it is none; that is a fault of ours.
    """
    values = grid.values
    small = _LEAST * grid.voxel_mm
    values[(values > -small) & (values <= 0)] = -small
    values[(values > 0) & (values < small)] = small
    points, triangles, _, _ = marching_cubes(values, 0.0, gradient_direction="ascent")
    return as_manifold(points * grid.voxel_mm + grid.origin_mm, triangles)


def as_manifold(points: NDArray[Any], triangles: NDArray[Any]) -> Manifold:
    """A manifold of points ``(n, 3)`` and triangles ``(m, 3)``. :raises DatamaskError: where it is none."""
    mesh = Mesh(np.ascontiguousarray(points, np.float32), np.ascontiguousarray(triangles, np.uint32))
    body = Manifold(mesh)
    if body.status().name != "NoError" or body.is_empty():
        raise DatamaskError(f"the solid's mesh is no manifold ({body.status().name}); please report the mask")
    return body
