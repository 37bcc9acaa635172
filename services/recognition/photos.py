"""Pictures that come from outside, read with care: every one of them, and only here.

Whatever cannot be read, corrupted, oversized or strange, is named, with a way out. decoding.py says how the
others become pixels.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import UnidentifiedImageError

from services.errors import BadInput, reason_of
from services.recognition.decoding import TooLarge, decode

# What a folder's files end in that are taken for pictures ...
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif", ".avif"),
    *(".jp2", ".j2k", ".jpf", ".jpx", ".pgm", ".ppm", ".pbm", ".pnm", ".tga", ".psd"),
)
# ... and what is a picture, too, but is not read: it is named, not passed over. Of a camera's raw file
# decoders would see the small preview.
HEIC = (".heic", ".heif", ".hif")
RAW = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mrw", ".nef", ".nrw"),
    *(".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
)
UNREAD = (*HEIC, *RAW, ".jxl", ".jxr", ".svg", ".eps", ".exr", ".hdr", ".psb", ".xcf", ".dcm")
# A file of some kilobytes can unfold to gigabytes of pixels. 100 megapixels are more than any camera's face
# needs, and 300 MB of memory; with 16 bits and transparency they are 800 MB in a file.
MOST_PIXELS = 100_000_000
MOST_BYTES = 1_000_000_000
WAY_OUT = "save it as a JPEG or PNG file"
SIDE_PX = (
    800  # what detectors look at is shrunk to this longer side: faces of a twentieth of it are still found
)

_MOST_TEXT = 120  # characters of what a decoder says


@dataclass(frozen=True)
class Photo:
    """One file of a folder. person: its subfolder's name; in a flat folder each photo is its own person."""

    path: Path
    person: str


def read_photo(path: Path, most_pixels: int = MOST_PIXELS) -> NDArray[np.uint8]:
    """RGB pixels uint8 (H, W, 3), turned as the EXIF data say.

    What has more than 8 bits (or none, as floats) is stretched from its lowest to its highest value. What is
    transparent shows gray. Of several pictures in a file it is the first.

    :raises BadInput: with the path, if the file is missing, no picture, damaged or too large. The size is
        looked at before anything is unpacked.
    """
    data = photo_bytes(path)
    if path.suffix.lower() in RAW:
        raise BadInput(f"{path}: a camera's raw file is not read; {WAY_OUT}")
    try:
        with warnings.catch_warnings():
            # What is wrong we say ourselves, as an error; the rest is nobody's concern.
            warnings.simplefilter("ignore")
            return decode(data, most_pixels)
    except TooLarge as error:
        raise BadInput(f"{path}: {error}") from None
    except Exception as error:  # struct.error, RuntimeError, NotImplementedError, MemoryError: whatever
        raise BadInput(f"{path}: {_unread(path, data, error)}; {WAY_OUT}") from None


def photo_bytes(path: Path) -> bytes:
    """A photo's file as it is. :raises BadInput: with the path, if it is missing, too large or unreadable."""
    try:
        if not path.is_file():  # a pipe would be waited for, for ever
            what = "no file" if path.exists() else "no such file"
            raise BadInput(f"{path}: {what}; give the path of a photo")
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise BadInput(
                f"{path}: {size / 1e6:,.0f} MB, at most {MOST_BYTES / 1e6:,.0f} are read; {WAY_OUT}"
            )
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        raise BadInput(
            f"{path}: the photo cannot be read ({reason_of(error)}); give a JPEG or PNG file"
        ) from None


def photo_folder(folder: Path) -> list[Photo]:
    """The photos of a folder, sorted: one subfolder for each person, or flat, with one photo of each person.

    Pictures of kinds that are not read are among them, so that whoever reads them says so.

    :raises BadInput: if there is no such folder, or no photo in it.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; give a folder of photos, one subfolder for each person")
    found = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in inside)
        if path.suffix.lower() in (*SUFFIXES, *UNREAD) and not hidden and not path.is_dir():
            found.append(Photo(path, inside[0] if len(inside) > 1 else path.name))
    if not found:
        raise BadInput(f"{folder}: no photos in it; expected files ending in {', '.join(SUFFIXES)}")
    return found


def _unread(path: Path, data: bytes, error: Exception) -> str:
    """Why a picture cannot be read, in one line without a file's or an object's address."""
    if data[4:8] == b"ftyp" and data[8:12] not in (b"avif", b"avis"):
        return "HEIC, or a kind like it, is not read"
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
    if isinstance(error, UnidentifiedImageError):
        known = path.suffix.lower() in UNREAD
        why = f"{path.suffix} is not read" if known else "damaged, or of a kind that is not read"
    else:
        words = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())
        why = words[:_MOST_TEXT] or type(error).__name__
    return f"cannot be read as a picture ({why})"
