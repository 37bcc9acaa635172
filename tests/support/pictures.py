"""Small pictures of every kind that Pillow writes, PNG files of any depth, and blocks of EXIF."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Entry = tuple[
    int, int, int, bytes
]  # of a TIFF directory: tag, type, count, four bytes of a value or its place

_LEFT_OUT = {"ICNS", "IM"}  # a megabyte for forty pixels; no longer wanted by Pillow itself
_MODES = ("RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "YCbCr", "I;16", "I", "F")
_OTHERS: Mapping[str, dict[str, Any]] = {
    "JPEG progressive": {"format": "JPEG", "progressive": True},
    "JPEG 4:4:4": {"format": "JPEG", "subsampling": 0, "quality": 95},
    "WEBP lossless": {"format": "WEBP", "lossless": True},
    "TIFF LZW": {"format": "TIFF", "compression": "tiff_lzw"},
    "TIFF deflate": {"format": "TIFF", "compression": "tiff_adobe_deflate"},
    "TIFF JPEG": {"format": "TIFF", "compression": "jpeg"},
    "TIFF PackBits": {"format": "TIFF", "compression": "packbits"},
    "BigTIFF": {"format": "TIFF", "big_tiff": True},
}
_MOVING = ("GIF", "PNG", "WEBP", "AVIF", "TIFF", "MPO")


@functools.cache
def face(side: int = 40) -> Pixels:
    """Of NASA's portrait of Eileen Collins (public domain) the face, uint8 (side, side, 3)."""
    crop = Image.fromarray(skimage.data.astronaut()[40:200, 140:300])
    return np.asarray(crop.resize((side, side), Image.Resampling.LANCZOS))


def saved(pixels: Pixels | Image.Image, format: str, **options: Any) -> bytes:
    """A picture as a file's bytes."""
    file = io.BytesIO()
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    picture.save(file, format, **options)
    return file.getvalue()


@functools.cache
def pictures() -> dict[str, bytes]:
    """The face as every kind of file that Pillow writes, in every mode that the kind has."""
    small = Image.fromarray(face())
    gray = small.convert("L")
    found = {}
    Image.init()
    for kind in sorted(set(Image.SAVE) & set(Image.OPEN) - _LEFT_OUT):
        for mode in _MODES:
            try:
                shown = gray if mode in ("I;16", "I", "F") else small
                found[f"{kind} {mode}"] = saved(shown.convert(mode), kind)
            except (OSError, ValueError, KeyError):
                continue
    for name, options in _OTHERS.items():
        found[name] = saved(small, **options)
    for kind in _MOVING:
        found[f"{kind}, two pictures"] = saved(
            small, kind, save_all=True, append_images=[gray.convert("RGB")]
        )
    found["JPEG with EXIF"] = saved(
        small, "JPEG", exif=exif([(274, 3, 1, b"\6\0\0\0"), (282, 2, 4, b"abc\0")])
    )
    found["PNG, palette with transparency"] = saved(small.quantize(8), "PNG", transparency=bytes([0, 128]))
    wide, alpha = face().astype(np.uint16) * 200, np.full(face().shape[:2], 60_000, np.uint16)
    found["PNG 16 RGB"] = png(wide)
    found["PNG 16 RGBA"] = png(np.dstack([wide, alpha]))
    found["PNG 16 LA"] = png(np.dstack([wide[..., 0], alpha]))
    return found


def png(pixels: NDArray[Any], *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file of uint8 or uint16 (H, W) or (H, W, 2 to 4), with more chunks before its pixels."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    height, width = pixels.shape[:2]
    bits, color = pixels.dtype.itemsize * 8, {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = pixels.astype(pixels.dtype.newbyteorder(">")).reshape(height, -1)
    body = b"".join(b"\0" + row.tobytes() for row in rows)
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)),
        *chunks,
        (b"IDAT", zlib.compress(body)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def chunk(kind: bytes, data: bytes) -> bytes:
    """One of a PNG file's."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def exif(entries: Sequence[Entry], order: str = "<", tail: bytes = b"") -> bytes:
    """A block of EXIF with one directory, and whatever follows it."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return b"Exif\0\0" + head + directory(entries, order) + tail


def directory(entries: Sequence[Entry], order: str) -> bytes:
    """A TIFF directory, and none after it."""
    packed = b"".join(struct.pack(order + "HHI", *entry[:3]) + entry[3] for entry in entries)
    return struct.pack(order + "H", len(entries)) + packed + bytes(4)


def with_entries(tiff: bytes, entries: Sequence[Entry]) -> bytes:
    """A little-endian TIFF file whose directory has these entries before its own."""
    (at,) = struct.unpack("<I", tiff[4:8])
    (count,) = struct.unpack("<H", tiff[at : at + 2])
    own = [
        (*struct.unpack("<HHI", tiff[k : k + 8]), tiff[k + 8 : k + 12])
        for k in range(at + 2, at + 2 + 12 * count, 12)
    ]
    return tiff[:4] + struct.pack("<I", len(tiff)) + tiff[8:] + directory([*entries, *own], "<")
