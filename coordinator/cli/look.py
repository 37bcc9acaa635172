"""``datamask look``: what every installed machine makes of ordinary pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from coordinator.cli.layout import print_table
from coordinator.cli.progress import plain_steps
from coordinator.cli.terminal import print_json
from coordinator.run import photo_path
from datamask.looking import Face, Sight, Sights, infos_of, see, words_of
from services.errors import BadInput
from services.names import usable_name
from services.recognition.model import ModelInfo
from services.recognition.photos import SIDE_PX, photo_folder, read_photo

FORMAT = 1
CAMERA = "camera"  # what its pictures are called
VIDEO_FRAMES, CAMERA_FRAMES = 30, 1
MARK = b"drawn by datamask look"  # a sheet's comment


@dataclass(frozen=True)
class _Picture:
    """One picture that was asked for. source: its path as it was given. seconds: of a frame, None of a photo.

    pixels: uint8 (H, W, 3), or why there are none.
    """

    source: str
    seconds: float | None
    pixels: NDArray[np.uint8] | BadInput

    @property
    def name(self) -> str:
        return self._at(self.source)

    @property
    def title(self) -> str:
        """Without its folders: a sheet may be shown to others."""
        return self._at(Path(self.source).name)

    def _at(self, name: str) -> str:
        return name if self.seconds is None else f"{name} at {self.seconds:.1f} s"


@dataclass
class _Looked:
    """What came of all pictures: rows as JSON values, sights for the table, lines for what is left out."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    sights: list[tuple[str, Sights]] = field(default_factory=list)
    faces: dict[str, list[tuple[str, Sight, Face]]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def look(
    pictures: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PHOTO|FOLDER|VIDEO...", help="Photos, folders of photos, videos.", show_default=False
        ),
    ] = None,
    webcam: Annotated[bool, typer.Option("--webcam", help="Look through this machine's camera.")] = False,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Detector or recognizer; repeat for several. A recognizer compares the first face with all "
            "others.",
            show_default="every detector that is installed",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to write the drawn copies into.")] = Path("looks"),
    every: Annotated[
        float, typer.Option(help="Of a video or the camera: a frame each so many seconds.", min=0.01)
    ] = 1.0,
    frames: Annotated[
        int | None,
        typer.Option(
            help="Of a video or the camera: at most so many frames.",
            min=1,
            show_default=f"{VIDEO_FRAMES} of a video, {CAMERA_FRAMES} of the camera",
        ),
    ] = None,
    longest: Annotated[
        int,
        typer.Option(
            help="Pixels that a picture's longer side is shrunk to before machines see it. More finds "
            "smaller faces and takes longer.",
            min=100,
            max=4000,
        ),
    ] = SIDE_PX,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for machines.")] = False,
) -> None:
    """Show ordinary pictures to machines: what does each take for a face, and how sure is it?

    Writes a copy of each picture for each machine, with boxes, landmarks, scores and thresholds drawn on it,
    as one JPEG sheet a picture, and prints a table. It needs no run. Nothing leaves this machine; of a face's
    numbers, by which a recognizer compares, nothing is kept. skimage:astronaut is a photo to try.

    Example: datamask look holiday.jpg --model dlib-hog --model yunet

    Example: datamask look ada.jpg ben.jpg --model dlib-resnet
    """
    if not pictures and not webcam:
        raise BadInput("look: name a photo, a folder of photos or a video, or add --webcam")
    infos = infos_of(model or None)
    paths = _files(pictures or (), out)
    found = _Looked()
    with plain_steps(Console(stderr=True)) as steps:
        total = len(infos) * sum(
            [
                *(_expected(path, every, frames) for _, path in paths),
                *([frames or CAMERA_FRAMES] if webcam else []),
            ]
        )
        done = 0

        def told() -> None:
            nonlocal done
            done += 1
            steps("looking", done, max(total, done))

        for picture in _read(paths, webcam, every, frames):
            _look_at(picture, infos, longest, out, found, told)
    if not found.rows:
        more = f" (and {len(found.left_out) - 1} more like it)" if len(found.left_out) > 1 else ""
        raise BadInput(found.left_out[0] + more)
    compared = _compared(found)
    if as_json:
        print_json(_facts(infos, found, compared))
        return
    console = Console()
    _print(console, infos, found.sights)
    for info in infos:
        if compared.get(info.name):
            _print_compared(console, compared[info.name])
        elif info.kind == "recognize":
            faces = len(found.faces.get(info.name, ()))
            console.print(
                f"{info.name}: {faces} face{'' if faces == 1 else 's'} in all; it takes two to compare.",
                highlight=False,
                soft_wrap=True,
            )
    for line in found.left_out:
        console.print(f"left out: {line}", style="yellow", soft_wrap=True, markup=False, highlight=False)
    for row in found.rows:
        print(row["file"])


