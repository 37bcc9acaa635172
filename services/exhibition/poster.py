"""One poster, A3: a mask before the wall, its title and artist, and in a line how it came about."""

from __future__ import annotations

from services.errors import BadInput
from services.exhibition import palette
from services.exhibition.credits import Credits
from services.exhibition.palette import Image
from services.exhibition.typesetting import (
    A3_MM,
    BOLD,
    ITALIC,
    MM,
    ROMAN,
    Page,
    Picture,
    Piece,
    Run,
    broken,
    set_lines,
    width_mm,
)

HANGS = 0.16  # where the mask hangs, from the top: below it stands the title
_LEFT, _FOOT, _LEADING = 22.0, 22.0, 1.35
_TITLE_PT = (66.0, 56.0, 48.0, 40.0, 34.0)
_LIGHT = (236, 233, 227)


def poster(picture: Image, title: str, year: str, credits: Credits, bred: str) -> Page:
    """The poster as a page, to be drawn as PNG and as PDF.

    :param picture: uint8 (H, W, 3), of the whole sheet. bred: how it came about, one line.
    :raises BadInput: where the title does not fit.
    """
    width, height = A3_MM
    page = Page(A3_MM, palette.WALL, [Picture(picture, (0.0, 0.0, width, height))])
    room = width - 2 * _LEFT
    foot = height - _FOOT
    page.items.append(Run(year, ROMAN, 20, width - _LEFT - width_mm(year, ROMAN, 20), foot, _LIGHT))
    above, beside = foot, room - 40.0
    for text, size in ((bred, 15.0), (credits.venue, 20.0)):
        if text:
            above -= (len(broken([Piece(text)], size, beside)) - 1) * _LEADING * size / MM
            set_lines(page, [Piece(text)], size, (_LEFT, above), beside, leading=_LEADING, color=_LIGHT)
            above -= 1.55 * size / MM
    pieces = [Piece(title, ITALIC)]
    widest = max(width_mm(word, ITALIC, 1.0) for word in title.split())
    for size in _TITLE_PT:
        if widest * size <= room and len(broken(pieces, size, room)) <= 2:
            break
    else:
        raise BadInput(f"poster: the title {title!r} does not fit two lines; shorten it")
    step = size * 1.1 / MM
    top = above - 5.0 - step * (len(broken(pieces, size, room)) - 1)
    set_lines(page, pieces, size, (_LEFT, top), room, leading=1.1, color=_LIGHT)
    if credits.artist:
        artist = [Piece(credits.artist, BOLD)]
        top -= 0.95 * step + (len(broken(artist, 30, room)) - 1) * 30 * 1.1 / MM
        set_lines(page, artist, 30, (_LEFT, top), room, leading=1.1, color=_LIGHT)
    return page
