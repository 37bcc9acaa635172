"""Moving pictures: from noise to face, and a mask on a turntable. MP4 for browsers, a small WebP for the
rest.
"""

from __future__ import annotations

import io
import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

from services.errors import BadInput, Unavailable
from services.exhibition import palette
from services.exhibition.film import POSE, Decode, Frame, Paint, check_frames
from services.exhibition.lineup import shared_field_mm
from services.exhibition.palette import Image
from services.exhibition.studio import LitMask, Pose, Studio, one_by_one, one_thread

FPS = 24
_FOOT_PX = 56
_WORKERS = 2
_WEBP_EVERY, _WEBP_PX = 4, 360
_HOLD_S = 1.5


@dataclass(frozen=True)
class Mark:
    """What a machine said of one picture. box: left, top, right, bottom in shares of its side, or None."""

    box: tuple[float, float, float, float] | None
    words: str


# A machine that is asked about every picture uint8 (S, S, 3) of a film.
Marker = Callable[[Image], Mark]


def check_side(what: str, size_px: int) -> None:
    """:raises BadInput: for a side that no film can have."""
    if size_px < 96 or size_px % 2:
        raise BadInput(f"{what}: a side of {size_px} pixels; expected an even number of at least 96")


def morph(
    studio: Studio,
    decode: Decode,
    frames: Sequence[Frame],
    *,
    size_px: int = 540,
    steps: int = 10,
    marker: Marker | None = None,
    paint: Paint | None = None,
) -> Iterator[Image]:
    """The pictures uint8 (H, W, 3) of a film from the first frame to the last, seen by one steady camera.

    :param decode: genomes float32 (n, d) to vertices (n, V, 3). steps: pictures from one frame to the next.
        Shapes in between were never scored: the fitness is that of the frame before. marker: its box and
        words are drawn on every picture. paint: genomes to colors; None: all in nylon.
    :raises BadInput: where there is no frame, or the size is odd or below 96.
    """
    check_frames(frames)
    check_side("film", size_px)
    genomes = np.stack([f.genome for f in frames]).astype(np.float32)
    lit = one_by_one(studio.light, decode(genomes))
    field = shared_field_mm(lit, [POSE])
    last = len(frames) - 1
    places = [k / steps for k in range(last * steps)] + [float(last)] * round(_HOLD_S * FPS)
    between = np.stack([_between(genomes, place)[0] for place in places])
    vertices, colors = decode(between), None if paint is None else paint(between)

    def picture(k: int) -> Image:
        place = places[k]
        first = min(int(place), last)
        _, share = _between(genomes, place)
        mask_lit = studio.pass_by(vertices[k], lit[first], lit[min(first + 1, last)], share)
        mask_lit = mask_lit if colors is None else mask_lit.painted(colors[k])
        return _page(mask_lit, POSE, size_px, field, _words(frames, place), marker)

    # The hold at the end is one picture.
    moving = last * steps + 1
    with one_thread(), ThreadPoolExecutor(_WORKERS) as crew:
        held = None
        for held in crew.map(picture, range(moving)):
            yield held
    if held is not None:
        yield from itertools.repeat(held, len(places) - moving)


def turntable(
    mask_lit: LitMask, caption: str, *, size_px: int = 540, seconds: float = 6.0, marker: Marker | None = None
) -> Iterator[Image]:
    """A mask that swings from one profile to the other and back, for a loop: pictures uint8 (H, W, 3).

    A mask is a shell: from behind there is nothing to see, so that it swings and does not spin.
    """
    check_side("turntable", size_px)
    count = round(seconds * FPS)
    # There and back it comes through the same angles: each is drawn once.
    angles = np.round(82.0 * np.sin(2.0 * np.pi * np.arange(count) / count), 3)
    seen = dict.fromkeys(angles.tolist())
    field = shared_field_mm([mask_lit], [Pose(yaw, -2.0) for yaw in seen])

    def picture(yaw: float) -> Image:
        return _page(mask_lit, Pose(yaw, -2.0), size_px, field, (caption, "", ""), marker)

    with one_thread(), ThreadPoolExecutor(_WORKERS) as crew:
        drawn = dict(zip(seen, crew.map(picture, seen), strict=True))
    yield from (drawn[yaw] for yaw in angles.tolist())


