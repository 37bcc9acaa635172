"""Pages of type and pictures, in millimeters from the top left: laid out once, drawn as PDF and as PNG.

The type is STIX General, which comes with matplotlib: a book face of the Times kind, with a true italic, for
Latin, Greek and Cyrillic. PDFs hold it, so that words stay words wherever they are printed.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from services.errors import BadInput
from services.exhibition.palette import Color, Image

MM = 72 / 25.4  # points a millimeter
A3_MM, A4_MM = (297.0, 420.0), (210.0, 297.0)
INK: Color = (22, 22, 22)
GRAY: Color = (96, 96, 96)
PAPER: Color = (255, 255, 255)
ROMAN, ITALIC, BOLD = "STIXGeneral", "STIXGeneralItalic", "STIXGeneralBol"
_LEAST_LAST = 0.3  # of a line: a shorter last one looks like an accident


@dataclass(frozen=True)
class Run:
    """Words in one face, from x on the baseline y."""

    text: str
    face: str
    size_pt: float
    x_mm: float
    y_mm: float
    color: Color = INK

    @property
    def right_mm(self) -> float:
        """Where it ends."""
        return self.x_mm + width_mm(self.text, self.face, self.size_pt)


@dataclass(frozen=True)
class Rule:
    """A line."""

    start_mm: tuple[float, float]
    end_mm: tuple[float, float]
    width_pt: float = 0.3
    color: Color = INK


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels uint8 (H, W, 3) in a box: left, top, width, height."""

    pixels: Image
    box_mm: tuple[float, float, float, float]


@dataclass
class Page:
    """One side of paper and what stands on it, in drawing order."""

    size_mm: tuple[float, float]
    ground: Color = PAPER
    items: list[Run | Rule | Picture] = field(default_factory=list)

    def runs(self) -> list[Run]:
        """Its words."""
        return [item for item in self.items if isinstance(item, Run)]


@dataclass(frozen=True)
class Piece:
    """Words that are to be broken into lines."""

    text: str
    face: str = ROMAN


@cache
def _file(face: str) -> Path:
    path = Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{face}.ttf"
    pdfmetrics.registerFont(TTFont(face, str(path)))
    return path


def width_mm(text: str, face: str, size_pt: float) -> float:
    """How wide a line of words is."""
    _file(face)
    return float(pdfmetrics.stringWidth(text, face, size_pt)) / MM


def check_letters(words: Iterable[str]) -> None:
    """:raises BadInput: where the type has no shape for a letter, which would print as an empty box."""
    _file(ROMAN)
    known = pdfmetrics.getFont(ROMAN).face.charToGlyph
    for text in words:
        missing = sorted({letter for letter in text if ord(letter) not in known and not letter.isspace()})
        if missing:
            raise BadInput(
                f"labels: the type of labels has no {' '.join(missing[:5])} (in {text[:40]!r}): it writes "
                "Latin, Greek and Cyrillic letters; write it in those"
            )


def broken(pieces: Sequence[Piece], size_pt: float, room_mm: float) -> list[list[tuple[Piece, float]]]:
    """Lines as even as can be: the least sum of squared empty ends, the last one free but not a single word.

    :returns: for each line its pieces, joined where the face is one, with where each begins, in millimeters.
    :raises BadInput: for a word that is wider than the room.
    """
    # A number and what it counts stay together: their space is no place to break at.
    words = [Piece(word, piece.face) for piece in pieces for word in piece.text.split(" ") if word]
    widths = [width_mm(word.text, word.face, size_pt) for word in words]
    space = width_mm(" ", ROMAN, size_pt)
    for word, wide in zip(words, widths, strict=True):
        if wide > room_mm:
            raise BadInput(f"labels: {word.text[:60]!r} is wider than its line; shorten or divide that word")
    count = len(words)
    best = [0.0] * (count + 1)
    ends = [count] * (count + 1)
    for start in range(count - 1, -1, -1):
        best[start], wide = float("inf"), -space
        for end in range(start + 1, count + 1):
            wide += space + widths[end - 1]
            if wide > room_mm:
                break
            empty = (room_mm - wide) / room_mm
            if end == count:
                cost = 0.0 if start == 0 else max(0.0, _LEAST_LAST - wide / room_mm) ** 2 * 8
            else:
                cost = empty**2 + best[end]
            # A line that is only a little fuller must not cost the paragraph a line more.
            cost += 0.02
            if cost < best[start]:
                best[start], ends[start] = cost, end
    lines, start = [], 0
    while start < count:
        lines.append(_joined(words[start : ends[start]], size_pt, space))
        start = ends[start]
    return lines


