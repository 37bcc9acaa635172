"""A mask as a thing: solid, openings, checks, files, and the machines' verdict on it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from manifold3d import Manifold
from numpy.typing import NDArray

from services.errors import BadInput
from services.numbers import finite
from services.printing import files
from services.printing.catalog import BRIDGE_MM, Order
from services.printing.checks import (
    BED,
    Built,
    Check,
    Thickness,
    built,
    check,
    crossings,
    lacking_mm,
    thickness,
)
from services.printing.colors import carried, glb_colors, parse_color
from services.printing.drawing_sheet import Caption, caption_card, drawing_sheet
from services.printing.eyes import with_eyes
from services.printing.field import VOXEL_MM
from services.printing.fittings import add_fittings
from services.printing.openings import Fitted, known_places, open_up, seen_places
from services.printing.parts import PrintPart, apart, way_to_lie
from services.printing.solid import Wall, arrays, as_written, make_wall, redone, voxel_for
from services.recognition import attribution
from services.recognition.fitness import Objective
from services.rendering.views import ViewRanges, sample_views
from services.shape.basis import Basis, load_basis
from services.shape.decode import Decoder
from services.shape.export import notes_of, write_glb
from services.storage.store import Store
from services.wire.page_plan import read_json
from worker.examination.rescore import LOSS_SHARE, Rescorer, Scored, lost
from worker.examination.sites import Sites, find_sites
from worker.eye import Eye

FORMAT = 1
# Corners closer than a file's numbers can tell apart would fall together there, and leave holes. The larger
# steps are for a few faces that came to cross: they often lie apart again once their neighbors have moved.
MERGE_MM = (0.002, 0.004, 0.008)
# Tolerances of the decimation that follow SIMPLIFY_MM where faces came to cross: nearly as many faces are
# saved, and only the last, none, keeps them all.
GENTLER_MM = (0.022, 0.015, 0.009, 0.004, 0.0)
# So often a wall is built that comes out a little too thin, each time thicker by what it lacked and more.
BUILDS = 3
LITTLE_SHARE = 0.1
COLOR_EDGE_MM = 1.5  # a colored solid gets points this close
OWN = "own"
GAZE_STEPS = 41  # colors of a gaze map's legend

Float = NDArray[np.float32]
Told = Callable[[str], None]  # of each stage, as it begins


@dataclass(frozen=True)
class PrintJob:
    """One mask to print. genome: float32 (d,). notes: run, date, licence ... for the files' metadata.

    objectives, targets, hashes, combine: what its fitness is made of, see Rescorer. ranges,
    view_seed, view_count: the held-out views. color: "own" (its color genes), "#rrggbb", "gaze" or
    "gaze:MODEL"; None: its own where it has some and the process prints in color, else the material's.
    controls: in how many views each detector sees a face in the run's controls, in words, by detector.
    """

    id: str
    basis: str
    basis_sha256: str
    genome: Float
    order: Order
    objectives: tuple[Objective, ...]
    targets: Mapping[str, Float]
    ranges: ViewRanges
    view_seed: int
    view_count: int
    notes: Mapping[str, str]
    title: str
    date: str
    color: str | None = None
    voxel_mm: float = VOXEL_MM
    force: bool = False
    models: Sequence[Mapping[str, Any]] = ()
    hashes: Mapping[str, str] = field(default_factory=dict)
    combine: tuple[str, ...] = ()
    controls: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Printed:
    """What came of a job. files: by name, empty where checks failed and nothing was forced.

    before: the mask as the search saw it; after: the solid in the same views; made_of: the solid in the color
    that it is printed in, None where it is printed in colors of its own.
    """

    id: str
    checks: list[Check]
    passed: bool
    before: Scored
    after: Scored
    made_of: Scored | None
    cause: str | None
    files: dict[str, bytes] = field(repr=False)
    report: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Solid:
    """A mask as a thing. work: what was opened and joined, or could not be. body: the whole, in the wall's
    frame. crossing: how many pairs of its faces cross, 0 unless all else failed. around, thick: what it was
    made around, and how thick it came out.
    """

    wall: Wall
    work: Fitted
    body: Manifold
    crossing: int
    around: Built
    thick: Thickness


def print_masks(
    run: Store, jobs: Sequence[PrintJob], progress: Callable[[str, int, int], None] = lambda *_: None
) -> list[Printed]:
    """Print several masks; the store is read for colors only. progress: called with stage, done, total."""
    done = []
    for k, job in enumerate(jobs):
        stages: list[str] = []

        def tell(stage: str, k: int = k, stages: list[str] = stages) -> None:
            for over in stages[-1:]:
                progress(over, k + 1, len(jobs))
            stages.append(stage)
            progress(stage, k, len(jobs))

        done.append(print_mask(run, job, tell))
        progress(stages[-1], k + 1, len(jobs))
    return done


def print_mask(run: Store, job: PrintJob, progress: Told = lambda _: None) -> Printed:
    """Make one solid, check it, score it again and write its files into memory.

    :raises BadInput: where the genome is of another basis, or the mask has no solid.
    """
    started = time.monotonic()
    basis = load_basis(job.basis)
    if basis.sha256 != job.basis_sha256 or len(job.genome) != len(basis.gene_names):
        raise BadInput(
            f"mask {job.id}: its genome is of another version of basis {job.basis} (sha256 "
            f"{job.basis_sha256[:12]}..., here {basis.sha256[:12]}...); print with the one that evolved it"
        )
    decoder = Decoder(basis)
    weights = torch.from_numpy(np.array(job.genome, np.float32)[None])
    vertices = decoder.decode(weights)[0].numpy()
    eyed, corners = with_eyes(vertices, basis.triangles, basis.landmarks, job.order.eyes)
    paint = _Paint(wanted_colors(run, job, decoder), decoder.colors(weights))
    views = sample_views(job.ranges, job.view_count, job.view_seed)
    rescorer = Rescorer(basis, job.objectives, job.targets, views, job.hashes, job.combine)
    sites = None
    if job.order.mount == "wear" and not basis.landmarks:
        progress("machines' eyes")
        sites = find_sites(Eye(basis), job.genome)
    solid = make_solid(eyed, basis, job.order, job.voxel_mm, _mark(job), progress, sites, corners)
    wall, body = solid.wall, solid.body
    # Two looks at one solid that know nothing of each other; both leave Python alone for long.
    with ThreadPoolExecutor(1) as beside:
        checking = beside.submit(check, body, job.order, solid.around, solid.crossing, solid.thick)
        after = _seen(rescorer, body, wall, vertices, paint)
        color = _shown_color(job, paint)
        made_of = None if color is None else _seen(rescorer, body, wall, vertices, paint, color)
        checks, thick = checking.result()
    parts: list[PrintPart] = []
    if job.order.parts:
        progress("parts")
        parts = apart(body, job.order, solid.work.clear)
        checks = [_fit(line, parts, job.order) for line in checks]
    passed = all(line.passed is not False for line in checks)
    progress("what was lost")
    before = rescorer.score(vertices, np.asarray(basis.triangles, np.int64), vertices, paint.evolved)
    cause = _cause(before, after, rescorer, wall, vertices, paint)
    written: dict[str, bytes] = {}
    report = _report(job, solid, checks, thick, before, after, _in_color(made_of, job, color), cause, sites)
    report["parts"] = [_told(part, job.order) for part in parts]
    report["parts_weight_g"] = _weight_of(parts, job.order)
    report["gaze"] = _gaze(run, job)
    if passed or job.force:
        progress("files")
        written = _files(job, basis, wall, body, report, paint.printed, parts)
    report["seconds"] = round(time.monotonic() - started, 1)
    written[f"{job.id}.print.json"] = (json.dumps(report, indent=1, allow_nan=False) + "\n").encode()
    return Printed(job.id, checks, passed, before, after, made_of, cause, written, report)


def make_solid(
    vertices: Float,
    basis: Basis,
    order: Order,
    voxel_mm: float = VOXEL_MM,
    mark: str | None = None,
    progress: Told = lambda _: None,
    sites: Sites | None = None,
    triangles: NDArray[np.integer] | None = None,
) -> Solid:
    """The solid of a mask, ``(V, 3)`` in meters: its wall, openings, fittings, and the mark if there is one.

    sites: where machines see eyes on it, for a basis without landmarks. triangles: ``(T, 3)``, None: those of
    the basis.

    :raises BadInput: where the mask has no solid.
    """
    spare_mm = 0.0
    for _ in range(BUILDS):
        corners = basis.triangles if triangles is None else triangles
        wall = make_wall(vertices, corners, order, voxel_mm, progress=progress, spare_mm=spare_mm)
        solid = _finished(wall, basis, order, mark, progress, sites)
        lacking = lacking_mm(solid.thick, order)
        # Flat faces between voxels cut off what is round, and may do so more than was allowed for. Where much
        # is lacking it is not that.
        if not 0 < lacking < LITTLE_SHARE * order.wall_mm:
            break
        spare_mm += lacking + order.wall_mm / 100
    return solid


def _finished(
    wall: Wall, basis: Basis, order: Order, mark: str | None, progress: Told, sites: Sites | None
) -> Solid:
    """A wall with its openings and fittings, decimated until no faces cross."""
    for gentler in (*GENTLER_MM, None):
        progress("openings")
        if basis.landmarks:
            work = open_up(wall, known_places(wall, basis.landmarks), order)
        else:
            seen, why = (sites.at, sites.words) if sites is not None else ({}, "no machine was asked where")
            work = open_up(wall, seen_places(wall, seen), order, why)
        add_fittings(work, wall, order, mark)
        progress("checks and scores")
        body, crossing = _merged(work.body)
        # Decimation may let the sides of a narrow fold cross; then it is done again, more gently.
        if not crossing or gentler is None:
            break
        wall = redone(wall, gentler)
    around = built(wall, work)
    return Solid(wall, work, body, crossing, around, thickness(*arrays(body), around))


def _merged(body: Manifold) -> tuple[Manifold, int]:
    """The body without corners that lie in one place, and how many pairs of its faces still cross."""
    for merge_mm in MERGE_MM:
        merged = body.simplify(merge_mm)
        if not (crossing := crossings(merged)):
            break
    return merged, crossing


def _fit(line: Check, parts: Sequence[PrintPart], order: Order) -> Check:
    """The line on the bed, of the parts in place of the whole."""
    if line.name != BED:
        return line
    largest = max(parts, key=lambda part: max(part.size_mm))
    size = " x ".join(f"{side:.1f}" for side in largest.size_mm)
    fit = all(way_to_lie(part.size_mm, order) for part in parts)
    return Check(BED, f"{len(parts)} parts, the longest {size} mm", fit, float(fit))


def _told(part: PrintPart, order: Order) -> dict[str, Any]:
    """A part as the report has it."""
    volume = float(part.body.volume()) / 1000
    return {
        "name": part.name,
        "size_mm": [round(side, 1) for side in part.size_mm],
        "volume_cm3": round(volume, 2),
        "weight_g": round(volume * order.process.density_g_cm3, 1),
        "pegs": part.pegs,
        "holes": part.holes,
    }


def _weight_of(parts: Sequence[PrintPart], order: Order) -> float | None:
    """What several parts weigh, bosses and pegs included; None where the solid is one."""
    if len(parts) < 2:
        return None
    volume = sum(float(part.body.volume()) for part in parts) / 1000
    return round(volume * order.process.density_g_cm3, 1)


def _mark(job: PrintJob) -> str | None:
    if job.order.edition is None:
        return None
    number, of = job.order.edition
    return f"{job.id}  {number}/{of}"


@dataclass(frozen=True)
class _Paint:
    """printed: uint8 (V, 3), the colors of the print, or None for one. genes: float32 (1, V, 3), or None."""

    printed: NDArray[np.uint8] | None
    genes: torch.Tensor | None

    @property
    def evolved(self) -> Float | None:
        """The colors that the search saw, float32 (V, 3)."""
        return None if self.genes is None else np.asarray(self.genes[0].numpy(), np.float32)

    def on(self, points: NDArray[np.float64], wall: Wall) -> Float | None:
        """The print's colors at points (n, 3) of the solid, float32."""
        if self.printed is None:
            return None
        return carried(points, wall.vertices, wall.triangles, self.printed).astype(np.float32) / 255.0