def mp4(pictures: Iterable[Image], *, fps: int = FPS, crf: int = 20) -> bytes:
    """H.264 in MP4, yuv420p, its index in front, so that every browser plays it while it loads.

    :param pictures: uint8 (H, W, 3), all of one even size. crf: x264's quality, lower is better.
    :raises BadInput: where there is no picture; :raises Unavailable: without the encoder.
    """
    import av
    from av.video.frame import VideoFrame

    if "libx264" not in av.codecs_available:
        raise Unavailable(
            "this build of PyAV has no H.264 encoder (libx264): pip install --force-reinstall av"
        )
    # The index can only be moved to the front of a file that has a name.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        with av.open(str(path), "w", options={"movflags": "+faststart", "fflags": "+bitexact"}) as out:
            stream = None
            for picture in pictures:
                if stream is None:
                    settings = {"crf": str(crf), "preset": "medium"}
                    stream = out.add_stream("libx264", rate=fps, options=settings)
                    stream.height, stream.width = picture.shape[:2]
                    stream.pix_fmt = "yuv420p"
                    stream.codec_context.gop_size = fps
                for packet in stream.encode(
                    VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                ):
                    out.mux(packet)
            if stream is None:
                raise BadInput("film: there is no picture to encode; evolve at least one generation")
            for packet in stream.encode(None):
                out.mux(packet)
        return path.read_bytes()


def webp(pictures: Sequence[Image], *, fps: int = FPS) -> bytes:
    """A small looping WebP of every fourth picture. :raises BadInput: where there is no picture."""
    if not pictures:
        raise BadInput("film: there is no picture to encode; evolve at least one generation")
    chosen = [*pictures[:-1:_WEBP_EVERY], pictures[-1]]
    width = min(_WEBP_PX, pictures[0].shape[1])
    height = round(width * pictures[0].shape[0] / pictures[0].shape[1])
    pages = [Pillow.fromarray(p).resize((width, height), Pillow.Resampling.LANCZOS) for p in chosen]
    buffer = io.BytesIO()
    pages[0].save(
        buffer,
        "WEBP",
        save_all=True,
        append_images=pages[1:],
        duration=round(1000 * _WEBP_EVERY / fps),
        loop=0,
        quality=80,
        method=2,
    )
    return buffer.getvalue()


def _between(genomes: NDArray[np.float32], place: float) -> tuple[NDArray[np.float32], float]:
    """The genome at a place between frames and its share of the next, eased (smoothstep): it lingers on
    frames.
    """
    first = min(int(place), len(genomes) - 1)
    second = min(first + 1, len(genomes) - 1)
    share = place - first
    share = share * share * (3.0 - 2.0 * share)
    blend = (1.0 - share) * genomes[first].astype(np.float64) + share * genomes[second]
    return np.asarray(blend, np.float32), share


def _words(frames: Sequence[Frame], place: float) -> tuple[str, str, str]:
    """The generation, the fitness, and who has seen a face so far."""
    generation = np.interp(place, np.arange(len(frames)), [f.generation for f in frames])
    so_far = frames[: int(place) + 1]
    seen = [f"{name} from {frame.generation}" for frame in so_far for name in frame.seen]
    last = so_far[-1]
    return (
        f"generation {generation:.0f}",
        "" if last.fitness is None else f"{palette.signed(last.fitness)} on its own views",
        f"a face: {', '.join(seen)}" if seen else "",
    )


def _page(
    mask_lit: LitMask,
    pose: Pose,
    size_px: int,
    field: float,
    words: tuple[str, str, str],
    marker: Marker | None,
) -> Image:
    foot = max(2 * round(size_px * _FOOT_PX / 1080), 40)
    page = palette.backdrop(size_px, size_px + foot)
    palette.mount(page, mask_lit.shoot(pose, size_px, field, samples=2 if size_px <= 400 else 1), (0, 0))
    left, right, gold = words
    if marker is not None:
        mark = marker(palette.pixels(page)[:size_px])
        right = mark.words
        if mark.box is not None:
            box = [edge * size_px for edge in mark.box]
            ImageDraw.Draw(page).rectangle(box, outline=palette.YES, width=max(2, size_px // 270))
    type_px, line = max(13, size_px // 34), size_px + foot // 2
    inset = round(size_px * 0.06)
    palette.write(page, (inset, line), left, type_px, palette.QUIET, "lm")
    palette.write(page, (size_px - inset, line), right, type_px, palette.QUIET, "rm")
    if gold:
        told = palette.fitted(gold, type_px, size_px - 2 * inset)
        palette.write(page, (inset, line - 2 * type_px), told, type_px, palette.YES, "lm")
    return palette.pixels(page)