def _files(given: Sequence[str], out: Path) -> list[tuple[str, Path]]:
    """The photos and videos that are asked for, by name; of a folder its photos but those drawn here."""
    paths = []
    for name in given:
        path = photo_path(name)
        if not path.is_dir():
            paths.append((name, path))
            continue
        here = out.resolve()
        own = [p.path for p in photo_folder(path) if p.path.resolve().parent != here or not _is_sheet(p.path)]
        if not own:
            raise BadInput(f"{path}: all photos in it were drawn into {out}; give another folder")
        paths += [(str(photo), photo) for photo in own]
    return paths


def _expected(path: Path, every_s: float, frames: int | None) -> int:
    from services.recognition import film

    if not film.is_film(path):
        return 1
    try:
        return film.expected(path, every_s, frames or VIDEO_FRAMES)
    except BadInput:  # said when it is looked at
        return 1


def _read(
    paths: Sequence[tuple[str, Path]], webcam: bool, every_s: float, frames: int | None
) -> Iterator[_Picture]:
    from services.recognition import film

    for name, path in paths:
        try:
            if film.is_film(path):
                for still in film.stills(path, every_s, frames or VIDEO_FRAMES):
                    yield _Picture(name, still.seconds, still.pixels)
            else:
                yield _Picture(name, None, read_photo(path))
        except BadInput as error:
            yield _Picture(name, None, error)
    if webcam:
        for still in film.camera_stills(every_s, frames or CAMERA_FRAMES):
            yield _Picture(CAMERA, still.seconds, still.pixels)


def _look_at(
    picture: _Picture, infos: Sequence[ModelInfo], longest_px: int, out: Path, found: _Looked, told: Any
) -> None:
    """Ask, draw, and remember what to tell."""
    if isinstance(picture.pixels, BadInput):
        found.left_out.append(str(picture.pixels))
        return
    try:
        sights = see(picture.pixels, infos, longest_px, told)
    except BadInput as error:
        found.left_out.append(f"{picture.name}: {error}")
        return
    for info in infos:
        for face in sights[info.name].faces if info.kind == "recognize" else ():
            found.faces.setdefault(info.name, []).append((picture.name, sights[info.name], face))
    stem = usable_name(Path(picture.source).stem) or "picture"
    at = "" if picture.seconds is None else f"-{picture.seconds:05.1f}s"
    file = out / f"{len(found.rows) + 1:03d}-{stem}{at}.jpg"
    _write(file, sights.drawn(picture.title))
    height, width = picture.pixels.shape[:2]
    found.sights.append((picture.name, sights))
    found.rows.append(
        {
            "picture": picture.source,
            "seconds": picture.seconds,
            "width_px": width,
            "height_px": height,
            "file": str(file),
            "machines": {name: _sight(sight) for name, sight in sights.items()},
        }
    )


def _is_sheet(file: Path) -> bool:
    """Whether look has drawn what is there."""
    try:
        with file.open("rb") as opened:
            return MARK in opened.read(1024)
    except OSError:
        return False


def _write(file: Path, sheet: NDArray[np.uint8]) -> None:
    """A sheet takes the place of an earlier one, and of nothing else."""
    from PIL import Image

    if file.exists() and not _is_sheet(file):
        raise BadInput(f"{file}: is there and no sheet of datamask look; give another folder by --out")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sheet).save(file, "JPEG", quality=90, comment=MARK)
    except (FileExistsError, NotADirectoryError):
        raise BadInput(f"--out {file.parent}: a file is in the way; give a folder") from None


