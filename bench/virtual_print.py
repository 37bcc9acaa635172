"""``python -m bench.virtual_print RUN...``: what a printer's layers and grain will cost a mask.

Of each run the best elite, a twin of it with scrambled signs, and noise become closed solids, as ``datamask
print`` makes them (without openings). Each is seen under the run's held-out views by every detector that is
here: smooth, built of layers face up and standing, and with grain. Every picture is drawn at several times
its size, with the step or the grain worked out at each point (services/printing/layers.py), and brought down.
Writes bench/results/virtual-print.json and the table between the marks of docs/photograph.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from bench import marks
from bench.detectors import installed, scores_of, seen
from services.printing.catalog import Order, make_order
from services.printing.layers import grained, stepped
from services.printing.solid import arrays
from services.recognition.detect import Detector
from services.rendering.camera import cameras, light_directions
from services.rendering.normals import vertex_normals
from services.rendering.shading import Surface, lambert_and_highlight, rasterize, surface
from services.rendering.torch_renderer import TorchRenderer
from services.rendering.views import Views, sample_views
from services.shape.symmetry import Symmetry
from worker.examination.controls import noise_beside, twins_of
from worker.eye import Eye
from worker.printing import make_solid

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "bench" / "results" / "virtual-print.json"
PAGE = ROOT / "docs" / "photograph.md"
FIRST_MARK, LAST_MARK = "<!-- virtual print -->", "<!-- end of virtual print -->"
SAMPLES = 3  # points along a side of a pixel
SEED = 20_261_129
KINDS = ("elite", "twin", "noise")
FACE_UP, STANDING = np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0])

Float = NDArray[np.float32]
Doubles = NDArray[np.float64]
# What becomes of normals (n, 3), given where the camera is from there (n, 3), and the places in mm (n, 3).
Finish = Callable[[Doubles, Doubles, Doubles], Doubles]


def layers(axis: Doubles, layer_mm: float, beads: bool = False) -> Finish:
    """Layers stacked along an axis (3,) of the solid, from its lowest point."""

    def finish(normals: Doubles, toward: Doubles, places_mm: Doubles) -> Doubles:
        return stepped(normals, toward, places_mm @ axis, axis, layer_mm, beads)

    return finish


def grain(rms_mm: float, length_mm: float) -> Finish:
    """Grain of that height and width."""
    return lambda normals, _, places_mm: grained(normals, places_mm, rms_mm, length_mm)


FINISHES: Mapping[str, Finish] = {
    "smooth": lambda normals, toward, places_mm: normals,
    "layers 0.1, face up": layers(FACE_UP, 0.1),
    "layers 0.2, face up": layers(FACE_UP, 0.2),
    "strands 0.2, face up": layers(FACE_UP, 0.2, beads=True),
    "layers 0.2, standing": layers(STANDING, 0.2),
    "grain 0.01": grain(0.01, 0.1),
    "grain 0.03": grain(0.03, 0.1),
}


@dataclass(frozen=True)
class Thing:
    """A solid in the mask's frame. points: float64 (n, 3) in meters of the mask; scale: mm of the solid for
    each of those.
    """

    points: Doubles
    triangles: NDArray[np.int64]
    scale: float


def pictures(
    thing: Thing,
    views: Views,
    center_m: tuple[float, float, float],
    finishes: Mapping[str, Finish],
    samples: int = SAMPLES,
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Images uint8 (v, S, S, 3) and the solid's boxes (v, 4), by finish."""
    vertices = torch.from_numpy(thing.points.astype(np.float32))
    renderer = TorchRenderer(torch.from_numpy(thing.triangles), center_m=center_m)
    size, count = views.size_px, len(views)
    factors = {
        name: np.zeros((2, 1, count, size, size), np.float32) for name in finishes
    }  # lambert, highlight
    covered = np.zeros((1, count, size, size), bool)
    lit = light_directions(views).astype(np.float64)
    for k in range(count):
        seen = _Fine(renderer, vertices, views.take(slice(k, k + 1)), thing, center_m, samples)
        covered[0, k] = seen.covered
        for name, finish in finishes.items():
            factors[name][:, 0, k] = seen.factors(finish, lit[k])
    found = {}
    none = torch.zeros(0, dtype=torch.int64)
    for name, (lambert, highlight) in factors.items():
        given = (torch.from_numpy(np.ascontiguousarray(f)) for f in (lambert, highlight, covered))
        made = renderer.develop(vertices[None], views, none, *given)
        found[name] = made.images[0], made.box_px[0]
    return found


