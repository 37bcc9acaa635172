"""A gallery of machines: poster, page and matrix of masks that were each bred for one detector."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow

from services.exhibition import palette
from services.exhibition.gallery_page import gallery_page
from services.exhibition.gallery_sheet import Received, Row, gallery_sheet
from services.exhibition.gaze_sheet import middle
from services.exhibition.paper import matrix_chart
from services.exhibition.studio import Studio, dressed, one_thread
from services.progress import Progress
from services.recognition import catalog
from services.recognition.statistics.calibration import file_name
from services.recognition.statistics.rates import wilson_rate
from services.rendering.views import ViewRanges, Views, sample_views
from services.shape.basis import load_basis
from services.storage.store import Store
from worker.eye import Eye

POSTER, PAGE, MATRIX = "gallery.png", "gallery.html", "matrix"

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Hung:
    """One run's best mask. machine: that it was bred for. genome: float32 (d,). gaze: PNG, three pictures
    side by side, as ``datamask gaze`` draws it.
    """

    machine: str
    run: str
    mask: str
    genome: Float
    gaze: bytes


def gaze_key(mask: str, machine: str) -> str:
    """Where the picture of a machine's gaze at a mask lies in a run."""
    return f"masks/{mask}/gaze-{file_name(machine)}.png"


def hang(
    gallery: Store,
    shown: Sequence[Hung],
    told: Mapping[str, Any],
    basis: str,
    hashes: Mapping[str, str],
    ranges: ViewRanges,
    count: int,
    seed: int,
    tell: Progress,
) -> list[str]:
    """Write poster, page and matrix into a gallery's store; returns the keys.

    told: what :func:`coordinator.gallery.matrix` found. hashes: SHA-256 by machine. ranges, count, seed: of
    the held-out views; the poster shows the one that is nearest to frontal.
    """
    eye = Eye(load_basis(basis))
    genomes = np.stack([one.genome for one in shown])
    views = sample_views(ranges, count, seed)
    pictures = _received(eye, genomes, _frontal(views), told["machines"], hashes)
    with one_thread():
        studio = Studio(eye.basis.triangles, eye.basis.facts.center_m)
        colors = eye.decoder.paint_bytes(torch.from_numpy(genomes))
        lit = dressed([studio.light(points) for points in eye.vertices(genomes).numpy()], colors)
        rows = []
        for k, (one, mask, row) in enumerate(zip(shown, lit, told["rows"], strict=True)):
            rows.append(Row(one.machine, one.mask, mask, pictures[k], row["hits"], _front(one.gaze)))
            tell("poster", k + 1, len(shown))
        poster = gallery_sheet(rows, told["machines"], told["views"], told["controls"])
    gallery.put(POSTER, palette.png(poster))
    bars = bars_of(told)
    chart = matrix_chart(bars, MATRIX, "bred for (rows), seen by (columns)")
    gallery.put(f"{MATRIX}.svg", chart.file("svg"))
    gallery.put(f"{MATRIX}.csv", chart.csv())
    gallery.put(PAGE, gallery_page(told, {(s, m): share for s, m, share, _ in bars}, poster))
    return [POSTER, f"{MATRIX}.svg", f"{MATRIX}.csv", PAGE]


def bars_of(told: Mapping[str, Any]) -> list[tuple[str, str, tuple[float, float, float], int]]:
    """The matrix and its controls as charts take it: subject, machine, share with its interval, views."""
    rows = [
        (row["bred_for"], {m: {"hits": hits, "of": told["views"]} for m, hits in row["hits"].items()})
        for row in told["rows"]
    ]
    rows += [(f"({subject})", said) for subject, said in told["controls"].items()]
    bars = []
    for subject, said in rows:
        for machine in told["machines"]:
            if machine in said:
                rate = wilson_rate(said[machine]["hits"], said[machine]["of"])
                bars.append((subject, machine, (rate.share, rate.low, rate.high), rate.trials))
    return bars


def _frontal(views: Views) -> Views:
    """The one view of those that is nearest to frontal."""
    return views.take(np.array([int(np.argmin(np.hypot(views.yaw_deg, views.pitch_deg)))]))


@torch.inference_mode()
def _received(
    eye: Eye, genomes: Float, view: Views, machines: Sequence[str], hashes: Mapping[str, str]
) -> list[dict[str, Received]]:
    """For each mask by machine the picture that it received, and its box where it sees a face."""
    _, seen = eye.every(genomes, view)
    images, regions = seen.images[:, 0], seen.box_px[:, 0]
    found: list[dict[str, Received]] = [{} for _ in genomes]
    for name in machines:
        info = catalog.model_info(name, hashes.get(name))
        said = catalog.detector(name, "cpu", hashes.get(name)).score(images, regions)
        for k, (score, box) in enumerate(zip(said.score.tolist(), said.box_px.tolist(), strict=True)):
            left, top, right, bottom = box
            there = (left, top, right, bottom) if score > info.threshold else None
            found[k][name] = Received(images[k].numpy(), there)
    return found


def _front(gaze: bytes) -> NDArray[np.uint8]:
    """A gaze from the front, of its sheet."""
    with Pillow.open(io.BytesIO(gaze)) as opened:
        return middle(np.asarray(opened.convert("RGB"), np.uint8))