def _sight(sight: Sight) -> dict[str, Any]:
    """As JSON values; of a recognizer's numbers none."""
    nearest = sight.nearest
    return {
        "face": sight.face,
        "score": sight.score,
        "faces": [_face(face) for face in sight.faces],
        "nearest": None if nearest is None else _face(nearest),
    }


def _face(face: Face) -> dict[str, Any]:
    return {
        "score": face.score,
        "box_px": [round(edge, 1) for edge in face.box_px],
        "points_px": [[round(float(x), 1), round(float(y), 1)] for x, y in face.points_px],
    }


def _compared(found: _Looked) -> dict[str, list[dict[str, Any]]]:
    """By recognizer: the first face of all, and what is said of each other one beside it."""
    told = {}
    for name, faces in found.faces.items():
        first_in, sight, first = faces[0]
        told[name] = [
            {
                "model": name,
                "first": {"picture": first_in, "box_px": _face(first)["box_px"]},
                "picture": where,
                "box_px": _face(face)["box_px"],
                "answer": (said := sight.against(first, face)).answer,
                "measure": said.measure,
                "threshold": None if said.same is None else said.threshold,
                "same": said.same,
            }
            for where, _, face in faces[1:]
        ]
    return told


def _facts(infos: Sequence[ModelInfo], found: _Looked, compared: dict[str, list[dict[str, Any]]]) -> Any:
    return {
        "format": FORMAT,
        "models": {
            info.name: {
                "kind": info.kind,
                "measure": info.measure,
                "threshold": None if np.isnan(info.threshold) else info.threshold,
                "threshold_source": info.threshold_source,
                "sha256": info.sha256,
            }
            for info in infos
        },
        "pictures": found.rows,
        "compared": [row for rows in compared.values() for row in rows],
        "left_out": found.left_out,
    }


def _print(console: Console, infos: Sequence[ModelInfo], seen: Sequence[tuple[str, Sights]]) -> None:
    """One picture: a line for each machine. Several: a line for each picture, and how many have a face."""
    if len(seen) == 1:
        name, sights = seen[0]
        rows = [[info.name, words_of(sights[info.name]), _places(sights[info.name])] for info in infos]
        header = ["machine", "what it says", "where: left, top, right, bottom"]
        print_table(console, name, header, rows, left=(0, 1, 2))
        return
    names = [info.name for info in infos]
    short = [Path(name).name for name, _ in seen]
    if len(set(short)) == len(short):
        seen = [(name, sights) for name, (_, sights) in zip(short, seen, strict=True)]
    rows = [[name, *(_cell(sights[n]) for n in names)] for name, sights in seen]
    faces = [f"{sum(sights[n].face for _, sights in seen)} of {len(seen)}" for n in names]
    title = "The best score in each picture (faces, where there are any)"
    print_table(console, title, ["picture", *names], [*rows, [], ["a face in", *faces]])
    limits = ", ".join(f"{i.name} {i.threshold:g}" for i in infos if i.kind == "detect")
    if limits:
        console.print(f"A face is what scores more than: {limits}.", highlight=False, soft_wrap=True)


def _cell(sight: Sight) -> str:
    faces = f" ({max(1, len(sight.faces))})" if sight.face else ""
    return f"{len(sight.faces)}" if sight.score is None else f"{sight.score:.2f}{faces}"


def _places(sight: Sight) -> str:
    return "\n".join(", ".join(f"{edge:.0f}" for edge in face.box_px) for face in sight.faces) or "-"


def _print_compared(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    first, measure = rows[0]["first"], rows[0]["measure"]
    x, y = first["box_px"][:2]
    threshold = rows[0]["threshold"]
    words = {True: "one person", False: "another person", None: "no threshold is known"}
    told = [
        [
            row["picture"],
            f"{row['box_px'][0]:.0f}, {row['box_px'][1]:.0f}",
            f"{row['answer']:.2f}",
            words[row["same"]],
        ]
        for row in rows
    ]
    title = f"{rows[0]['model']}: compared with the face at {x:.0f}, {y:.0f} of {first['picture']}"
    limit = measure if threshold is None else f"{measure} ({threshold:g})"
    print_table(console, title, ["picture", "face at", limit, "taken for"], told, left=(0, 3))
