"""Build the blank bases: ``python -m services.shape.builders.blank``.

A blank is a shell with no face in it: an oval, a plaque, an egg. Its genes are manifold harmonics (Vallet and
Levy, "Spectral Geometry Processing with Manifold Harmonics", 2008): the shapes in which the shell itself
would ring, from coarse to fine, each either even or odd under the mirror x -> -x. No file of a face is read.

Every mode moves a vertex along that vertex's one direction. Their amplitudes fall as 1 / (1 + f), f the waves
across the shell; then they are made even over the surface: noise is as high at a free edge as in the middle.
How high, decides how soon faces are found: docs/blanks.md.

The committed files are what everyone uses; nothing is decomposed at run time.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from scipy.sparse.linalg import eigsh
from scipy.spatial import cKDTree

from services.shape.basis_file import STEP_M, WAVES, PackedWaves, pack
from services.shape.character import mirror_map
from services.shape.facts import Measure

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

DATA = Path(__file__).parents[1] / "data"
COLUMNS, ROWS = 49, 65  # vertices across and down; odd, so that a column lies on the mirror
EVEN, ODD = 90, 70  # modes
RELIEF_M = 0.012  # root mean square, at every vertex, of noise whose weights have a spread of 1
FAN = (0.6, 0.45)  # how far the directions lean outward at the rim, sideways and up, for 1 to the front
RIM_M = 0.015  # within this distance of the rim a window may lead the relief down
# Noise of the usual spread: relief 11 to 16 mm, asymmetry 12 to 22 mm, roughness 1.1 to 1.9 (500 draws).
MEASURES = (
    Measure("relief", "mm", 8, 0.0, 24.0),
    Measure("asymmetry", "mm", 6, 0.0, 24.0),
    Measure("roughness", "", 4, 0.6, 1.8),
)


@dataclass(frozen=True)
class Blank:
    """A shell. surface: places (n, 3) in meters of points (n, 2) of the square [-1, 1]. round: its rim."""

    id: str
    title: str
    surface: Callable[[Doubles], Doubles]
    round: bool = True


def disc(square: Doubles) -> Doubles:
    """The unit disc's points (n, 2) for the square's, which keeps left right and up up."""
    u, v = square.T
    return np.stack([u * np.sqrt(1 - v**2 / 2), v * np.sqrt(1 - u**2 / 2)], axis=1)


def _dome(square: Doubles, steep: float) -> tuple[Doubles, Doubles, Doubles]:
    """Across, up (both -1 to 1) and to the front (0 to 1) on a cap of a ball, as even as the square is.

    steep: the share of the ball's radius, squared, that the cap's rim lies at.
    """
    flat = disc(square)
    radius = np.minimum(np.linalg.norm(flat, axis=1, keepdims=True), 1.0)
    ends = np.arcsin(np.sqrt(steep))
    flat = flat * np.sin(radius * ends) / np.maximum(radius, 1e-12) / np.sin(ends)
    return flat[:, 0], flat[:, 1], np.sqrt(np.maximum(1 - steep * (flat**2).sum(1), 0.0))


def _oval(square: Doubles) -> Doubles:
    x, y, front = _dome(square, 0.93)
    return np.stack([0.0716 * x, 0.0936 * y, 0.085 * front], axis=1)


def _plaque(square: Doubles) -> Doubles:
    u, v = square.T
    return np.stack([0.0716 * u, 0.0936 * v, 0.012 * (1 - u**2) * (1 - v**2)], axis=1)


def _egg(square: Doubles) -> Doubles:
    """Its front half, on its blunt end."""
    x, y, front = _dome(square, 0.98)
    return np.stack([0.068 * x * (1 - 0.14 * y), 0.0936 * y, 0.100 * front], axis=1)


BLANKS = (
    Blank("blank-oval-1", "an oval shell", _oval),
    Blank("blank-plaque-1", "a rectangular plaque", _plaque, round=False),
    Blank("blank-egg-1", "an egg", _egg),
)


def lattice() -> tuple[Doubles, Ints, Ints]:
    """Points (V, 2) of the square, row by row from the top; triangles (T, 3); each vertex's mirror (V,)."""
    across, down = np.linspace(-1, 1, COLUMNS), np.linspace(1, -1, ROWS)
    square = np.stack(np.meshgrid(across, down), axis=-1).reshape(-1, 2)
    index = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    # Diagonals run from the corners to the middle: a round shell has no angle at a corner, and the other
    # diagonal would cut it off.
    left, top = np.arange(COLUMNS - 1) < COLUMNS // 2, np.arange(ROWS - 1) < ROWS // 2
    rising = left[None, :] != top[:, None]
    one = np.where(rising[..., None], np.stack([a, c, b], -1), np.stack([a, c, d], -1))
    two = np.where(rising[..., None], np.stack([b, c, d], -1), np.stack([a, d, b], -1))
    return square, np.concatenate([one, two]).reshape(-1, 3), index[:, ::-1].reshape(-1)