def _seen(
    rescorer: Rescorer, body: Manifold, wall: Wall, mask: Float, paint: _Paint, color: str | None = None
) -> Scored:
    """Score a solid: at the mask's own size, so that the camera stands where it stood.

    Maps of what a machine looks at are no colors that it was bred in: those are left out.

    :param color: the one color to show it in, in place of what the search saw.
    """
    if color is not None:
        points, triangles = arrays(body)
        return rescorer.score((points / wall.scale).astype(np.float32), triangles, mask, None, color)
    if paint.genes is not None and paint.printed is not None:
        body = body.refine_to_length(COLOR_EDGE_MM)
    points, triangles = arrays(body)
    tint = None if paint.genes is None else paint.on(points, wall)
    return rescorer.score((points / wall.scale).astype(np.float32), triangles, mask, tint)


def _cause(
    before: Scored, after: Scored, rescorer: Rescorer, wall: Wall, mask: Float, paint: _Paint
) -> str | None:
    """What cost the margin: take the openings away, then the wall, and see what comes back."""
    names = lost(before, after)
    if not names:
        return None
    plain = _seen(rescorer, wall.body, wall, mask, paint)
    points = wall.sheet.points
    tint = None if paint.genes is None else paint.on(points, wall)
    sheet = rescorer.score((points / wall.scale).astype(np.float32), wall.sheet.triangles, mask, tint)
    steps = (
        ("openings and fittings", plain, after),
        ("wall", sheet, plain),
        ("smoothing" if paint.genes is None else "smoothing and color", before, sheet),
    )
    share = {name: sum(fuller.values[k] - poorer.values[k] for k in names) for name, fuller, poorer in steps}
    worst = max(share, key=lambda name: share[name])
    figures = ", ".join(f"{name} {-value:+.2f}" for name, value in share.items())
    return f"{', '.join(names)} lost more than {LOSS_SHARE:.0%} of its margin; cause: {worst} ({figures})"


