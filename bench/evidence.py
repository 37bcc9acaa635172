"""Is it true? Many runs, their best masks on views nobody has seen, beside controls.

Writes docs/evidence.json and the tables between the marks of docs/evidence.md.

    python -m bench.evidence archetype portrait

The best elite of each run is fixed (by its fitness on the run's ranking views) before the held-out views are
drawn. Half of those are drawn by our rasterizer, half by pyrender. What judges them is dlib's own code and
OpenCV's, not our reimplementation. Runs that are there already are taken as they are, so that the command can
be interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from bench.marks import write_between
from services.recognition.fitness import label_of
from services.recognition.statistics.rates import wilson

ROOT = Path(__file__).parents[1]
SEEDS = (1, 2, 3, 4, 5)
HELD_OUT_SEED = 20_261_123  # with the run's seed: views that no run of this project draws
RANDOM = ["search.optimizers=['random']", "migration.topology=none"]
CONSENT = "nobody: a published photograph, used to test the software only"
QUICK = ["verify.views=1"]  # these tables hold an audit of their own
TABLES = ROOT / "docs" / "evidence.json"
PAGE = ROOT / "docs" / "evidence.md"
FIRST_MARK, LAST_MARK = "<!-- evidence -->", "<!-- end of evidence -->"

console = Console(stderr=True)


@dataclass(frozen=True)
class Rates:
    """Shares of the held-out views in which each machine sees a face over the mask."""

    hog: float
    mmod: float
    both: float
    viola_jones: float


@dataclass(frozen=True)
class Likeness:
    """Audited distances (dlib's whole pipeline) over the held-out views in which dlib detects the mask."""

    detected: float
    below_06: float
    below_045: float
    median: float | None


# -- running


def evolve(spec: str, name: str, store: Path, sets: Sequence[str], more: Sequence[str] = ()) -> None:
    """``datamask evolve --no-pictures`` in a process of its own, on one thread; goes on with a run there.

    A run that is evolved is taken as it is, also where later versions of the spec know more keys.
    """
    if evolved(store, name):
        return
    command = [
        sys.executable,
        "-m",
        "coordinator.cli",
        "evolve",
        str(ROOT / "examples" / spec),
        "--quiet",
        "--no-pictures",
    ]
    command += ["--store", str(store), "--run", name, "--resume", *more]
    command += [word for s in sets for word in ("--set", s)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr.strip()}")
    console.print(f"evolved {name}", highlight=False)


def evolved(store: Path, name: str) -> bool:
    """Whether a run stands at its last checkpoint."""
    from coordinator.record.record import Record
    from services.storage import open_store

    if not (store / name / "HEAD").exists():
        return False
    record = Record(open_store(store).sub(name))
    table = record.spec_table()
    return bool(record.head().generation(table) == table["search"]["generations"])


def best_elite(store: Path, name: str) -> tuple[str, NDArray[np.float32], float]:
    """Id, genome and ranking fitness of a run's best elite."""
    from coordinator.record.record import Record, checkpoint_key
    from services.storage import open_store
    from services.wire.mask import decode_masks

    record = Record(open_store(store).sub(name))
    head = record.head()
    key = checkpoint_key(head.epoch, "elites")
    best = max(decode_masks(record.part(key, head.parts[key]), key), key=lambda r: (r.fitness, r.id))
    return best.id, np.array(best.genome), best.fitness


def scored_views(store: Path, name: str) -> int:
    """Views that a run was charged for: generations and rankings."""
    from coordinator.record.evaluations import read_rows, views_of
    from coordinator.record.record import Record
    from coordinator.spec.spec import parse_spec
    from services.storage import open_store

    record = Record(open_store(store).sub(name))
    table = record.spec_table()
    table.pop("versions")
    spec = parse_spec(table, name)
    search, migration, elites = spec.search, spec.migration, spec.elites
    epochs = -(-search.generations // migration.every)
    ranked = max(elites.candidates, migration.count) * elites.ranking_views * epochs
    label = label_of(spec.objective[0].kind, spec.objective[0].model, 1)
    return views_of(read_rows(record, [f"scores {label}"]), label) + search.islands * ranked


def span(store: Path, names: Sequence[str]) -> tuple[int, int]:
    """The fewest and the most scored views of some runs."""
    spent = [scored_views(store, name) for name in names]
    return min(spent), max(spent)


def held_out(
    genomes: NDArray[np.float32], spec_name: str, seed: int, count: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Images uint8 (n, count, S, S, 3) of the masks and the mask's box float32 (n, count, 4) in each.

    The first half of the views is drawn by our rasterizer, the second, other views, by pyrender.
    """
    import torch

    from coordinator.spec.spec_file import load_spec
    from services.rendering.opengl_renderer import OpenGLRenderer
    from services.rendering.renderer import Renderer
    from services.rendering.torch_renderer import TorchRenderer
    from services.rendering.views import sample_views
    from services.shape.basis import load_basis
    from services.shape.decode import Decoder

    spec = load_spec(ROOT / "examples" / spec_name)
    decoder = Decoder(load_basis(spec.mask.basis))
    vertices = decoder.decode(torch.from_numpy(np.array(genomes, np.float32)))
    landmarks = decoder.landmark_indices(["nose_tip"])
    renderers: tuple[Renderer, ...] = (
        TorchRenderer(decoder.triangles, decoder.vertex_faces),
        OpenGLRenderer(decoder.triangles, len(vertices[0])),
    )
    images, boxes = [], []
    for k, renderer in enumerate(renderers):
        views = sample_views(spec.views.ranges(), count // 2, HELD_OUT_SEED + 2 * seed + k)
        rendered = renderer.render(vertices, views, landmarks)
        images.append(rendered.images.numpy())
        boxes.append(rendered.box_px.numpy())
    return np.concatenate(images, axis=1), np.concatenate(boxes, axis=1)


def _rates(job: tuple[NDArray[np.uint8], NDArray[np.float32]]) -> Rates:
    from services.recognition.classical.cascade import ViolaJones
    from services.recognition.dlib.audit import hog_scores, mmod_scores

    images, boxes = job
    hog = np.nan_to_num(hog_scores(images, boxes), nan=-1.0) > 0
    mmod = np.nan_to_num(mmod_scores(images, boxes), nan=-1.0) > 0
    cascade = [verdict.accepted for verdict in ViolaJones().detect(images, boxes)]
    return Rates(*(float(np.mean(x)) for x in (hog, mmod, hog & mmod, cascade)))


def audited(images: NDArray[np.uint8], boxes: NDArray[np.float32]) -> list[NDArray[np.float32] | None]:
    """The embedding of each image by dlib's whole own pipeline; None where dlib finds no face on the mask."""
    from services.recognition.dlib.audit import audit

    return [view.embedding for view in audit(images, None, boxes)]


def likeness(embeddings: Sequence[NDArray[np.float32] | None], target: NDArray[np.float32]) -> Likeness:
    """Distances of the views to one target float32 (128,)."""
    distances = np.array([np.linalg.norm(e - target) for e in embeddings if e is not None])
    return Likeness(
        detected=len(distances) / len(embeddings),
        below_06=float((distances < 0.6).sum() / len(embeddings)),
        below_045=float((distances < 0.45).sum() / len(embeddings)),
        median=float(np.median(distances)) if len(distances) else None,
    )


# -- archetype


def archetype(store: Path, seeds: Sequence[int], views: int, jobs: int) -> dict[str, Any]:
    """Rates of the best elite of every seed, evolved and by random search over as many views."""
    runs: list[tuple[str, int, list[str]]] = [(f"archetype-{s}", s, []) for s in seeds] + [
        (f"random-{s}", s, RANDOM) for s in seeds
    ]
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda r: evolve("archetype.toml", r[0], store, [f"seed={r[1]}", *QUICK, *r[2]]), runs))
    rows = []
    with ThreadPoolExecutor(jobs) as pool:
        drawn = []
        for name, seed, _ in runs:
            mask, genome, fitness = best_elite(store, name)
            images, boxes = held_out(genome[None], "archetype.toml", seed, views)
            drawn.append((name, seed, mask, fitness, (images[0], boxes[0])))
        rates = list(pool.map(_in_process, [d[4] for d in drawn]))
    for (name, seed, mask, fitness, _), rate in zip(drawn, rates, strict=True):
        kind = "evolved" if name.startswith("archetype") else "random search"
        rows.append({"kind": kind, "seed": seed, "mask": mask, "fitness": fitness, **asdict(rate)})
        console.print(rows[-1], highlight=False)
    neutral = held_out(
        np.zeros((1, len(best_elite(store, runs[0][0])[1])), np.float32), "archetype.toml", 0, views
    )
    reference = {"kind": "neutral head", "seed": None, **asdict(_rates((neutral[0][0], neutral[1][0])))}
    return {
        "views": views,
        "scored_views": span(store, [name for name, *_ in runs[: len(seeds)]]),
        "scored_views_random": span(store, [name for name, *_ in runs[len(seeds) :]]),
        "rows": rows,
        "reference": reference,
    }


def _in_process(job: tuple[NDArray[np.uint8], NDArray[np.float32]]) -> Rates:
    """Judge in a process of its own: dlib holds Python's lock."""
    import multiprocessing

    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_rates, (job,))