@dataclass(frozen=True)
class Shell:
    """Points (V, 2) of the square and (V, 3) in meters, triangles (T, 3), each vertex's mirror image (V,)."""

    square: Doubles
    points: Doubles
    triangles: Ints
    mirror: Ints


def cotangents(points: Doubles, triangles: Ints) -> tuple[sparse.csr_matrix, Doubles]:
    """The cotangent Laplacian (V, V), positive, free at the rim; and each vertex's share of the area (V,)."""
    count = len(points)
    stiff = sparse.csr_matrix((count, count))
    area = np.zeros(count)
    for corner in range(3):
        k, i, j = (triangles[:, (corner + s) % 3] for s in range(3))
        u, v = points[i] - points[k], points[j] - points[k]
        twice = np.linalg.norm(np.cross(u, v), axis=1)
        weight = (u * v).sum(1) / twice / 2
        stiff = stiff + sparse.csr_matrix((weight, (i, j)), (count, count))
        np.add.at(area, k, twice / 6)
    stiff = stiff + stiff.T
    return sparse.csr_matrix(sparse.diags(np.asarray(stiff.sum(1)).ravel()) - stiff), area


Waves = tuple[Doubles, Doubles]


def harmonics(shell: Shell, sign: int, count: int) -> Waves:
    """The lowest modes of one parity but the constant: (count,) in waves a meter, and (count, V).

    sign: 1 for modes that are even under the mirror, -1 for odd ones.
    """
    points, triangles, mirror = shell.points, shell.triangles, shell.mirror
    stiff, area = cotangents(points, triangles)
    vertices = np.arange(len(points))
    kept = vertices[vertices < mirror] if sign < 0 else vertices[vertices <= mirror]
    column = np.arange(len(kept))
    own = mirror[kept] == kept
    spread = sparse.csr_matrix(
        (np.ones(len(kept)), (kept, column)), (len(points), len(kept))
    ) + sparse.csr_matrix((np.where(own, 0.0, sign), (mirror[kept], column)), (len(points), len(kept)))
    mass = sparse.csr_matrix(spread.T @ sparse.diags(area) @ spread)
    constant = 1 if sign > 0 else 0
    start = np.cos(np.arange(len(kept)) * 1.7)  # any vector will do, but the same one each time
    values, modes = eigsh(
        sparse.csc_matrix(spread.T @ stiff @ spread), count + constant, mass, sigma=-1.0, v0=start
    )
    order = np.argsort(values)[constant:]
    whole = np.asarray((spread @ modes[:, order]).T)
    whole *= np.sign(whole[np.arange(count), np.abs(whole).argmax(axis=1)])[:, None]
    return np.sqrt(np.maximum(values[order], 0)) / (2 * np.pi), whole / np.sqrt((whole**2 * area).sum(1))[
        :, None
    ]


def cosines(shell: Shell, sign: int, count: int) -> Waves:
    """As :func:`harmonics`, products of cosines over the square: a contender, see bench/blanks.py."""
    u, v = (shell.square.T + 1) / 2
    _, area = cotangents(shell.points, shell.triangles)
    across = np.sqrt(area.sum())
    kinds = [(m, k) for m in range(24) for k in range(24) if m + k and (m % 2 == 0) == (sign > 0)]
    kinds = sorted(kinds, key=lambda kind: (np.hypot(*kind), kind))[:count]
    whole = np.stack([np.cos(np.pi * m * u) * np.cos(np.pi * k * v) for m, k in kinds])
    whole /= np.sqrt((whole**2 * area).sum(axis=1))[:, None]
    return np.array([np.hypot(*kind) for kind in kinds]) / 2 / across, whole