def _report(
    job: PrintJob,
    solid: Solid,
    checks: Sequence[Check],
    thick: Thickness,
    before: Scored,
    after: Scored,
    made_of: dict[str, Any] | None,
    cause: str | None,
    sites: Sites | None,
) -> dict[str, Any]:
    wall, work, body = solid.wall, solid.work, solid.body
    points, triangles = arrays(body)
    order = job.order
    volume = float(body.volume())
    return {
        "format": FORMAT,
        "id": job.id,
        "title": job.title,
        "process": order.process.name,
        "material": order.process.material,
        "mount": order.mount,
        "edition": None if order.edition is None else "{}/{}".format(*order.edition),
        "wall_mm": order.wall_mm,
        "width_wanted_mm": order.width_mm,
        "size_mm": [round(float(side), 3) for side in np.ptp(points, axis=0)],
        "scale_mm_per_m": round(wall.scale, 3),
        "volume_cm3": round(volume / 1000, 2),
        "weight_g": round(volume / 1000 * order.process.density_g_cm3, 1),
        "triangles": len(triangles),
        "voxel_mm": round(voxel_for(order.wall_mm, job.voxel_mm), 3),
        "from_evolved_surface_mm": {k: round(v, 3) for k, v in asdict(wall.deviation).items()},
        "decimation_mm": round(wall.simplify_mm, 3),
        "mended": {k: round(v, 2) for k, v in asdict(wall.mended).items()},
        "sites": None if sites is None else sites.told(),
        "openings": work.notes,
        "not_made": work.refused,
        "openings_crumbs_mm3": round(work.crumbs_mm3, 2),
        "bridge_mm": BRIDGE_MM,
        "thickness": {k: finite(v, 3) for k, v in asdict(thick).items()},
        "checks": [asdict(line) for line in checks],
        "views": {"seed": job.view_seed, "count": job.view_count},
        "before": asdict(before),
        "after": asdict(after),
        "made_of": made_of,
        "controls": dict(job.controls),
        "warning": cause,
        "licence": job.notes.get("LicenseTerms", ""),
    }