# -- portrait


def portraits() -> dict[str, str]:
    """Photographs to try: name -> what ``--target`` takes. Some are cut from insightface's group picture."""
    found = {"astronaut": "skimage:astronaut"}
    insightface = find_spec("insightface")
    if insightface is None or insightface.origin is None:
        console.print("insightface is not installed: only one portrait (pip install --no-deps insightface)")
        return found
    return found | _faces_of(Path(insightface.origin).parent / "data" / "images" / "t1.jpg")


def whose(name: str, photo: str) -> list[str]:
    """What the command line needs for a portrait other than the example's own."""
    if name == "astronaut":
        return []
    return ["--target", photo, "--consent", CONSENT, "--set", f'consent.subject="{name}"']


def _faces_of(photo: Path) -> dict[str, str]:
    import dlib
    from PIL import Image

    from services.recognition.photos import read_photo

    picture = Image.fromarray(read_photo(photo))
    faces = dlib.get_frontal_face_detector()(np.asarray(picture), 1)
    folder = ROOT / "runs" / "evidence-photos"
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for k, face in enumerate(sorted(faces, key=lambda f: f.left())):
        margin = face.width() // 2
        box = (face.left() - margin, face.top() - margin, face.right() + margin, face.bottom() + margin)
        path = folder / f"group-{k + 1}.png"
        picture.crop(box).resize((400, 400), Image.Resampling.LANCZOS).save(path)
        found[f"group-{k + 1}"] = str(path)
    return found


