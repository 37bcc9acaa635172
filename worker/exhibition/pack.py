"""The exhibition pack: a folder that goes to a gallery and needs nothing of this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from services.errors import BadInput
from services.exhibition.credits import NAMES, Credits
from services.exhibition.inline import smaller
from services.exhibition.labels import Label, label_sheets, labels_of, title_of, wall_text, year_of
from services.exhibition.page import page
from services.exhibition.palette import Image
from services.exhibition.poster import HANGS, poster
from services.exhibition.press import PLATE_DPI, PressFacts, plate, plate_png, press_sheet
from services.exhibition.studio import LitMask
from services.exhibition.telling import Told, brief_origin, names_of, told
from services.exhibition.typesetting import A3_MM, Page, pdf, png
from services.exhibition.wording import Wording
from services.rendering.rig import MATERIALS, Material
from services.storage.keys import is_key
from services.storage.local import LocalStore
from services.storage.store import Store
from services.wire.page_plan import read_json
from worker.exhibition.prints import prints_of

_WHOLE = (
    "film.mp4",
    "film.webp",
    "turntable.mp4",
    "composite.png",
    "before-after.png",
    "run.toml",
    "manifest.json",
)
LIST = "pack.json"  # the names of a pack's files
_PRESS_PX = (1600, 700)  # the longer side of a press sheet's pictures: of all works, of one


@dataclass(frozen=True)
class Show:
    """What a run's labels say, found out and laid out before anything is drawn."""

    words: Wording
    credits: Credits
    title: str
    year: str
    story: Told
    labels: Sequence[Label]
    sheets: Sequence[Page]
    wall: Page
    bred: str

    @property
    def about(self) -> list[str]:
        """What a kiosk tells of the work: the statement, and the longest of the texts."""
        return [*([self.credits.statement] if self.credits.statement else []), *self.story.long]


def show_of(run: Store, facts: Mapping[str, Any], credits: Credits, words: Wording) -> Show:
    """The words of a run's exhibition.

    :param credits: what was given; what the spec's [exhibition] says stands below it.
    :raises BadInput: where a label does not hold its text, or its type has no shape for a letter.
    """
    said = facts.get("exhibition", {})
    credits = credits.over(Credits(**{name: said.get(name) for name in NAMES}))
    prints = prints_of(run, [mask["id"] for mask in facts["masks"]])
    first = prints.get(facts["masks"][0]["id"])
    story = told(facts, words, None if first is None else first.report)
    labels = labels_of(facts, credits, words, story, prints)
    title, year = title_of(facts, credits, words), year_of(facts, credits, words)
    values = {
        "origin": brief_origin(facts, words),
        "generations": words.count("generations", facts["generation"]),
        "machines": words.listed(names_of(facts, words)),
    }
    bred = words.say("poster.bred", **values)
    wall = wall_text(title, credits, story, year)
    blank = np.zeros((1, 1, 3), np.uint8)  # for pictures that are not drawn yet
    poster(blank, title, year, credits, bred)
    pictures = {label.mask: blank for label in labels}
    press_sheet(PressFacts(facts, credits, title, year, story, labels, None, pictures), words)
    return Show(words, credits, title, year, story, labels, label_sheets(labels), wall, bred)


_OF_A_MASK = (".glb", ".stl", ".3mf", *(f"/still-{name}.png" for name in (*MATERIALS, "room")))


def write_pack(
    folder: Path,
    run: Store,
    facts: Mapping[str, Any],
    lit: Sequence[LitMask],
    material: Material,
    show: Show,
    beside: Mapping[str, bytes],
    tell: Callable[[str, int, int], None],
    dpi: int = PLATE_DPI,
) -> list[str]:
    """Write labels, texts, plates, poster, press sheet, films, meshes and the page into a folder; what an
    earlier pack left there and this one does not have goes.

    :param beside: files that were made before, by name: lineup.png without captions, and a kiosk's page.
        dpi: how finely plates and poster are drawn.
    :returns: the names of its files.
    :raises BadInput: where the folder cannot be written to.
    """
    masks = facts["masks"]
    written: list[str] = []

    def write(name: str, data: bytes) -> None:
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except OSError as error:
            raise BadInput(f"{path}: cannot be written ({error.strerror}); give another --pack") from None
        written.append(name)

    def write_pdf(name: str, pages: Sequence[Page]) -> None:
        language = show.words.words["language"]
        write(name, pdf(pages, show.title, show.credits.artist or "", language))

    write_pdf("labels.pdf", show.sheets)
    write_pdf("wall-text.pdf", [show.wall])
    labels = "\n\n".join("\n".join(label.lines) for label in show.labels)
    write("labels.txt", f"{labels}\n".encode())
    story = show.story
    write("texts.txt", "\n\n\n".join([story.short, story.medium, "\n\n".join(story.long), ""]).encode())
    pictures = {}
    for k, (mask, mask_lit) in enumerate(zip(masks, lit, strict=True)):
        drawn = plate(mask_lit, dpi=dpi, material=material)
        write(f"plates/{mask['id']}.png", plate_png(drawn, dpi))
        pictures[mask["id"]] = _smaller(drawn, _PRESS_PX[1])
        tell("plates", k + 1, len(masks))
    sheet = poster(
        plate(lit[0], size_mm=A3_MM, dpi=dpi, material=material, at=HANGS),
        show.title,
        show.year,
        show.credits,
        show.bred,
    )
    write("poster.png", png(sheet, dpi))
    write_pdf("poster.pdf", [sheet])
    tell("poster", 1, 1)
    for name, data in beside.items():
        write(name, data)
    all_works = smaller(beside["lineup.png"], _PRESS_PX[0])
    press = PressFacts(
        *(facts, show.credits, show.title, show.year, story, show.labels, all_works, pictures, dpi)
    )
    write_pdf("press.pdf", press_sheet(press, show.words))
    for key in facts["files"]:
        if key in _WHOLE or (key.startswith("masks/") and key.endswith(_OF_A_MASK)):
            write(key, run.get(key))
    write("index.html", page({**facts, "files": sorted(written)}))
    earlier = _earlier(folder)
    write(LIST, (json.dumps({"format": 1, "files": sorted(written)}, indent=1) + "\n").encode())
    LocalStore(folder).delete_many(sorted(earlier - set(written)))
    return written


def _earlier(folder: Path) -> set[str]:
    """Names of the files of an earlier pack in a folder, as its list has them."""
    found = read_json(LocalStore(folder), LIST)
    names = found.get("files") if isinstance(found, dict) else None
    return {str(name) for name in names or () if is_key(str(name))}


def _smaller(picture: Image, size_px: int) -> Image:
    small = Pillow.fromarray(picture)
    small.thumbnail((size_px, size_px), Pillow.Resampling.LANCZOS)
    return np.asarray(small, np.uint8)
