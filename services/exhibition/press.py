"""What a gallery asks for: plates with stated DPI, and a press sheet with pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image as Pillow

from services.errors import BadInput
from services.exhibition import palette
from services.exhibition.credits import Credits
from services.exhibition.hung import hung
from services.exhibition.labels import Label
from services.exhibition.lineup import shared_field_mm
from services.exhibition.palette import Image
from services.exhibition.studio import LitMask, Pose
from services.exhibition.telling import Told
from services.exhibition.typesetting import (
    A4_MM,
    BOLD,
    GRAY,
    ITALIC,
    MM,
    ROMAN,
    Page,
    Picture,
    Piece,
    Rule,
    Run,
    broken,
    check_letters,
    width_mm,
)
from services.exhibition.wording import Wording
from services.rendering.rig import NYLON, Material

PLATE_MM = (180.0, 260.0)  # as wide and high as the artist showed his
PLATE_DPI = 300
_POSE = Pose(9.0, -3.0)  # turned away from the lamp, so that it grazes the face
_LEFT, _TOP, _RIGHT, _BOTTOM = 25.0, 24.0, A4_MM[0] - 25.0, A4_MM[1] - 24.0
_HALF_MM = 62.0  # most that a picture in the text is high


def plate(
    mask: LitMask,
    *,
    size_mm: tuple[float, float] = PLATE_MM,
    dpi: int = PLATE_DPI,
    material: Material = NYLON,
    at: float = 0.5,
) -> Image:
    """A picture uint8 (H, W, 3) of a mask on the wall, large enough to print at ``dpi``; all are to one scale
    but those of masks that are too large for it.

    :param size_mm: width and height. at: where it hangs, from 0 at the top to 1 at the foot.
    :raises BadInput: where a side would have fewer than 64 or more than 8192 pixels.
    """
    width, height = (round(length / 25.4 * dpi) for length in size_mm)
    if not all(64 <= side <= 8192 for side in (width, height)):
        wanted = " x ".join(f"{length:g}" for length in size_mm)
        raise BadInput(
            f"plate: {wanted} mm at {dpi} dpi are {width} x {height} pixels; expected 64 to 8192 a side"
        )
    return hung(mask, _POSE, (width, height), shared_field_mm([mask], [_POSE]), material, at)


def plate_png(picture: Image, dpi: int = PLATE_DPI) -> bytes:
    """PNG bytes that say at how many dots per inch they are meant."""
    buffer = io.BytesIO()
    Pillow.fromarray(picture).save(buffer, "PNG", dpi=(dpi, dpi), compress_level=6)
    return buffer.getvalue()


@dataclass(frozen=True)
class PressFacts:
    """What a press sheet is made from.

    facts: of the run's page. title, year: of all works together. together: uint8 (H, W, 3), all works in one
    picture, or None. pictures: of each work, by mask. dpi: of the plates.
    """

    facts: Mapping[str, Any]
    credits: Credits
    title: str
    year: str
    story: Told
    labels: Sequence[Label]
    together: Image | None
    pictures: Mapping[str, Image]
    dpi: int = PLATE_DPI


def press_sheet(press: PressFacts, words: Wording) -> list[Page]:
    """A4 pages for the press: what it is, pictures, three lengths of text, works, rights.

    :raises BadInput: where the type has no shape for a letter.
    """
    flow = _Flow()
    said, facts = press.credits, press.facts
    flow.text([Piece(words.say("press.title"))], 10.0, color=GRAY, after=7.0)
    if said.artist:
        flow.text([Piece(said.artist, BOLD)], 24.0, leading=1.2)
    flow.text([Piece(f"{press.title},", ITALIC), Piece(press.year)], 24.0, leading=1.2, after=1.0)
    if said.venue:
        flow.text([Piece(words.say("press.at", venue=said.venue))], 12.0, color=GRAY)
    flow.space(5.0)
    first = press.labels[0]
    if press.together is not None and len(press.labels) > 1:
        flow.picture(press.together, words.say("press.together"))
    else:
        flow.picture(press.pictures[first.mask], _credit(first, words, press.dpi))
    if said.statement:
        flow.part(words.say("press.statement"), [said.statement])
    for texts in (press.story.long, (press.story.medium,), (press.story.short,)):
        length = sum(len(text.split()) for text in texts)
        flow.part(words.say("press.length", number=words.number(length)), texts)
    flow.heading(words.say("press.works"), 46.0)
    for label in press.labels:
        flow.work(label, press.pictures[label.mask], _credit(label, words, press.dpi))
    consent = facts["manifest"].get("consent")
    if consent:
        named = {key: words.listed(consent[key]) for key in ("subject", "granted_by", "covers")}
        until = words.say("press.until", expires=consent["expires"]) if consent.get("expires") else ""
        lines = [words.say("press.granted", **named, purpose=consent["purpose"], until=until)]
        if "exhibit" not in consent["covers"]:
            lines.append(words.say("press.not_shown"))
        flow.part(words.say("press.consent"), lines)
    models = facts["manifest"].get("models", {})
    rows = [f"{name}: {model['licence']}; {model['training_data']}" for name, model in sorted(models.items())]
    flow.part(words.say("press.rights"), rows, size_pt=9.0)
    flow.text([Piece(words.say("press.source", run=facts["run"], seed=facts["seed"]))], 9.0, color=GRAY)
    for k, page in enumerate(flow.pages):
        foot = words.say("press.page", number=k + 1, of=len(flow.pages))
        page.items.append(Run(foot, ROMAN, 9.0, _RIGHT - width_mm(foot, ROMAN, 9.0), A4_MM[1] - 13.0, GRAY))
    check_letters(run.text for page in flow.pages for run in page.runs())
    return flow.pages


def _credit(label: Label, words: Wording, dpi: int) -> str:
    width, height = (f"{side / 10:g}" for side in PLATE_MM)
    return words.say("press.picture", mask=label.mask, width=width, height=height, dpi=dpi)


@dataclass
class _Flow:
    """Fills pages from top to bottom."""

    pages: list[Page] = field(default_factory=lambda: [Page(A4_MM)])
    y: float = _TOP

    def space(self, height_mm: float) -> None:
        self.y += height_mm

    def need(self, height_mm: float) -> None:
        """A new page where so much does not fit on this one."""
        if self.y + height_mm > _BOTTOM:
            self.pages.append(Page(A4_MM))
            self.y = _TOP

    def text(
        self,
        pieces: Sequence[Piece],
        size_pt: float,
        *,
        leading: float = 1.35,
        color: palette.Color = (22, 22, 22),
        after: float = 0.0,
        left: float = _LEFT,
    ) -> None:
        """Lines, broken between pages so that none stands alone."""
        lines = broken([Piece(_divided(p.text), p.face) for p in pieces], size_pt, _RIGHT - left)
        step = leading * size_pt / MM
        for k, line in enumerate(lines):
            self.need(step * (2 if (k == 0 and len(lines) > 1) or k == len(lines) - 2 else 1))
            self.y += step
            self.pages[-1].items += [Run(p.text, p.face, size_pt, left + at, self.y, color) for p, at in line]
        self.y += after

    def heading(self, words: str, with_mm: float = 18.0) -> None:
        """A heading that stays with what follows."""
        self.need(12.0 + with_mm)
        if self.y > _TOP:
            self.y += 7.0
        self.text([Piece(words, BOLD)], 12.0, after=1.0)

    def part(self, heading: str, texts: Sequence[str], size_pt: float = 11.0) -> None:
        """A heading and paragraphs."""
        self.heading(heading)
        for text in texts:
            self.text([Piece(text)], size_pt, after=1.6)

    def picture(self, pixels: Image, caption: str) -> None:
        """A picture as wide as the text, or as high as a third of the page, with a line below it."""
        high, wide = pixels.shape[:2]
        scale = min((_RIGHT - _LEFT) / wide, 1.6 * _HALF_MM / high)
        self.need(high * scale + 12.0)
        self.pages[-1].items.append(Picture(pixels, (_LEFT, self.y, wide * scale, high * scale)))
        self.y += high * scale + 1.0
        self.text([Piece(caption)], 9.0, color=GRAY)

    def work(self, label: Label, pixels: Image, credit: str) -> None:
        """A small picture, and beside it what the label says but its text."""
        high, wide = pixels.shape[:2]
        scale = 38.0 / high
        self.need(44.0)
        top = self.y + 2.0
        self.pages[-1].items.append(Picture(pixels, (_LEFT, top, wide * scale, 38.0)))
        left = _LEFT + wide * scale + 6.0
        self.y = top - 1.0
        self.text([Piece(f"{label.title},", ITALIC), Piece(label.year)], 11.0, left=left)
        for line in label.facts:
            self.text([Piece(line)], 10.0, left=left)
        self.text([Piece(credit)], 9.0, color=GRAY, left=left)
        self.y = max(self.y, top + 38.0) + 2.0
        self.pages[-1].items.append(Rule((_LEFT, self.y), (_RIGHT, self.y), 0.2, (190, 190, 190)))


def _divided(text: str) -> str:
    """Text whose words all fit a line: addresses and file names of licences may be longer than one."""
    return " ".join(
        " ".join(word[k : k + 60] for k in range(0, len(word), 60)) if len(word) > 60 else word
        for word in text.split(" ")
    )