def _files(
    job: PrintJob,
    basis: Basis,
    wall: Wall,
    body: Manifold,
    report: dict[str, Any],
    vertex_colors: NDArray[np.uint8] | None,
    parts: Sequence[PrintPart],
) -> dict[str, bytes]:
    color = _one_color(job)
    whole = body
    if vertex_colors is not None:
        body = body.refine_to_length(COLOR_EDGE_MM)
    own, triangles = as_written(body)
    report["triangles"] = len(triangles)  # points for colors included
    points = own - own.min(axis=0)
    colors = None
    if vertex_colors is not None:
        colors = carried(own, wall.vertices, wall.triangles, vertex_colors)
    part = files.Part(job.id, points, triangles, color, colors, job.notes)
    name = job.id
    meters = (own / 1000).astype(np.float32)
    extras = {"mask": name, **notes_of(basis.id), "units": "m", **job.notes}
    glb_paint = colors if colors is not None else files.point_colors(part)
    made = {
        f"{name}.3mf": files.three_mf(part),
        f"{name}.stl": files.stl(part),
        f"{name}.obj": files.obj(part, f"{name}.mtl"),
        f"{name}.mtl": files.mtl(part),
        f"{name}.ply": files.ply(part),
        f"{name}.glb": write_glb(meters, triangles, np.array(glb_paint), name, extras),
        f"{name}.sheet.pdf": drawing_sheet(whole, report, color, parts),
        f"{name}.caption.pdf": caption_card(
            Caption(job.title, job.date, name, report, [dict(m) for m in job.models])
        ),
    }
    for piece in parts if len(parts) > 1 else ():
        made |= _part_files(f"{name}.part-{piece.name}", piece, job, wall, color, vertex_colors)
    report["files"] = {key: len(data) for key, data in made.items()}
    return made


