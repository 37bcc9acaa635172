"""A blind test for people: one file that asks by itself, and sheets to print. No server is asked anything.

Pictures come in the test's own order and say nothing of what they show.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from importlib import resources

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from PIL import Image as Pillow
from PIL import ImageDraw

from services.exhibition.inline import picture_uri
from services.exhibition.palette import Color, Image, font, sheet, write

GRID = 20  # columns A to T, rows 1 to 20

_QUALITY = 92
_DPI = 200
_PAGE_MM = (210, 297)
_SIDE_MM = 78
_ACROSS, _DOWN = 2, 3
_LEFT_MM, _TOP_MM = 19, 24
_STEP_MM = (92, 89)
_INK: Color = (20, 20, 20)
_HEAD = "Is there a face? Where are its eyes? Write the cell of each eye, such as H8 M8; K7 if there is one."
_LINE: Color = (255, 255, 255)


def raters_form(test: str, pictures: Sequence[Image]) -> bytes:
    """The form as UTF-8 HTML. pictures: uint8 (S, S, 3) each, in the order of their numbers."""
    folder = resources.files("services.exhibition") / "assets"
    frame, style, program = (
        (folder / name).read_text(encoding="utf-8") for name in ("raters.html.j2", "raters.css", "raters.js")
    )
    policy = {
        "default-src": "'none'",
        "script-src": _hash(program),
        "style-src": _hash(style),
        "img-src": "data:",
        "connect-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    text = (
        Environment(autoescape=True, undefined=StrictUndefined)
        .from_string(frame)
        .render(
            test=test,
            pictures=[picture_uri(picture, quality=_QUALITY) for picture in pictures],
            side=pictures[0].shape[0],
            grid=GRID,
            style=Markup(style),
            program=Markup(program),
            policy="; ".join(f"{name} {value}" for name, value in policy.items()),
        )
    )
    return text.encode()


def raters_sheets(test: str, pictures: Sequence[Image]) -> bytes:
    """The sheets as PDF, A4, six pictures a page under a grid; arguments as of :func:`raters_form`."""
    pages = raters_pages(test, pictures)
    file = io.BytesIO()
    pages[0].save(file, "PDF", save_all=True, append_images=pages[1:], resolution=_DPI, quality=_QUALITY)
    return file.getvalue()


def raters_pages(test: str, pictures: Sequence[Image]) -> list[Pillow.Image]:
    """Every page of the sheets, 200 dots an inch."""
    each = _ACROSS * _DOWN
    count = -(-len(pictures) // each)
    pages = []
    for number in range(count):
        page = sheet(_px(_PAGE_MM[0]), _px(_PAGE_MM[1]), (255, 255, 255))
        write(page, (_px(_LEFT_MM), _px(10)), _HEAD, _px(3.4), _INK)
        foot = f"test {test}   page {number + 1} of {count}   rater ______________"
        write(page, (_px(_LEFT_MM), _px(15.5)), foot, _px(3.4), _INK)
        for place in range(min(each, len(pictures) - number * each)):
            at = _LEFT_MM + place % _ACROSS * _STEP_MM[0], _TOP_MM + place // _ACROSS * _STEP_MM[1]
            _put(page, pictures[number * each + place], number * each + place + 1, at)
        pages.append(page)
    return pages


def _put(page: Pillow.Image, picture: Image, number: int, at_mm: tuple[float, float]) -> None:
    side = _px(_SIDE_MM)
    left, top = _px(at_mm[0]), _px(at_mm[1])
    page.paste(Pillow.fromarray(picture).resize((side, side), Pillow.Resampling.LANCZOS), (left, top))
    veil = Pillow.new("L", (side, side), 0)
    pen = ImageDraw.Draw(veil)
    for k in range(GRID + 1):
        at = min(side - 1, round(k * side / GRID))
        pen.line([(at, 0), (at, side)], fill=90)
        pen.line([(0, at), (side, at)], fill=90)
    page.paste(_LINE, (left, top), veil)
    size = _px(2.4)
    for k in range(GRID):
        middle = (k + 0.5) * side / GRID
        write(page, (left + middle, top - _px(1.6)), chr(ord("A") + k), size, _INK, "mm")
        write(page, (left - _px(2.2), top + middle), str(k + 1), size, _INK, "mm")
    line = top + side + _px(4.2)
    write(page, (left, line), f"{number:03d}", _px(3.6), _INK, "ls")
    pen = ImageDraw.Draw(page)
    for offset, words in ((14, "face"), (29, "no face")):
        box = _px(3)
        x = left + _px(offset)
        pen.rectangle([x, line - box, x + box, line], outline=_INK, width=2)
        pen.text((x + box + _px(1), line), words, fill=_INK, font=font(_px(3.2)), anchor="ls")
    write(page, (left + _px(49), line), "eyes ________  ________", _px(3.2), _INK, "ls")


def _px(mm: float) -> int:
    return round(mm * _DPI / 25.4)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
