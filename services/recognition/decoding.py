"""From a picture file's bytes to 8-bit RGB, by one rule for all kinds of picture.

Of its EXIF the orientation is read and nothing else. Every depth is brought to 8 bits by its own range, and
what is transparent is not there: it shows a plain ground.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from services.recognition.exif import is_tiff, orientation, without_exif, xmp_orientation

# Under what is transparent: neither skin nor hair, so that no outline is stronger than it must be.
GROUND = (128, 128, 128)
_ROWS = 256  # brought to 8 bits at once, which bounds the memory that it takes
# Of colors in 16 bits Pillow gives the high bytes. Told that they lie in the other order, it gives the low
# ones.
_COLORS_16 = re.compile(r"(RGB|RGBX|RGBA);16([BLN])")
_OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
# TIFF's tags, and what they may say.
_BITS, _PHOTOMETRIC, _PLANES, _SAMPLE_FORMAT = 258, 262, 284, 339
_WHITE_IS_ZERO, _SEPARATE, _UNSIGNED = 0, 2, 1
# What decoders log is no message of ours; without a handler Python would print it.
logging.getLogger("PIL").addHandler(logging.NullHandler())


class TooLarge(Exception):
    """A picture of more pixels than are read; its text says how many."""


def decode(data: bytes, most: int) -> NDArray[np.uint8]:
    """RGB pixels uint8 (H, W, 3) of the first picture in a file's bytes.

    :raises TooLarge: for more than ``most`` pixels, before they are unpacked.
    :raises Exception: whatever a decoder raises where the bytes are no picture or damaged.
    """
    bare, exif = without_exif(data)
    with _silence() if is_tiff(data) else contextlib.nullcontext():
        try:
            opened = _open(bare)
        except Image.DecompressionBombError:
            raise TooLarge(f"more than {most / 1e6:g} million pixels; make it smaller") from None
        with opened:
            width, height = opened.size
            if width * height > most:
                raise TooLarge(
                    f"{width} x {height} pixels, at most {most / 1e6:g} million are read; make it smaller"
                )
            if not (width > 0 and height > 0):
                raise ValueError(f"{width} x {height} pixels")
            deep = _deep(opened, bare)
            shown = np.asarray(_on_ground(opened if deep is None else deep))
            return _turned(shown, _orientation(exif, opened.info))


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """libtiff prints what is wrong to the process's standard error, and Pillow has no word to stop it."""
    try:
        kept = os.dup(2)
    except OSError:  # there is none
        yield
        return
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _open(data: bytes) -> ImageFile.ImageFile:
    Image.init()
    # Postscript would be run, by another program.
    return Image.open(io.BytesIO(data), formats=[kind for kind in Image.ID if kind != "EPS"])


def _on_ground(picture: Image.Image) -> Image.Image:
    """In RGB; whatever is transparent shows the ground."""
    picture.load()
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    clear = picture.convert("RGBA")
    ground = Image.new("RGB", picture.size, GROUND)
    ground.paste(clear, mask=clear.getchannel("A"))
    return ground


def _deep(opened: ImageFile.ImageFile, bare: bytes) -> Image.Image | None:
    """A picture of more than 8 bits in 8, with its transparency; None for any other.

    :param bare: the file's bytes, to read it again.
    """
    tags: Any = getattr(opened, "tag_v2", {})
    args = opened.tile[0][3] if opened.tile else None
    raw = str(args[0] if isinstance(args, tuple) and args else args)  # how the file's bytes are arranged
    values: NDArray[Any]
    alpha: NDArray[np.uint8] | None = None
    if opened.mode in ("I", "F") or opened.mode.startswith("I;16"):
        values = np.asarray(opened)
        if tags and opened.mode == "I" and tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))[0] == _UNSIGNED:
            values = values.view(np.uint32)  # which Pillow gives as signed
    elif raw == "LA;16B":
        halves = _again(bare, "RGBA")
        values, alpha = _joined(halves[..., 0], halves[..., 1]), halves[..., 2]
    elif color := _COLORS_16.fullmatch(raw):
        high = np.asarray(opened)
        low = _again(bare, f"{color[1]};16{_OTHER_ORDER[color[2]]}")
        values = _joined(high[..., :3], low[..., :3])
        alpha = high[..., 3] if high.shape[2] == 4 else None
    elif tags.get(_PLANES) == _SEPARATE and max(tags.get(_BITS, (1,))) > 8:
        raise ValueError("16 bits in separate planes")  # of which Pillow makes noise
    else:
        return None
    if (key := opened.info.get("transparency")) is not None:
        same = values == np.asarray(key)
        alpha = np.where(same if same.ndim == 2 else same.all(axis=2), 0, 255).astype(np.uint8)
    eight = _stretched(values, None if alpha is None else alpha > 0)
    picture = Image.fromarray(255 - eight if tags and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else eight)
    if alpha is not None:
        picture.putalpha(Image.fromarray(np.ascontiguousarray(alpha)))
    return picture


def _again(bare: bytes, raw: str) -> NDArray[np.uint8]:
    """A picture's pixels, its bytes taken for another arrangement of as many."""
    with _open(bare) as opened:
        opened.tile = [
            tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw)
            for tile in opened.tile
        ]
        return np.asarray(opened)


def _joined(high: NDArray[np.uint8], low: NDArray[np.uint8]) -> NDArray[np.uint16]:
    joined = high.astype(np.uint16)
    joined <<= np.uint16(8)
    joined |= low
    return joined


def _stretched(values: NDArray[Any], seen: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
    """From the lowest value to the highest as 0 to 255; what is no number is the lowest.

    :param values: (H, W) or (H, W, 3). seen: (H, W), the pixels that count; all, if None.
    """
    counted = values if seen is None else values[seen]
    if values.dtype.kind == "f":
        counted = counted[np.isfinite(counted)]
    low, high = (float(counted.min()), float(counted.max())) if counted.size else (0.0, 0.0)
    scale = 255.0 / (high - low) if high > low else 0.0
    eight = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), _ROWS):
        rows = np.nan_to_num(values[top : top + _ROWS].astype(np.float64), nan=low, posinf=high, neginf=low)
        eight[top : top + _ROWS] = np.rint(np.clip((rows - low) * scale, 0.0, 255.0))
    return eight


def _orientation(exif: bytes, info: Mapping[Any, Any]) -> int:
    """From an EXIF block that was taken out, else from what a decoder hands over unread."""
    if not exif and isinstance(info.get("exif"), bytes):
        exif = info["exif"]
    if not exif and isinstance(text := info.get("Raw profile type exif"), str):  # ImageMagick's, in PNG files
        with contextlib.suppress(ValueError):
            exif = bytes.fromhex("".join(text.split("\n")[3:]))
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp") or b""
    return orientation(exif) or xmp_orientation(xmp if isinstance(xmp, bytes) else str(xmp).encode())


def _turned(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """uint8 (H, W, 3) as it is to be seen, of EXIF's eight ways to lie."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