def _part_files(
    name: str,
    piece: PrintPart,
    job: PrintJob,
    wall: Wall,
    color: tuple[int, int, int],
    vertex_colors: NDArray[np.uint8] | None,
) -> dict[str, bytes]:
    """One part of a solid, for a printer."""
    body = piece.body if vertex_colors is None else piece.body.refine_to_length(COLOR_EDGE_MM)
    own, triangles = as_written(body)
    colors = None if vertex_colors is None else carried(own, wall.vertices, wall.triangles, vertex_colors)
    part = files.Part(
        name, own - own.min(axis=0), triangles, color, colors, {**job.notes, "part": piece.name}
    )
    made = {f"{name}.3mf": files.three_mf(part), f"{name}.stl": files.stl(part)}
    return made if colors is None else {**made, f"{name}.ply": files.ply(part)}


def _shown_color(job: PrintJob, paint: _Paint) -> str | None:
    """The color that the whole solid comes out in, as ``#rrggbb``; None where it has several."""
    several = paint.printed is not None and not (job.color or "").startswith("#")
    return None if several else "#{:02x}{:02x}{:02x}".format(*_one_color(job))


def _in_color(seen: Scored | None, job: PrintJob, color: str | None) -> dict[str, Any] | None:
    """The report's words on the solid in the color that it is printed in."""
    if seen is None:
        return None
    return {"color": color, "material": job.order.process.material, **asdict(seen)}


def _one_color(job: PrintJob) -> tuple[int, int, int]:
    """The color of the whole, where the solid has no other."""
    if job.color is None or job.color == OWN or job.color.partition(":")[0] == "gaze":
        return job.order.process.color_srgb
    return parse_color(job.color)


def wanted_colors(run: Store, job: PrintJob, decoder: Decoder) -> NDArray[np.uint8] | None:
    """Colors of the mask's vertices, uint8 (V, 3), as the print is to have them; None: one color for all.

    :raises BadInput: where the mask has no such colors.
    """
    own = decoder.paint_bytes(torch.from_numpy(np.array(job.genome, np.float32)[None]))
    if job.color == OWN and own is None:
        raise BadInput(
            f"mask {job.id}: --color own: it has no color genes; evolve with [mask] color = true, or take "
            "--color '#rrggbb'"
        )
    if own is not None and (job.color == OWN or (job.color is None and job.order.process.full_color)):
        return np.asarray(own[0], np.uint8)
    key = _gaze_key(run, job)
    return None if key is None else glb_colors(run.get(key), len(decoder.basis.neutral), f"{run.url}/{key}")


def _gaze(run: Store, job: PrintJob) -> dict[str, Any] | None:
    """What the colors of a gaze map mean, for the card; None where the solid does not show one."""
    key = _gaze_key(run, job)
    if key is None:
        return None
    told = read_json(run, key.removesuffix(".glb") + ".json") or {}
    reach = float(told.get("reach", 0.0))
    ends = [f"{word} {reach:.2f}" if reach else word for word in ("gains", "costs")]
    ramp = attribution.heat_colors(np.linspace(-1, 1, GAZE_STEPS, dtype=np.float32), 1.0).tolist()
    machine = told.get("model", key.rpartition("/gaze-")[2].removesuffix(".glb"))
    return {"machine": machine, "views": told.get("views"), "reach": reach, "ends": ends, "ramp": ramp}


def _gaze_key(run: Store, job: PrintJob) -> str | None:
    """Where the run has the gaze map that is to be printed; None where none is.

    :raises BadInput: where it has not.
    """
    kind, _, model = (job.color or "").partition(":")
    if kind != "gaze":
        return None
    found = [k for k in run.list(f"masks/{job.id}/gaze-{model}") if k.endswith(".glb")]
    if not found or (model and f"masks/{job.id}/gaze-{model}.glb" not in found):
        raise BadInput(
            f"mask {job.id}: there is no gaze map {f'of {model} ' if model else ''}in the run "
            "(masks/<id>/gaze-<model>.glb); make one first, or take --color '#rrggbb'"
        )
    return f"masks/{job.id}/gaze-{model}.glb" if model else found[0]