class _Fine:
    """A solid in one view, several times as wide and high: what each covered point faces."""

    def __init__(
        self,
        renderer: TorchRenderer,
        vertices: torch.Tensor,
        view: Views,
        thing: Thing,
        center_m: tuple[float, float, float],
        samples: int,
    ) -> None:
        self._size, self._samples = view.size_px, samples
        fine = replace(view, size_px=view.size_px * samples)
        camera = cameras(fine)
        self._turn = camera.rotation[0].astype(np.float64)
        focal, distance = float(camera.focal_px[0]), float(camera.distance_m[0])
        turn = torch.from_numpy(camera.rotation[0])
        own = [column[:, None].contiguous() for column in vertices.T]
        normals = torch.cat(
            vertex_normals((own[0], own[1], own[2]), renderer.triangles, renderer.vertex_faces), dim=1
        )
        x, y, z = ((vertices - torch.tensor(center_m)) @ turn.T).T[:, :, None].contiguous()
        nx, ny, nz = (normals @ turn.T).T[:, :, None].contiguous()
        seen = rasterize(x * focal, -y * focal, distance - z, renderer.triangles, fine.size_px)
        faced = surface((nx, ny, nz), renderer.triangles, seen, torch.tensor([1.0 / focal]))
        depth = (1.0 / seen.visible.inverse_depth).double().numpy()
        place = np.stack(
            [
                seen.x.double().numpy() * depth / focal,
                -seen.y.double().numpy() * depth / focal,
                distance - depth,
            ],
            axis=1,
        )
        self._normals = torch.stack(list(faced.normal), dim=1).double().numpy()
        self._toward = torch.stack(list(faced.toward_camera), dim=1).double().numpy()
        lowest = thing.points.min(axis=0)
        self._places_mm = (place @ self._turn + np.array(center_m) - lowest) * thing.scale
        self._pixel = seen.visible.pixel.numpy()
        self._parts = self._summed(np.ones(len(self._pixel)))
        self.covered = self._parts >= samples**2 / 2

    def factors(self, finish: Finish, toward_light: Doubles) -> Doubles:
        """Mean diffuse and highlight factors (2, S, S) of the covered points of each pixel."""
        own = finish(self._normals @ self._turn, self._toward @ self._turn, self._places_mm) @ self._turn.T
        normal, toward = (
            tuple(torch.from_numpy(a.T.astype(np.float32)).contiguous()) for a in (own, self._toward)
        )
        only = torch.zeros(len(own), dtype=torch.int64)
        light = torch.from_numpy(toward_light.astype(np.float32))[None]
        both = lambert_and_highlight(Surface(normal, toward, only), light)
        return np.stack([self._summed(f.double().numpy()) / np.maximum(self._parts, 1) for f in both])

    def _summed(self, values: Doubles) -> Doubles:
        """Sums (S, S) over the points of each pixel."""
        size, samples = self._size, self._samples
        fine = np.zeros((size * samples) ** 2)
        fine[self._pixel] = values
        total: Doubles = fine.reshape(size, samples, size, samples).sum(axis=(1, 3))
        return total


def subjects(run: Any, symmetry: Symmetry) -> Iterator[tuple[str, str, Float]]:
    """The best elite of a run and its controls: kind, name and genome (d,)."""
    elite, spec = run.elites[0], run.spec
    rng = np.random.default_rng([SEED, spec["seed"]])
    yield "elite", elite.id, elite.genome
    yield "twin", f"twin of {elite.id}", twins_of(rng, elite.genome, symmetry, 1)[0]
    limits = spec["mask"]["spread"], spec["mask"]["limit"]
    yield "noise", "noise", noise_beside(rng, elite.genome, symmetry, 1, *limits)[0]


