"""``python -m bench.albedo [RUN]``: what the brightness and color of a surface alone do to detectors.

One synthetic head (a head basis's zero), and the best mask of a run where one is named (a mask born of a
blank tells more), under the same views in each material that views know, at three exposures: fixed, as an
automatic camera sets it that makes the whole picture middle gray, and as one that makes the mask as bright as
it is in the usual material. It says nothing about groups of people: the head is nobody's, its tones are
flat. Writes bench/results/albedo.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from bench import marks
from bench.detectors import installed, scores_of, seen
from coordinator.cli.layout import print_table
from services.rendering.materials import DEFAULT, MATERIALS, material
from services.rendering.views import ViewRanges, Views, sample_views
from services.shape.catalog import DEFAULT_BASIS
from services.srgb import srgb_to_linear
from worker.eye import Eye

RESULT = Path(__file__).parent / "results" / "albedo.json"
SEED = 20_240
FIXED, PICTURE, MASK = "fixed", "automatic, whole picture", "automatic, mask"
EXPOSURES = (FIXED, PICTURE, MASK)
GRAY = 0.18  # linear: what an automatic camera makes of a picture's mean
NOTE = (
    "One synthetic head and one mask, in flat colors, at fixed and at automatic exposure. It says how much "
    "of an answer hangs on a surface's brightness before a camera, and nothing about groups of people."
)
FIRST_MARK, LAST_MARK = "<!-- albedo -->", "<!-- end of albedo -->"

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # of linear red, green, blue: ITU-R BT.709
_PROBE = 0.25  # exposure that a scene is metered at, so that nothing in it is cut off

Float = NDArray[np.float32]


def views_of(count: int) -> Views:
    """The usual views, but at one exposure."""
    return sample_views(replace(ViewRanges(), exposure=(1.0, 1.0)), count, SEED)


class Meter:
    """Sets the exposure of one subject's views, as a camera does from what it is shown.

    :param genome: float32 (d,).
    """

    def __init__(self, eye: Eye, genome: Float, views: Views) -> None:
        self._eye, self._genome, self._views = eye, genome[None], views
        shown = eye.renderer.triangle_map(eye.vertices(self._genome), views)[0] >= 0
        self._mask = shown.cpu().numpy()
        self._usual = self._light(views.shown_in(DEFAULT), self._mask)

    def exposed(self, material: str, exposure: str) -> Views:
        """The views of the subject in a material, at one of :data:`EXPOSURES`."""
        views = self._views.shown_in(material)
        if exposure == FIXED:
            return views
        if exposure == PICTURE:
            factor = GRAY / self._light(views, np.ones_like(self._mask))
        else:
            factor = self._usual / self._light(views, self._mask)
        return replace(views, exposure=(views.exposure * factor).astype(np.float32))

    def _light(self, views: Views, where: NDArray[np.bool_]) -> NDArray[np.float64]:
        """The mean linear luminance (v,) of the places (v, S, S) at the views' own exposure."""
        none = np.zeros(len(views), np.float32)
        probe = replace(views, exposure=views.exposure * np.float32(_PROBE), noise=none, blur_px=none)
        _, seen = self._eye.every(self._genome, probe)
        linear = srgb_to_linear(seen.images[0].numpy() / 255) @ _LUMINANCE / _PROBE
        mean: NDArray[np.float64] = (linear * where).sum(axis=(1, 2)) / where.sum(axis=(1, 2))
        return mean


def rows_of(
    subject: str,
    eye: Eye,
    genome: Float,
    views: Views,
    detectors: Mapping[str, Any],
    materials: Sequence[str] = tuple(MATERIALS),
) -> list[dict[str, Any]]:
    """What each detector says of a genome (d,) in each material at each exposure: in how many views there is
    a face, and the median score. ``exposure_factor``: what the camera opened or closed by, in the median.
    """
    rows = []
    meter = Meter(eye, genome, views)
    for name in track(materials, subject, console=Console(stderr=True), transient=True):
        for exposure in EXPOSURES:
            exposed = meter.exposed(name, exposure)
            _, shown = eye.every(genome[None], exposed)
            scores = scores_of(detectors, shown.images[0], shown.box_px[0])
            told = {
                machine: {"seen": seen(machine, own), "median": round(float(np.median(own)), 3)}
                for machine, own in scores.items()
            }
            rows.append(
                {
                    "subject": subject,
                    "material": name,
                    "exposure": exposure,
                    "exposure_factor": round(float(np.median(exposed.exposure / views.exposure)), 3),
                    "views": len(views),
                    "machines": told,
                }
            )
    return rows


def show(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """A table for each subject and exposure: in how many views there is a face, and the median score."""
    for subject, exposure in dict.fromkeys((row["subject"], row["exposure"]) for row in rows):
        own = [row for row in rows if (row["subject"], row["exposure"]) == (subject, exposure)]
        machines = list(own[0]["machines"])
        cells = [
            [row["material"], *(f"{m['seen']} ({m['median']:+.2f})" for m in row["machines"].values())]
            for row in own
        ]
        title = f"{subject}, exposure {exposure}: a face in so many of {own[0]['views']} views (median score)"
        print_table(console, title, ["material", *machines], cells)


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: for each subject and machine in how many views there is a face, by material; each cell
    holds one for each of :data:`EXPOSURES`.
    """
    places = {(r["subject"], r["exposure"], r["material"]): r["machines"] for r in rows}
    views, names = rows[0]["views"], list(dict.fromkeys(row["material"] for row in rows))
    lines = []
    for subject in dict.fromkeys(row["subject"] for row in rows):
        lines += [
            f"A face in so many of {views} views, {subject}:",
            "",
            *marks.head("machine", *names),
        ]
        for machine in rows[0]["machines"]:
            cells = [
                " / ".join(str(places[subject, exposure, name][machine]["seen"]) for exposure in EXPOSURES)
                for name in names
            ]
            lines.append(marks.row(f"`{machine}`", *cells))
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    """Look, print the tables, write them."""
    parser = argparse.ArgumentParser(prog="python -m bench.albedo", description=NOTE)
    parser.add_argument("run", nargs="?", help="folder of a run, whose best mask is looked at, too")
    parser.add_argument("--views", type=int, default=40)
    parser.add_argument(
        "--material", action="append", help="only this one; repeat for several (default: all that views know)"
    )
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--page", type=Path, help="page to write the table into, such as docs/models.md")
    asked = parser.parse_args()
    materials = tuple(material(name).name for name in asked.material or MATERIALS)
    detectors = installed()
    views = views_of(asked.views)
    head = Eye(DEFAULT_BASIS, ())
    zero = np.zeros(len(head.basis.gene_names), np.float32)
    rows = rows_of("the neutral head", head, zero, views, detectors, materials)
    if asked.run is not None:
        import datamask

        run = datamask.open(asked.run)
        mask, basis = run.elites[0], run.spec["mask"]["basis"]
        subject = f"{mask.id} of {run.name}, bred on {basis}"
        rows += rows_of(subject, Eye(basis, ()), mask.genome, views, detectors, materials)
    colors = {
        name: {"srgb": list(material(name).srgb), "source": material(name).source} for name in materials
    }
    result = {"note": NOTE, "seed": SEED, "gray": GRAY, "materials": colors, "rows": rows}
    asked.out.write_text(json.dumps(result, indent=1) + "\n")
    if asked.page is not None:
        marks.write_between(asked.page, FIRST_MARK, LAST_MARK, page(rows))
    console = Console()
    show(rows, console)
    console.print(NOTE, soft_wrap=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
