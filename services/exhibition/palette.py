"""Colors, type and small drawing helpers that every sheet of an exhibition shares."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFilter, ImageFont

Image = NDArray[np.uint8]
Color = tuple[int, int, int]
Anchor = Literal["la", "ma", "ra", "lm", "mm", "rm", "ls", "ms", "rs"]

WALL: Color = (30, 31, 33)
PANEL: Color = (38, 39, 42)
HAIR: Color = (62, 64, 68)
FAINT: Color = (48, 50, 53)
QUIET: Color = (134, 136, 140)
TEXT: Color = (214, 212, 207)
YES: Color = (222, 184, 110)
NO: Color = (118, 121, 127)

MARGIN_PX = 72
_BAND_PX = 256
_LARGE_PX = 10_000_000


@lru_cache(maxsize=32)
def font(size_px: int) -> ImageFont.FreeTypeFont:
    """Pillow's own Aileron, so that a sheet looks alike on every machine."""
    loaded = ImageFont.load_default(size=size_px)
    if not isinstance(loaded, ImageFont.FreeTypeFont):
        raise RuntimeError("Pillow was built without FreeType; install Pillow from its wheels")
    return loaded


def sheet(width: int, height: int, color: Color = WALL) -> Pillow.Image:
    """An empty sheet."""
    return Pillow.new("RGB", (width, height), color)


def write(
    page: Pillow.Image,
    at: tuple[float, float],
    text: str,
    size: int,
    color: Color = TEXT,
    anchor: Anchor = "la",
) -> None:
    """Set one line of type. anchor as in Pillow: left, middle or right, then ascender, middle or baseline."""
    ImageDraw.Draw(page).text(at, text, fill=color, font=font(size), anchor=anchor)


def spaced(page: Pillow.Image, at: tuple[float, float], text: str, size: int, color: Color = QUIET) -> None:
    """Set one line in capitals with air between the letters, from the left on its baseline."""
    x, y = at
    for letter in text.upper():
        ImageDraw.Draw(page).text((x, y), letter, fill=color, font=font(size), anchor="ls")
        x += font(size).getlength(letter) + size * 0.14


def fitted(text: str, size: int, width: float) -> str:
    """The text, cut with an ellipsis where it is wider than ``width`` pixels."""
    if font(size).getlength(text) <= width:
        return text
    while text and font(size).getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign. The minus is a hyphen: Pillow's font has no other."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 and digits == 0 else text


def line(
    page: Pillow.Image, start: tuple[float, float], end: tuple[float, float], color: Color = HAIR
) -> None:
    """A hairline."""
    ImageDraw.Draw(page).line([start, end], fill=color, width=1)


def backdrop(width: int, height: int) -> Pillow.Image:
    """A studio wall: dark gray, a little lighter where the light falls; dithered, so that no bands show."""
    return _kept(width, height).copy() if width * height < _LARGE_PX else _built(width, height)


@lru_cache(maxsize=2)
def _kept(width: int, height: int) -> Pillow.Image:
    return _built(width, height)


def _built(width: int, height: int) -> Pillow.Image:
    page = Pillow.new("RGB", (width, height))
    for top in range(0, height, _BAND_PX):
        page.paste(Pillow.fromarray(_band(width, height, top), "RGB"), (0, top))
    return page


def _band(width: int, height: int, top: int) -> Image:
    """Some rows of the wall: a whole sheet in floating point would take a gigabyte."""
    x = np.arange(width, dtype=np.float32)[None]
    y = np.arange(top, min(top + _BAND_PX, height), dtype=np.float32)[:, None]
    distance = np.sqrt(((x / width - 0.46) / 0.75) ** 2 + ((y / height - 0.40) / 0.75) ** 2)
    falloff = np.clip(1.0 - distance, 0.0, 1.0) ** 1.5
    # Interleaved gradient noise (Jimenez 2014): ordered, so that the bytes do not depend on a generator.
    noise = np.mod(52.9829189 * np.mod(0.06711056 * x + 0.00583715 * y, 1.0), 1.0)
    gain = 0.95 + 0.30 * falloff
    return np.stack([(np.float32(c) * gain + noise).astype(np.uint8) for c in PANEL], axis=-1)


def mount(page: Pillow.Image, shot: Image, at: tuple[int, int], shadow: float = 0.55) -> None:
    """Put a cut-out picture uint8 (H, W, 4) on the page with the soft shadow that it throws on the wall."""
    cut = Pillow.fromarray(shot, "RGBA")
    size = shot.shape[0]
    if shadow > 0:
        alpha = cut.getchannel("A").filter(ImageFilter.GaussianBlur(size * 0.035))
        alpha = alpha.point([round(v * shadow) for v in range(256)])
        box = (at[0] + round(size * 0.028), at[1] + round(size * 0.030))
        page.paste((8, 8, 9), box, alpha)
    page.paste(cut, at, cut)


def pixels(page: Pillow.Image) -> Image:
    """The page as uint8 (H, W, 3)."""
    return np.array(page.convert("RGB"), np.uint8)


def png(image: Image) -> bytes:
    """PNG bytes of uint8 (H, W, 3) or (H, W, 4): no dates, no names, so one picture gives one file."""
    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()
