"""dlib's own whole pipeline, one image after the other: HOG detector, five landmarks, chip, ResNet.

It shares only the weights with the batched code of the inner loop, so it checks that code. It is not an
independent witness of a face: the critics are. Nothing is ever embedded where nothing was detected.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.errors import BadInput
from services.recognition import catalog
from services.recognition.photos import read_photo

Pixels = NDArray[np.uint8]
Embedding = NDArray[np.float32]
Box = tuple[float, float, float, float]

# Photos are shrunk to this longer side: faces stay far above the detector's 80 pixels, and it stays quick.
_PHOTO_SIDE_PX = 1600
# Twice the face's box is shrunk or enlarged to this for MMOD, which needs faces of 80 pixels or more.
_CONFIRM_PX = 220
_CHIP_PX = 150
_CHIP_PADDING = 0.25


@dataclass(frozen=True)
class AuditView:
    """What dlib says about one image.

    hog_score: dlib's score over its threshold 0. box: left, top, right, bottom in continuous pixel
    coordinates. distance: to the nearest target, None also without a target. embedding: float32 (128,),
    read-only. All are None where nothing was detected.
    """

    detected: bool
    hog_score: float | None
    box: Box | None
    distance: float | None
    embedding: Embedding | None = field(compare=False)


def audit(
    images: Pixels,
    target: NDArray[np.floating[Any]] | None = None,
    regions: NDArray[np.floating[Any]] | None = None,
) -> list[AuditView]:
    """dlib's verdict on each image.

    images: uint8 (n, H, W, 3), RGB. target: embeddings (128,) or (k, 128); the distance is that to the
    nearest. regions: (n, 4) boxes in pixels; only a detection whose center lies in its image's box counts.
    The best-scoring detection is kept. Threshold 0, no upsampling: dlib's defaults.
    """
    images = _checked(images)
    targets = None if target is None else np.atleast_2d(np.asarray(target, dtype=np.float64))
    if targets is not None and (
        targets.ndim != 2 or targets.shape[1] != 128 or not np.isfinite(targets).all()
    ):
        raise ValueError(f"target: expected finite (128,) or (k, 128), got shape {targets.shape}")
    if regions is not None and np.shape(regions) != (len(images), 4):
        raise ValueError(f"regions: expected shape ({len(images)}, 4), got {np.shape(regions)}")
    return [
        _audit_one(image, targets, None if regions is None else regions[index])
        for index, image in enumerate(images)
    ]


def mmod_scores(images: Pixels, regions: NDArray[np.floating[Any]] | None = None) -> NDArray[np.float32]:
    """dlib's own MMOD detector: its best score in each image, float32 (n,); nan where it detects nothing.

    images: uint8 (n, H, W, 3), RGB. regions: (n, 4) boxes; only detections centered in them count. dlib
    reports scores above 0 only, and is slow (0.1 to 0.4 s an image): for evidence, not for the inner loop.
    """
    return _best_scores(images, regions, mmod_boxes)


def hog_scores(images: Pixels, regions: NDArray[np.floating[Any]] | None = None) -> NDArray[np.float32]:
    """dlib's own HOG detector: its best score in each image, float32 (n,); arguments as in mmod_scores."""
    return _best_scores(images, regions, lambda image: _detect(image, upsample=0))


def _best_scores(
    images: Pixels,
    regions: NDArray[np.floating[Any]] | None,
    detect: Callable[[Pixels], list[tuple[float, Box]]],
) -> NDArray[np.float32]:
    scores = np.full(len(images), np.nan, dtype=np.float32)
    for index, image in enumerate(_checked(images)):
        region = None if regions is None else regions[index]
        inside = [score for score, box in detect(image) if _centered_in(box, region)]
        if inside:
            scores[index] = max(inside)
    return scores


def hog_boxes(image: Pixels) -> list[tuple[float, Box]]:
    """Score and box of every face that dlib's HOG detector reports in uint8 (H, W, 3), best first."""
    return _detect(_checked(np.asarray(image)[None])[0], upsample=0)


def mmod_boxes(image: Pixels) -> list[tuple[float, Box]]:
    """Score and box of every face that dlib's own MMOD detector reports in uint8 (H, W, 3), best first."""
    found = [
        (float(hit.confidence), _box(hit.rect)) for hit in _mmod()(_checked(np.asarray(image)[None])[0], 0)
    ]
    return sorted(found, key=lambda face: -face[0])


def landmarks(image: Pixels, box: Box) -> NDArray[np.float32]:
    """dlib's five landmarks float32 (5, 2) of the face that lies in a box of uint8 (H, W, 3), in
    align.POINT_NAMES' order and continuous coordinates.
    """
    left, top, right, bottom = (round(edge) for edge in box)
    rectangle = dlib.rectangle(left, top, right - 1, bottom - 1)
    shape = _landmarks()(_checked(np.asarray(image)[None])[0], rectangle)
    # dlib names the corners from the person's left eye on: outer, inner, then the right eye's.
    found = np.array([(shape.part(k).x, shape.part(k).y) for k in (2, 3, 1, 0, 4)], np.float32)
    return found + np.float32(0.5)


def embed_photo(path: str | Path) -> tuple[Embedding, Box]:
    """The embedding float32 (128,) and face box (in the photo's own pixels) of the one face on a photo.

    The photo is turned as its EXIF data say, and shrunk to 1600 pixels if larger. Where no face is found it
    is searched again at twice the size. BadInput, with the path, if it cannot be read or shows no face or
    several.
    """
    face = find_face(path)
    left, top, right, bottom = (edge / face.shrink for edge in face.box)
    return _embed(face.photo, face.box), (left, top, right, bottom)