def portrait(store: Path, names: Sequence[str], views: int, jobs: int) -> dict[str, Any]:
    """Audited distance of each portrait's best mask, beside other people, the neutral and random heads."""
    from coordinator.run import photo_path
    from services.recognition.dlib.audit import embed_photo

    photos = portraits()
    targets = {n: np.asarray(embed_photo(photo_path(p))[0], np.float32) for n, p in photos.items()}
    chosen = [n for n in names if n in photos]

    def run(name: str) -> None:
        evolve("portrait.toml", f"portrait-{name}", store, QUICK, whose(name, photos[name]))

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(run, chosen))
    rng = np.random.default_rng(HELD_OUT_SEED)
    rows = []
    for name in chosen:
        mask, genome, fitness = best_elite(store, f"portrait-{name}")
        heads = np.stack([genome, np.zeros_like(genome), *rng.normal(0, 0.4, (4, len(genome)))]).astype(
            np.float32
        )
        images, boxes = held_out(heads, "portrait.toml", 7, views)
        seen = audited(images[0], boxes[0])
        few = slice(0, views, 5)  # enough for a median
        heads_seen = [audited(images[k][few], boxes[k][few]) for k in range(1, len(heads))]
        others = [likeness(seen, t).median for n, t in targets.items() if n != name]
        neutral, *random_heads = [likeness(e, targets[name]).median for e in heads_seen]
        rows.append(
            {
                "portrait": name,
                "mask": mask,
                "fitness": fitness,
                **asdict(likeness(seen, targets[name])),
                "other_people": [o for o in others if o is not None],
                "neutral_head": neutral,
                "random_heads": [r for r in random_heads if r is not None],
            }
        )
        console.print(rows[-1], highlight=False)
    return {"views": views, "scored_views": span(store, [f"portrait-{n}" for n in chosen]), "rows": rows}


# -- the page


