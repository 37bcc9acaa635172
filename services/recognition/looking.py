"""One ordinary picture before one detector: brought to a size, and every face that is reported in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from services.errors import BadInput
from services.recognition.detect import Detections, Detector, GradesEveryPlace, ReportsFaces
from services.recognition.networks.suppress import suppressed
from services.recognition.photos import SIDE_PX, read_photo
from services.recognition.together import one_by_one

Pixels = NDArray[np.uint8]
Box = tuple[float, float, float, float]

LEAST_PX = 20  # of the shorter side then: detectors look for faces of more, and some refuse less
_OVERLAP = 0.3  # windows that share more of their common area are one face; OpenCV's own for YuNet


@dataclass(frozen=True)
class Face:
    """One place of a picture, and what a detector says of it.

    :param box_px: left, top, right, bottom in continuous pixel coordinates (pixel centers at .5).
    :param points_px: landmarks float32 (k, 2) in the same; (0, 2) from detectors that find none.
    """

    score: float
    box_px: Box
    points_px: NDArray[np.float32]


@dataclass(frozen=True)
class Answer:
    """What a detector says of one picture.

    :param score: of its best place, in the detector's measure. best: that place; None where it tells of none.
    :param faces: the places above its threshold, best first, each face once.
    """

    score: float
    best: Face | None
    faces: tuple[Face, ...]


def read_shrunk(path: Path, longest_px: int = SIDE_PX) -> Pixels:
    """A file's picture as machines are shown it; see :func:`shrunk`.

    :raises BadInput: with the path, if it cannot be read or is too small.
    """
    try:
        return shrunk(read_photo(path), longest_px)
    except BadInput as error:
        words = str(error)
        raise BadInput(words if words.startswith(f"{path}: ") else f"{path}: {words}") from None


def shrunk(pixels: Pixels, longest_px: int = SIDE_PX) -> Pixels:
    """A picture uint8 (H, W, 3) of at most ``longest_px`` on its longer side; a smaller one as it is.

    :raises BadInput: where no face could be found in it.
    """
    height, width = pixels.shape[:2]
    shrink = min(1.0, longest_px / max(width, height))
    size = (round(width * shrink), round(height * shrink))
    if min(size) < LEAST_PX:
        raise BadInput(
            f"{width} x {height} pixels can show no face; give a picture of at least {LEAST_PX} pixels"
            + (f" when its longer side has {longest_px}" if shrink < 1.0 else "")
        )
    if shrink == 1.0:
        return pixels
    return np.ascontiguousarray(np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)))


def look(detector: Detector, picture: Pixels, threshold: float) -> Answer:
    """What a detector says of a picture uint8 (H, W, 3), of any size from LEAST_PX on.

    :param threshold: above it there is a face to the detector.
    """
    images = torch.from_numpy(np.array(picture[None]))
    with torch.inference_mode(), one_by_one():
        if isinstance(detector, GradesEveryPlace) and (windows := detector.windows(images)).scores.numel():
            best = windows.best(None)
            over = (windows.scores[0] > threshold).nonzero()[:, 0]
            boxes = windows.boxes_px if windows.boxes_px.ndim == 2 else windows.boxes_px[0]
            points = None if windows.points_px is None else windows.points_px[0][over]
            found = _faces(Detections(windows.scores[0][over], boxes[over], points))
        elif isinstance(detector, ReportsFaces):
            best = detector.score(images)
            found = _faces(detector.faces(images[0]))
        else:
            best = detector.score(images)
            found = tuple(face for face in _faces(best) if face.score > threshold)
    return Answer(float(best.score[0]), next(iter(_faces(best)), None), found)


def _faces(found: Detections) -> tuple[Face, ...]:
    """Detections as faces, best first, without those that a better one overlaps or that have no box."""
    scores = found.score.float().cpu().numpy()
    boxes = np.ascontiguousarray(found.box_px.float().cpu().numpy())
    points = (
        np.zeros((len(scores), 0, 2), np.float32)
        if found.points_px is None
        else found.points_px.float().cpu().numpy()
    )
    there = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    boxes, scores, points = boxes[there], scores[there], points[there]
    kept = suppressed(boxes, scores, np.zeros(len(scores), np.int64), _OVERLAP, False)
    order = [k for k in np.argsort(-scores, kind="stable") if kept[k]]
    return tuple(
        Face(float(scores[k]), tuple(map(float, boxes[k])), points[k])  # type: ignore[arg-type]
        for k in order
    )
