"""What machines see in a picture of one's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from services.errors import BadInput
from services.recognition import catalog
from services.recognition.model import AnswerKind, ModelInfo
from services.recognition.photos import SIDE_PX

if TYPE_CHECKING:
    from PIL.Image import Image

    from services.recognition.looking import Face as Place

Box = tuple[float, float, float, float]
HOG = "dlib-hog"


@dataclass(frozen=True)
class Face:
    """One face that a machine reports, or that a recognizer looked at.

    :param score: the detector's; of a recognizer that of dlib's HOG, which finds the face for it.
    :param box_px: left, top, right, bottom in the picture's own pixels. points_px: landmarks float32 (k, 2)
        in the same: five points, or dlib's eye corners; (0, 2) where there are none.
    :param embedding: float32 (d,), a recognizer's numbers; None of a detector.
    """

    score: float
    box_px: Box
    points_px: NDArray[np.float32]
    embedding: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Likeness:
    """What a recognizer says of two faces. answer: in its measure. threshold: nan where nobody has said one.

    same: whether it takes them for one person's, None without a threshold.
    """

    answer: float
    threshold: float
    measure: AnswerKind

    @property
    def same(self) -> bool | None:
        """Below the threshold where it is a distance, above it where it is a similarity."""
        if math.isnan(self.threshold):
            return None
        nearer = self.answer < self.threshold
        return nearer if self.measure == "distance" else self.answer > self.threshold


@dataclass(frozen=True)
class Sight:
    """What one machine says of a picture.

    :param score: a detector's answer over the whole picture, None of a recognizer. threshold: above it there
        is a face to it.
    :param faces: every face that it reports, best first; none of a machine that does not say where.
    :param nearest: where a detector that reports none came nearest to it, None where it does not say.
    """

    machine: str
    score: float | None
    threshold: float
    faces: tuple[Face, ...] = ()
    nearest: Face | None = None

    @property
    def box_px(self) -> Box | None:
        """Where the best face is: left, top, right, bottom in the picture's own pixels; None without one."""
        return self.faces[0].box_px if self.faces else None

    @property
    def embedding(self) -> NDArray[np.float32] | None:
        """A recognizer's numbers for the best face, float32 (d,); None of a detector, and without a face."""
        return self.faces[0].embedding if self.faces else None

    @property
    def face(self) -> bool:
        """Whether the machine sees a face, or has one to compare."""
        return bool(self.faces) or (self.score is not None and self.score > self.threshold)

    def against(self, one: Face, other: Face) -> Likeness:
        """What this recognizer says of two faces that it looked at, of this picture or of others.

        :raises BadInput: of a detector's.
        """
        if one.embedding is None or other.embedding is None:
            raise BadInput(f"{self.machine}: it compares no faces; ask a recognizer, such as dlib-resnet")
        import torch

        info = catalog.model_info(self.machine)
        machine = _recognizer(info)
        answer = machine.compare(torch.from_numpy(one.embedding), torch.from_numpy(other.embedding))
        return Likeness(float(answer), info.threshold, info.measure)


class Sights(dict[str, Sight]):
    """What each machine says of one picture, by name; in Jupyter it shows itself.

    :param pixels: the picture as machines were shown it, uint8 (H, W, 3). scale: its pixels for each of the
        picture's own.
    """

    def __init__(self, found: Mapping[str, Sight], pixels: NDArray[np.uint8], scale: float) -> None:
        super().__init__(found)
        self.pixels, self.scale = pixels, scale

    def drawn(self, title: str = "") -> NDArray[np.uint8]:
        """A copy of the picture for each machine, with boxes, landmarks, scores and thresholds: (H, W, 3)."""
        from services.exhibition.look_sheet import look_sheet

        panels = [_panel(sight, self.scale) for sight in self.values()]
        note = (
            "Solid: a face to the machine, and its score. Dashed: no face, but where it came nearest to one."
        )
        return look_sheet(self.pixels, panels, title, note)

    def _repr_png_(self) -> bytes:
        from services.exhibition.palette import png

        return png(self.drawn())


def look(
    image: str | Path | Image | NDArray[Any], machines: Iterable[str] | None = None, longest_px: int = SIDE_PX
) -> Sights:
    """Show a picture to machines. It stays on this machine, and nothing of it is kept.

    :param image: a file, a Pillow image or pixels uint8 (H, W, 3), sRGB.
    :param machines: names that `datamask.machines` lists; None: every detector that is here.
    :param longest_px: a picture whose longer side is longer is shrunk to this. More finds smaller faces.
    :raises BadInput: where it is no picture, or a machine neither detects nor recognizes.
    """
    return see(_pixels(image), infos_of(machines), longest_px)


def infos_of(machines: Iterable[str] | None) -> tuple[ModelInfo, ...]:
    """The machines of these names, each once; every detector that is here where none is named.

    :raises BadInput: for one that neither detects nor recognizes.
    """
    if machines is None:
        return tuple(i for i in catalog.models() if i.kind == "detect" and catalog.installed(i))
    names = [machines] if isinstance(machines, str) else machines
    infos = tuple(map(catalog.model_info, dict.fromkeys(names)))
    for info in infos:
        if info.kind not in ("detect", "recognize"):
            raise BadInput(f"look: {info.name!r} is a {info.kind} model; ask detectors and recognizers")
    return infos