def rows_of(
    run: Any,
    detectors: Mapping[str, Detector],
    count: int,
    order: Order,
    voxel_mm: float,
    samples: int,
    look: Path | None,
    told: Callable[[str], None],
) -> Iterator[dict[str, Any]]:
    """What each detector says of each subject in each finish: in how many views there is a face."""
    from coordinator.record.verification import open_verified
    from coordinator.search.seeds import audit_seed

    spec = open_verified(run.record).spec
    views = sample_views(spec.views.ranges(), count, audit_seed(spec.seed))
    eye = Eye(spec.mask.basis)
    for kind, name, genome in subjects(run, eye.basis.facts.symmetry):
        told(f"{run.name}: {name}")
        vertices, drawn = eye.every(genome[None], views)
        solid = make_solid(vertices[0].numpy(), eye.basis, order, voxel_mm)
        points, triangles = arrays(solid.body)
        thing = Thing(points / solid.wall.scale, np.asarray(triangles, np.int64), solid.wall.scale)
        shown = {
            "mask": (drawn.images[0], drawn.box_px[0]),
            **pictures(thing, views, eye.basis.facts.center_m, FINISHES, samples),
        }
        if look is not None:
            _save(look / f"{run.name}-{kind}.png", shown)
        for finish, (images, boxes) in shown.items():
            told(f"{run.name}: {name}, {finish}")
            scores = scores_of(detectors, images, boxes)
            machines = {machine: seen(machine, own) for machine, own in scores.items()}
            row = {"run": run.name, "kind": kind, "subject": name, "finish": finish}
            yield {**row, "views": count, "seen": machines}


def _save(path: Path, shown: Mapping[str, tuple[torch.Tensor, torch.Tensor]]) -> None:
    """A row of pictures for each of four views: as a mask, and in each finish."""
    from PIL import Image

    count = len(next(iter(shown.values()))[0])
    few = np.linspace(0, count - 1, min(4, count)).astype(int)
    rows = [np.concatenate([images[k].numpy() for images, _ in shown.values()], axis=1) for k in few]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(path)


def page(result: Mapping[str, Any]) -> str:
    """Markdown: for each kind of mask, a machine a line, a finish a column: views with a face of all."""
    rows = result["rows"]
    finishes = list(dict.fromkeys(row["finish"] for row in rows))
    lines = []
    for kind in KINDS:
        own = [row for row in rows if row["kind"] == kind]
        views = sum(row["views"] for row in own if row["finish"] == finishes[0])
        masks = len({(row["run"], row["subject"]) for row in own})
        what = {"elite": "elites", "twin": "their sign-scrambled twins", "noise": "noise"}[kind]
        lines += [
            f"A face in so many of {views} views, {what} ({masks}):",
            "",
            *marks.head("machine", *finishes),
        ]
        for machine in own[0]["seen"]:
            cells = [sum(r["seen"][machine] for r in own if r["finish"] == f) for f in finishes]
            lines.append(marks.row(f"`{machine}`", *cells))
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    """Build, draw, ask, write."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.virtual_print",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders of runs")
    parser.add_argument("--views", type=int, default=20, help="held-out views of each (default 20)")
    parser.add_argument("--voxel-mm", type=float, default=0.5, help="of the solids (default 0.5)")
    parser.add_argument(
        "--samples", type=int, default=SAMPLES, help="points along a side of a pixel (default 3)"
    )
    parser.add_argument(
        "--look", type=Path, metavar="DIR", help="write what machines are shown, as PNG files"
    )
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--page", type=Path, help="page to write the table into, such as docs/photograph.md")
    asked = parser.parse_args()
    import datamask

    order, detectors = make_order(mount="none"), installed()
    console = Console(stderr=True)
    rows: list[dict[str, Any]] = []
    result: dict[str, Any] = {
        "views": asked.views,
        "voxel_mm": asked.voxel_mm,
        "width_mm": order.width_mm,
        "samples": asked.samples**2,
        "seed": SEED,
        "rows": rows,
    }
    for name in asked.runs:
        run = datamask.open(name)
        wanted = (detectors, asked.views, order, asked.voxel_mm, asked.samples, asked.look, console.print)
        for row in rows_of(run, *wanted):
            rows.append(row)
            asked.out.write_text(json.dumps(result, indent=1) + "\n")
    if asked.page is not None:
        marks.write_between(asked.page, FIRST_MARK, LAST_MARK, page(result))
    print(page(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