def page(tables: Mapping[str, Any]) -> str:
    """The tables as Markdown."""
    lines: list[str] = []
    if "archetype" in tables:
        lines += _archetype_table(tables["archetype"])
    if "portrait" in tables:
        lines += _portrait_table(tables["portrait"])
    return "\n".join(lines)


def write_page(page: Path, text: str) -> None:
    """Put the tables between the marks of docs/evidence.md."""
    write_between(page, FIRST_MARK, LAST_MARK, text)


def _archetype_table(table: Mapping[str, Any]) -> list[str]:
    views, spent, random = table["views"], table["scored_views"], table["scored_views_random"]
    lines = [
        "### From noise to a face",
        "",
        f"The best elite of each seed, chosen before its {views} held-out views were drawn; half of them by",
        "our rasterizer, half by pyrender. Share of views in which dlib's own HOG and MMOD code (threshold 0",
        "each) and OpenCV's Viola-Jones cascade (a critic: it took no part) see a face over the mask; in",
        f"brackets Wilson's 95% interval. Scored views a run: {_count(spent)}; random search had",
        f"{_count(random)}.",
        "",
        "| search | seed | dlib HOG | dlib MMOD | both | critic: Viola-Jones |",
        "|---|---|---|---|---|---|",
    ]
    for row in [*table["rows"], table["reference"]]:
        seed = "" if row["seed"] is None else row["seed"]
        hog, mmod, both, cascade = (row[key] for key in ("hog", "mmod", "both", "viola_jones"))
        low, high = wilson(both, views)
        lines.append(
            f"| {row['kind']} | {seed} | {hog:.0%} | {mmod:.0%} | {both:.0%} ({low:.0%} to {high:.0%}) "
            f"| {cascade:.0%} |"
        )
    return [*lines, ""]


def _portrait_table(table: Mapping[str, Any]) -> list[str]:
    lines = [
        "### Toward one portrait",
        "",
        f"The best elite on {table['views']} held-out views, by dlib's whole own pipeline (HOG, 5",
        f"points, chip, ResNet; its threshold is 0.6). Scored views a run: {_count(table['scored_views'])}.",
        "Shares are of all views: one in which dlib finds no face counts as not recognized. Distances are",
        "medians over the views with a face: of the mask to its target, of the mask to the other portraits,",
        "of the neutral head and of four random heads (genes N(0, 0.4)) to the target.",
        "",
        "| portrait | detected | below 0.6 | below 0.45 | median | to others | neutral head | random heads |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in table["rows"]:
        others, heads = row["other_people"], row["random_heads"]
        lines.append(
            f"| {row['portrait']} | {row['detected']:.0%} | {row['below_06']:.0%} | {row['below_045']:.0%} | "
            f"{_number(row['median'])} | {_span(others)} | {_number(row['neutral_head'])} | {_span(heads)} |"
        )
    return [*lines, ""]


def _count(fewest_and_most: Sequence[int]) -> str:
    fewest, most = fewest_and_most
    return f"{most:,}" if fewest == most else f"{fewest:,} to {most:,}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _span(values: Sequence[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}" if values else "-"


def main() -> None:
    """Parse the command line, run what is asked for, write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "what", nargs="*", default=["archetype", "portrait"], help="archetype, portrait (both)"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--portraits", nargs="+", default=["astronaut", "group-1", "group-2", "group-3"])
    parser.add_argument("--views", type=int, default=200, help="held-out views of each mask (default 200)")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, one thread each (default 2)")
    parser.add_argument("--store", type=Path, default=ROOT / "runs" / "evidence")
    options = parser.parse_args()
    tables = json.loads(TABLES.read_text()) if TABLES.exists() else {}
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "archetype": lambda: archetype(options.store, options.seeds, options.views, options.jobs),
        "portrait": lambda: portrait(options.store, options.portraits, options.views, options.jobs),
    }
    if unknown := set(options.what) - set(parts):
        parser.error(f"{', '.join(sorted(unknown))}: expected {' or '.join(parts)}")
    TABLES.parent.mkdir(exist_ok=True)
    for name in options.what:
        tables[name] = parts[name]()
        TABLES.write_text(json.dumps(tables, indent=1) + "\n")
        write_page(PAGE, page(tables))
    print(page(tables))


if __name__ == "__main__":
    main()