def see(
    pixels: NDArray[np.uint8],
    infos: Iterable[ModelInfo],
    longest_px: int = SIDE_PX,
    told: Callable[[], object] = lambda: None,
) -> Sights:
    """See :func:`look`. pixels: uint8 (H, W, 3). told: called after each machine."""
    from services.recognition.looking import shrunk

    shown = shrunk(pixels, longest_px)
    scale = max(shown.shape[:2]) / max(pixels.shape[:2])
    found = {}
    for info in infos:
        found[info.name] = (_compared if info.kind == "recognize" else _detected)(info, shown, scale)
        told()
    return Sights(found, shown, scale)


def _detected(info: ModelInfo, pixels: NDArray[np.uint8], scale: float) -> Sight:
    from services.recognition.looking import look as ask

    answer = ask(_detector(info), pixels, info.threshold)

    def own(place: Place) -> Face:
        points = place.points_px
        if info.name == HOG:
            from services.recognition.dlib.audit import landmarks

            points = landmarks(pixels, place.box_px)
        return _scaled(Face(place.score, place.box_px, points), scale)

    faces = tuple(map(own, answer.faces))
    nearest = None
    if not faces and answer.best is not None and answer.score <= info.threshold:
        # Landmarks of what is no face to it say nothing.
        nearest = _scaled(Face(answer.best.score, answer.best.box_px, np.zeros((0, 2), np.float32)), scale)
    return Sight(info.name, answer.score, info.threshold, faces, nearest)


def _compared(info: ModelInfo, pixels: NDArray[np.uint8], scale: float) -> Sight:
    """Every face's numbers, found and aligned by dlib's detector and landmarks as reference photos are."""
    import torch

    from services.recognition.called import framed
    from services.recognition.dlib.audit import hog_boxes, landmarks
    from services.recognition.layout import from_dlib

    machine = _recognizer(info)
    faces = []
    for score, box in hog_boxes(pixels):
        picture, points = pixels.copy(), torch.zeros(1, 0, 2)
        if machine.points:
            points = from_dlib(torch.from_numpy(landmarks(pixels, box)[None]), machine.points)
        else:
            picture = framed(pixels, box)
        with torch.inference_mode():
            embedding = machine.embed(torch.from_numpy(picture[None]), points)[0].numpy()
        faces.append(_scaled(Face(score, box, points[0].numpy(), embedding), scale))
    return Sight(info.name, None, info.threshold, tuple(faces))


def _scaled(face: Face, scale: float) -> Face:
    """A face of the shown picture in its own pixels."""
    left, top, right, bottom = (float(edge) / scale for edge in face.box_px)
    points = np.asarray(face.points_px / scale, np.float32)
    return Face(face.score, (left, top, right, bottom), points, face.embedding)


def _panel(sight: Sight, scale: float) -> Any:
    from services.exhibition.look_sheet import Mark, Panel

    def mark(face: Face, words: str, faint: bool = False) -> Mark:
        left, top, right, bottom = (edge * scale for edge in face.box_px)
        return Mark((left, top, right, bottom), face.points_px * scale, words, faint)

    marks = [mark(face, f"{face.score:.2f}") for face in sight.faces]
    if sight.nearest is not None:
        marks.append(mark(sight.nearest, f"{sight.nearest.score:.2f}", faint=True))
    return Panel(sight.machine, sight.face, words_of(sight), tuple(marks))


def words_of(sight: Sight) -> str:
    """What a machine says, in a line."""
    count = len(sight.faces)
    if sight.score is None:
        return f"{count} to compare, found by {HOG}" if count else f"nothing to compare: {HOG} sees no face"
    seen = f"{count} faces" if count > 1 else "a face" if sight.face else "no face"
    sign = ">" if sight.score > sight.threshold else "<="
    return f"{seen}: {sight.score:.2f} {sign} {sight.threshold:g}"


def _pixels(image: str | Path | Image | NDArray[Any]) -> NDArray[np.uint8]:
    if isinstance(image, (str, Path)):
        from coordinator.run import photo_path
        from services.recognition.photos import read_photo

        return read_photo(photo_path(str(image)))
    if not isinstance(image, np.ndarray) and not hasattr(image, "convert"):
        raise BadInput(
            f"image: expected a file, a Pillow image or pixels uint8 (H, W, 3), got {type(image).__name__}"
        )
    given = np.asarray(image if isinstance(image, np.ndarray) else image.convert("RGB"))
    if given.dtype != np.uint8 or given.ndim != 3 or given.shape[2] != 3 or min(given.shape) == 0:
        raise BadInput(
            f"image: expected pixels uint8 (H, W, 3), got {given.dtype} {given.shape}; "
            "give a file, a Pillow image, or numpy's astype('uint8')"
        )
    return np.asarray(given, np.uint8)


@lru_cache(maxsize=16)
def _detector(info: ModelInfo) -> Any:
    return catalog.detector(info.name, sha256=info.sha256)


@lru_cache(maxsize=8)
def _recognizer(info: ModelInfo) -> Any:
    return catalog.recognizer(info.name, sha256=info.sha256)
