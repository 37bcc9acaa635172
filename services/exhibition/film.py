"""From noise to face: a strip of stills."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

from services.errors import BadInput
from services.exhibition import palette
from services.exhibition.lineup import shared_field_mm
from services.exhibition.palette import Image
from services.exhibition.studio import Pose, Studio, dressed, one_by_one

# Genomes float32 (n, d) to vertices float32 (n, V, 3), and to colors uint8 (n, V, 3) or None for nylon's.
Decode = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Paint = Callable[[NDArray[np.float32]], NDArray[np.uint8] | None]

POSE = Pose(-14.0, -2.0)
_STILL_PX = 400
_PER_ROW = 6
_GRAPH_PX = 120


@dataclass(frozen=True)
class Frame:
    """One moment of the search: genome float32 (d,), the generation it is from.

    fitness: on that generation's own views, if known. seen: the machines that see their first face here.
    """

    genome: NDArray[np.float32]
    generation: int
    fitness: float | None = None
    seen: tuple[str, ...] = ()


def film_strip(
    studio: Studio,
    decode: Decode,
    frames: Sequence[Frame],
    title: str = "From noise to face",
    paint: Paint | None = None,
) -> Image:
    """A picture uint8 (H, W, 3): every frame from one camera, its generation and fitness, and a graph of it.

    :param decode: genomes float32 (n, d) to vertices (n, V, 3). paint: genomes to colors; None: all in nylon.
    :raises BadInput: where there is no frame.
    """
    check_frames(frames)
    genomes = _genomes(frames)
    shots = _shots(studio, decode(genomes), None if paint is None else paint(genomes), _STILL_PX)
    margin, cell = palette.MARGIN_PX, _STILL_PX + (94 if any(f.seen for f in frames) else 70)
    columns = min(len(frames), _PER_ROW)
    rows = -(-len(frames) // columns)
    drawn = sum(f.fitness is not None for f in frames) > 2  # a line through two points says nothing
    width = max(2 * margin + columns * _STILL_PX, 2 * margin + 2 * _STILL_PX)
    height = margin + 40 + rows * cell + (_GRAPH_PX + 50 if drawn else 0) + margin
    page = palette.backdrop(width, height)
    palette.spaced(page, (margin, margin), title, 20, palette.TEXT)
    for k, (frame, shot) in enumerate(zip(frames, shots, strict=True)):
        x, y = margin + (k % columns) * _STILL_PX, margin + 40 + (k // columns) * cell
        palette.mount(page, shot, (x, y))
        center, base = x + _STILL_PX / 2, y + _STILL_PX + 26
        palette.write(page, (center, base), f"generation {frame.generation}", 18, palette.TEXT, "ms")
        if frame.fitness is not None:
            told = f"{palette.signed(frame.fitness)} on its own views"
            palette.write(page, (center, base + 24), told, 16, palette.QUIET, "ms")
        if frame.seen:
            told = palette.fitted(f"first face for {', '.join(frame.seen)}", 16, _STILL_PX - 16)
            palette.write(page, (center, base + 48), told, 16, palette.YES, "ms")
    if drawn:
        _graph(page, frames, (margin, height - margin - _GRAPH_PX, width - margin, height - margin))
    return palette.pixels(page)


def check_frames(frames: Sequence[Frame]) -> None:
    """:raises BadInput: where there is no frame."""
    if not frames:
        raise BadInput("film: there is no generation to show; evolve at least one generation")


def _genomes(frames: Sequence[Frame]) -> NDArray[np.float32]:
    return np.stack([f.genome for f in frames]).astype(np.float32)


def _shots(
    studio: Studio, masks: NDArray[np.float32], colors: NDArray[np.uint8] | None, size_px: int
) -> list[Image]:
    """Every mask from one camera that holds them all."""
    lit = dressed(one_by_one(studio.light, masks), colors)
    field = shared_field_mm(lit, [POSE])
    return one_by_one(lambda mask: mask.shoot(POSE, size_px, field), lit)


def _graph(page: Pillow.Image, frames: Sequence[Frame], box: tuple[int, int, int, int]) -> None:
    """The fitness over the generations as a fine line, with 0 (the thresholds) marked."""
    known = [(f.generation, f.fitness) for f in frames if f.fitness is not None and np.isfinite(f.fitness)]
    if len(known) < 2:
        return
    left, top, right, bottom = box
    left, right = left + 64, right - 8
    values = [v for _, v in known]
    low, high = min([0.0, *values]), max([0.0, *values])
    first, last = known[0][0], known[-1][0]

    def at(generation: float, value: float) -> tuple[float, float]:
        x = left + (right - left) * (generation - first) / max(last - first, 1)
        return x, bottom - (bottom - top) * (value - low) / max(high - low, 1e-9)

    palette.line(page, at(first, 0.0), at(last, 0.0), palette.HAIR)
    palette.write(page, (left - 14, at(first, 0.0)[1]), "0", 14, palette.QUIET, "rm")
    for value in (low, high):
        if abs(value) > 0.08 * (high - low):
            palette.write(
                page, (left - 14, at(first, value)[1]), palette.signed(value), 14, palette.QUIET, "rm"
            )
    # Drawn twice as large and shrunk: Pillow's lines have hard edges.
    big = Pillow.new("L", (page.width * 2, (bottom - top + 24) * 2), 0)
    points = [(x * 2, (y - top + 12) * 2) for x, y in (at(g, v) for g, v in known)]
    pen = ImageDraw.Draw(big)
    pen.line(points, fill=255, width=3, joint="curve")
    for x, y in points:
        pen.ellipse([x - 6, y - 6, x + 6, y + 6], fill=255)
    mask = big.resize((page.width, bottom - top + 24), Pillow.Resampling.BOX)
    page.paste(palette.YES, (0, top - 12), mask)