def embed_photos(paths: Sequence[str | Path]) -> Embedding:
    """Embeddings float32 (photos, 128) of the one face on each photo; errors as in :func:`embed_photo`."""
    return np.stack([embed_photo(path)[0] for path in paths])


@dataclass(frozen=True)
class PhotoFace:
    """The one face on a photo. photo: uint8 (H, W, 3), shrunk by ``shrink``; box and points_px, float32
    (5, 2) in align.POINT_NAMES' order, in its pixels.
    """

    photo: Pixels
    shrink: float
    box: Box
    points_px: NDArray[np.float32]


def find_face(path: str | Path) -> PhotoFace:
    """Read a photo and find its one face; arguments and errors as in :func:`embed_photo`."""
    photo, shrink = _read_photo(Path(path))
    faces = _detect(photo, upsample=0) or _detect(photo, upsample=1)
    if len(faces) > 1:
        faces = [face for face in faces if _confirmed(photo, face[1])] or faces
    if not faces:
        raise BadInput(
            f"{path}: no face found; use a sharp frontal photo in which the face is at least 40 pixels wide"
        )
    if len(faces) > 1:
        boxes = ", ".join(f"{left:.0f},{top:.0f}" for _, (left, top, _, _) in faces)
        raise BadInput(
            f"{path}: {len(faces)} faces found (at {boxes}), expected one; crop the photo to one face"
        )
    box = faces[0][1]
    return PhotoFace(photo, shrink, box, landmarks(photo, box))


def _audit_one(
    image: Pixels, targets: NDArray[np.float64] | None, region: NDArray[np.floating[Any]] | None
) -> AuditView:
    faces = [face for face in _detect(image, upsample=0) if _centered_in(face[1], region)]
    if not faces:
        return AuditView(False, None, None, None, None)
    score, box = max(faces, key=lambda face: face[0])
    embedding = _embed(image, box)
    distance = None
    if targets is not None:
        distance = float(np.linalg.norm(targets - embedding.astype(np.float64), axis=1).min())
    return AuditView(True, score, box, distance, embedding)


def _detect(image: Pixels, upsample: int) -> list[tuple[float, Box]]:
    """Score and box of every face that dlib's HOG detector reports, best first."""
    rects, scores, _ = _hog().run(image, upsample, 0.0)
    found = [(float(score), _box(rect)) for score, rect in zip(scores, rects, strict=True)]
    return sorted(found, key=lambda face: -face[0])


def _confirmed(photo: Pixels, box: Box) -> bool:
    """Whether dlib's MMOD, too, sees a face where HOG does.

    HOG finds a second, weak "face" in the folds of a space suit, depending on how the photo was compressed.
    """
    side = max(box[2] - box[0], box[3] - box[1])
    surroundings = (box[0] - side / 2, box[1] - side / 2, box[2] + side / 2, box[3] + side / 2)
    crop = Image.fromarray(photo).resize(
        (_CONFIRM_PX, _CONFIRM_PX), Image.Resampling.BILINEAR, box=_clipped(surroundings, photo)
    )
    return bool(np.isfinite(mmod_scores(np.asarray(crop)[None])).all())


def _clipped(box: Box, photo: Pixels) -> Box:
    height, width = photo.shape[:2]
    return max(0.0, box[0]), max(0.0, box[1]), min(float(width), box[2]), min(float(height), box[3])


def _embed(image: Pixels, box: Box) -> Embedding:
    left, top, right, bottom = (round(edge) for edge in box)
    shape = _landmarks()(image, dlib.rectangle(left, top, right - 1, bottom - 1))
    chip = dlib.get_face_chip(image, shape, size=_CHIP_PX, padding=_CHIP_PADDING)
    embedding = np.array(_resnet().compute_face_descriptor(chip), dtype=np.float32)
    embedding.setflags(write=False)
    return embedding


def _box(rect: Any) -> Box:
    """dlib's rectangles hold pixel indices, the last one included."""
    return float(rect.left()), float(rect.top()), float(rect.right() + 1), float(rect.bottom() + 1)


def _centered_in(box: Box, region: NDArray[np.floating[Any]] | None) -> bool:
    if region is None:
        return True
    x, y = (box[0] + box[2]) / 2.0, (box[1] + box[3]) / 2.0
    return bool(region[0] <= x <= region[2] and region[1] <= y <= region[3])


def _checked(images: Pixels) -> Pixels:
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"images: expected uint8 (n, H, W, 3), got {images.dtype} {images.shape}")
    return np.ascontiguousarray(images)


def _read_photo(path: Path) -> tuple[Pixels, float]:
    """RGB pixels and by what the photo was shrunk (1 or less)."""
    photo = Image.fromarray(read_photo(path))
    shrink = min(1.0, _PHOTO_SIDE_PX / max(photo.size))
    if shrink < 1.0:
        width, height = (max(1, round(side * shrink)) for side in photo.size)
        photo = photo.resize((width, height), Image.Resampling.LANCZOS)
    return np.ascontiguousarray(np.asarray(photo)), shrink


# Each model is loaded once in a process, after its hash was checked. dlib's objects are not safe to share
# between threads; the audit runs in one.


@functools.cache
def _hog() -> Any:
    detector = dlib.get_frontal_face_detector()
    catalog.check_bytes(
        catalog.model_info("dlib-hog"), detector.__getstate__()[0], "dlib's built-in detector"
    )
    return detector


@functools.cache
def _landmarks() -> Any:
    return dlib.shape_predictor(str(catalog.verify(catalog.model_info("dlib-landmarks-5"))))


@functools.cache
def _resnet() -> Any:
    return dlib.face_recognition_model_v1(str(catalog.verify(catalog.model_info("dlib-resnet"))))


@functools.cache
def _mmod() -> Any:
    return dlib.cnn_face_detection_model_v1(str(catalog.verify(catalog.model_info("dlib-mmod"))))