def _joined(words: Sequence[Piece], size_pt: float, space: float) -> list[tuple[Piece, float]]:
    made: list[tuple[Piece, float]] = []
    x = 0.0
    for word in words:
        if made and made[-1][0].face == word.face:
            piece, at = made[-1]
            made[-1] = Piece(f"{piece.text} {word.text}", word.face), at
            x = at + width_mm(made[-1][0].text, word.face, size_pt) + space
        else:
            made.append((word, x))
            x += width_mm(word.text, word.face, size_pt) + space
    return made


def set_lines(
    page: Page,
    pieces: Sequence[Piece],
    size_pt: float,
    at_mm: tuple[float, float],
    room_mm: float,
    *,
    leading: float = 1.3,
    color: Color = INK,
) -> float:
    """Set words from the first baseline at ``at_mm`` down; returns the baseline that would come next."""
    x, y = at_mm
    for line in broken(pieces, size_pt, room_mm):
        page.items += [Run(p.text, p.face, size_pt, x + at, y, color) for p, at in line]
        y += leading * size_pt / MM
    return y


def pdf(pages: Sequence[Page], title: str, author: str = "", language: str = "en") -> bytes:
    """PDF bytes with embedded type: no dates, so that one layout gives one file."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, invariant=1, lang=language)
    canvas.setTitle(title)
    canvas.setAuthor(author)
    for page in pages:
        width, height = page.size_mm
        canvas.setPageSize((width * MM, height * MM))
        if page.ground != PAPER:
            canvas.setFillColorRGB(*_shares(page.ground))
            canvas.rect(0, 0, width * MM, height * MM, stroke=0, fill=1)
        for item in page.items:
            if isinstance(item, Picture):
                x, y, wide, high = item.box_mm
                shown = ImageReader(Pillow.fromarray(item.pixels))
                canvas.drawImage(shown, x * MM, (height - y - high) * MM, wide * MM, high * MM)
            elif isinstance(item, Rule):
                canvas.setStrokeColorRGB(*_shares(item.color))
                canvas.setLineWidth(item.width_pt)
                (x0, y0), (x1, y1) = item.start_mm, item.end_mm
                canvas.line(x0 * MM, (height - y0) * MM, x1 * MM, (height - y1) * MM)
            else:
                _file(item.face)
                canvas.setFillColorRGB(*_shares(item.color))
                canvas.setFont(item.face, item.size_pt)
                canvas.drawString(item.x_mm * MM, (height - item.y_mm) * MM, item.text)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def png(page: Page, dpi: int) -> bytes:
    """PNG bytes that say at how many dots per inch they are meant."""
    scale = dpi / 25.4
    sheet = Pillow.new("RGB", tuple(round(side * scale) for side in page.size_mm), page.ground)  # type: ignore[arg-type]
    pen = ImageDraw.Draw(sheet)
    for item in page.items:
        if isinstance(item, Picture):
            left, top, wide, high = item.box_mm
            box = [round(edge * scale) for edge in (left, top, left + wide, top + high)]
            picture = Pillow.fromarray(item.pixels)
            size = (box[2] - box[0], box[3] - box[1])
            if picture.size != size:
                picture = picture.resize(size, Pillow.Resampling.LANCZOS)
            sheet.paste(picture, (box[0], box[1]))
        elif isinstance(item, Rule):
            ends = [v * scale for v in (*item.start_mm, *item.end_mm)]
            pen.line(ends, fill=item.color, width=max(1, round(item.width_pt * dpi / 72)))
        else:
            font = _loaded(item.face, round(item.size_pt * dpi / 72, 2))
            pen.text((item.x_mm * scale, item.y_mm * scale), item.text, item.color, font, anchor="ls")
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", dpi=(dpi, dpi), compress_level=6)
    return buffer.getvalue()


@lru_cache(maxsize=32)
def _loaded(face: str, size_px: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(_file(face)), size_px)


def _shares(color: Color) -> tuple[float, float, float]:
    red, green, blue = (np.array(color) / 255).tolist()
    return red, green, blue