MODES: dict[str, Callable[[Shell, int, int], Waves]] = {"harmonics": harmonics, "cosines": cosines}


def relief(
    shell: Shell, relief_m: float, modes: Callable[[Shell, int, int], Waves]
) -> tuple[Doubles, Ints, Doubles]:
    """All modes from coarse to fine: waves across the shell (G,), parities (G,), and displacements (G, V) in
    meters at weight 1, whose root mean square over noise is the same at every vertex.
    """
    _, area = cotangents(shell.points, shell.triangles)
    across = np.sqrt(area.sum())
    even, odd = modes(shell, 1, EVEN), modes(shell, -1, ODD)
    waves = np.concatenate([even[0], odd[0]]) * across
    parity = np.repeat([1, -1], [EVEN, ODD])
    order = np.argsort(waves, kind="stable")
    waves = waves[order]
    heights = (np.concatenate([even[1], odd[1]])[order] * across) / (1 + waves)[:, None]
    return waves, parity[order], heights * relief_m / np.sqrt((heights**2).sum(0))


def build(
    blank: Blank, relief_m: float = RELIEF_M, modes: Callable[[Shell, int, int], Waves] = harmonics
) -> PackedWaves:
    """One blank: its shell around the origin, its modes, and what it says of itself."""
    square, triangles, mirror = lattice()
    points = blank.surface(square)
    points -= (points.max(0) + points.min(0)) / 2
    waves, parity, heights = relief(Shell(square, points, triangles, mirror), relief_m, modes)
    across, up = (disc(square) if blank.round else square).T
    toward = np.stack([FAN[0] * across, FAN[1] * up, np.ones_like(up)], axis=1)
    toward /= np.linalg.norm(toward, axis=1, keepdims=True)
    edge = (np.abs(square) > 1 - 1e-9).any(axis=1)
    inward = np.clip(cKDTree(points[edge]).query(points)[0] / RIM_M, 0.0, 1.0)
    packed_points = np.round(points, 7).astype(np.float32)
    if not np.array_equal(mirror_map(packed_points), mirror):
        raise AssertionError(f"{blank.id}: the shell is not its own mirror image")
    header: dict[str, Any] = {
        "format": WAVES,
        "id": blank.id,
        "genes": [
            f"{'even' if p > 0 else 'odd'}-{w:05.2f}-{k:03d}"
            for k, (w, p) in enumerate(zip(waves, parity, strict=True))
        ],
        "landmarks": [],
        "step_m": STEP_M,
        "licence": "CC0-1.0",
        "source": f"{blank.title} and its manifold harmonics, computed by datamask; no face data is read",
        "facts": facts(blank, parity),
    }
    return PackedWaves(
        header,
        packed_points,
        triangles.astype(np.uint16),
        np.zeros(0, np.uint16),
        toward.astype(np.float32),
        (inward * inward * (3 - 2 * inward)).astype(np.float32),
        np.rint(heights / STEP_M).astype(np.int16),
    )


def _gene(number: int, waves: float, parity: int) -> str:
    """``even-03.21-042``: its parity, its waves across the shell, its place from coarse to fine."""
    return f"{'even' if parity > 0 else 'odd'}-{waves:05.2f}-{number:03d}"


def facts(blank: Blank, parity: Ints) -> dict[str, Any]:
    """What a blank says of itself: services/shape/facts.py."""
    return {
        "title": blank.title,
        "zero": "the blank",
        "face": False,
        "center_m": [0.0, 0.0, 0.0],
        "twin": list(range(len(parity))),
        "sign": parity.tolist(),
        "spread": 1.2,
        "sigma": 1.0,
        "limit": 3.0,
        "edge": 0.35,
        "color": "pigment-1",
        "measures": [asdict(measure) for measure in MEASURES],
    }


def main(arguments: list[str] | None = None) -> int:
    """Build the data files into ``--out``; print the hashes that catalog.py has to pin."""
    parser = argparse.ArgumentParser(prog="python -m services.shape.builders.blank", description=__doc__)
    parser.add_argument("--out", type=Path, default=DATA, help="folder to write to (default: %(default)s)")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for blank in BLANKS:
        data = pack(build(blank))
        (options.out / f"{blank.id}.npz").write_bytes(data)
        print(f"{options.out / blank.id}.npz: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
