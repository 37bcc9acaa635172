"""Photographs from files and folders, read with care: corrupted, oversized or strange ones are named."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from services.errors import BadInput

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
# A file of some kilobytes can unfold to gigabytes of pixels. 100 megapixels are more than any camera's face
# needs, and 300 MB of memory.
MOST_PIXELS = 100_000_000


@dataclass(frozen=True)
class Photo:
    """One file of a folder. person: its subfolder's name; in a flat folder each photo is its own person."""

    path: Path
    person: str


def read_photo(path: Path, most_pixels: int = MOST_PIXELS) -> NDArray[np.uint8]:
    """RGB pixels uint8 (H, W, 3), turned as the EXIF data say.

    :raises BadInput: with the path, if the file is missing, no picture, damaged or too large. The size is
        looked at before anything is unpacked.
    """
    try:
        with warnings.catch_warnings():
            # We say it ourselves, and as an error.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                width, height = opened.size
                if width * height > most_pixels:
                    raise BadInput(
                        f"{path}: {width} x {height} pixels, at most {most_pixels / 1e6:g} million are read; "
                        "make it smaller"
                    )
                return np.ascontiguousarray(np.asarray(ImageOps.exif_transpose(opened).convert("RGB")))
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file; give the path of a photo") from None
    except Image.DecompressionBombError:
        raise BadInput(f"{path}: more than {most_pixels / 1e6:g} million pixels; make it smaller") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError) as error:
        raise BadInput(f"{path}: cannot be read as a picture ({error}); use a JPEG or PNG file") from None


def photo_folder(folder: Path) -> list[Photo]:
    """The photos of a folder, sorted: one subfolder for each person, or flat, with one photo of each person.

    :raises BadInput: if there is no such folder, or no photo in it.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; give a folder of photos, one subfolder for each person")
    found = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in inside)
        if path.is_file() and path.suffix.lower() in SUFFIXES and not hidden:
            found.append(Photo(path, inside[0] if len(inside) > 1 else path.name))
    if not found:
        raise BadInput(f"{folder}: no photos in it; expected files ending in {', '.join(SUFFIXES)}")
    return found
