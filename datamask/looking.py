"""What machines see in a picture of one's own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from services.errors import BadInput
from services.recognition import catalog

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_PX = 640  # the longer side of what machines are shown: they find faces of 40 pixels and more


@dataclass(frozen=True)
class Sight:
    """What one machine says of a picture.

    :param score: a detector's answer over the whole picture, None of a recognizer. threshold: above it there
        is a face to it. box_px: left, top, right, bottom in the picture's own pixels, None where it sees no
        face.
    :param embedding: float32 (d,), a recognizer's numbers for the one face; None of a detector, and where
        dlib, which finds the face for it, sees none.
    """

    machine: str
    score: float | None
    threshold: float
    box_px: tuple[float, float, float, float] | None
    embedding: NDArray[np.float32] | None = None

    @property
    def face(self) -> bool:
        """Whether the machine sees a face, or has one to compare."""
        return self.embedding is not None or (self.score is not None and self.score > self.threshold)


def look(image: str | Path | Image | NDArray[Any], machines: Iterable[str] | None = None) -> dict[str, Sight]:
    """Show a picture to machines.

    :param image: a file, a Pillow image or pixels uint8 (H, W, 3), sRGB. A large one is shrunk to 640 pixels.
    :param machines: names that `datamask.machines` lists; None: every detector that is here.
    :raises BadInput: where it is no picture, or a machine neither detects nor recognizes.
    """
    import torch

    pixels, shrink = _small(_pixels(image))
    names = [machines] if isinstance(machines, str) else machines
    infos = [
        *(
            (info for info in catalog.models() if info.kind == "detect" and catalog.installed(info))
            if names is None
            else map(catalog.model_info, names)
        )
    ]
    side = max(pixels.shape[:2])
    square = np.full((1, side, side, 3), 128, np.uint8)  # detectors take squares; below and beside it is gray
    square[0, : pixels.shape[0], : pixels.shape[1]] = pixels
    shown = {}
    for info in infos:
        if info.kind == "recognize":
            embedding = _embedding(info.name, pixels)
            shown[info.name] = Sight(info.name, None, info.threshold, None, embedding)
            continue
        if info.kind != "detect":
            raise BadInput(f"look: {info.name!r} is a {info.kind} model; ask detectors and recognizers")
        with torch.inference_mode():
            found = _detector(info.name, info.sha256).score(torch.from_numpy(square))
        score = float(found.score[0])
        left, top, right, bottom = (float(edge) / shrink for edge in found.box_px[0])
        box = (left, top, right, bottom) if score > info.threshold and right > left else None
        shown[info.name] = Sight(info.name, score, info.threshold, box)
    return shown


def _pixels(image: str | Path | Image | NDArray[Any]) -> NDArray[np.uint8]:
    if isinstance(image, (str, Path)):
        from coordinator.run import photo_path
        from services.recognition.photos import read_photo

        return read_photo(photo_path(str(image)))
    given = np.asarray(image if isinstance(image, np.ndarray) else image.convert("RGB"))
    if given.dtype != np.uint8 or given.ndim != 3 or given.shape[2] != 3 or min(given.shape) == 0:
        raise BadInput(
            f"image: expected pixels uint8 (H, W, 3), got {given.dtype} {given.shape}; "
            "give a file, a Pillow image, or numpy's astype('uint8')"
        )
    return np.asarray(given, np.uint8)


def _small(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """The picture at most MOST_PX long, and by what factor it was shrunk."""
    from PIL import Image

    longest = max(pixels.shape[:2])
    if longest <= MOST_PX:
        return pixels, 1.0
    shrink = MOST_PX / longest
    height, width = (max(1, round(side * shrink)) for side in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS)), shrink


def _embedding(name: str, pixels: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """The one face's numbers, aligned by dlib's landmarks as reference photographs are."""
    import torch

    from services.recognition.called import framed
    from services.recognition.dlib.audit import hog_boxes, landmarks
    from services.recognition.layout import from_dlib

    faces = hog_boxes(pixels)
    if not faces:
        return None
    machine = _recognizer(name, catalog.model_info(name).sha256)
    picture, points = pixels.copy(), torch.zeros(1, 0, 2)
    if machine.points:
        points = from_dlib(torch.from_numpy(landmarks(pixels, faces[0][1])[None]), machine.points)
    else:
        picture = framed(pixels, faces[0][1])
    with torch.inference_mode():
        found: NDArray[np.float32] = machine.embed(torch.from_numpy(picture[None]), points)[0].numpy()
    return found


@lru_cache(maxsize=16)
def _detector(name: str, sha256: str) -> Any:
    return catalog.detector(name, sha256=sha256)


@lru_cache(maxsize=8)
def _recognizer(name: str, sha256: str) -> Any:
    return catalog.recognizer(name, sha256=sha256)
