"""How a picture is turned, and its bytes without everything else that is told about it.

Decoders read all of a picture's EXIF while they open or turn it, and give up where a value that nobody asked
for has the wrong type or lies nowhere. So the orientation (tag 274) is read here, and nothing else of it
reaches a decoder. Nothing here raises: bytes that are not as they should be are no EXIF.
"""

from __future__ import annotations

import re
from typing import Literal

ORIENTATION = 274
# TIFF 6.0's tags that pixels hang on. All others are left out.
PIXEL_TAGS = frozenset(
    (
        *(256, 257, 258, 262, 266, 277, 284, 338, 339),  # sizes, samples, color
        *(273, 278, 279, 322, 323, 324, 325),  # strips and tiles
        *(259, 292, 293, 317, 347, *range(512, 522)),  # compression
        *(320, 332, 529, 530, 531, 532),  # palette, inks, YCbCr
    )
)
_TIFF_HEADS = (b"II*\0", b"MM\0*", b"II\0*", b"MM*\0", b"II+\0", b"MM\0+")  # the last two are BigTIFF's
_BYTES_OF_TYPE = {1: 1, 3: 2, 4: 4}  # BYTE, SHORT, LONG
# An AVIF's entry (ISO/IEC 23008-12) for the item that holds its EXIF: version, flags, id, protection, type.
_AVIF_EXIF = re.compile(rb"(infe(?:\x02.{7}|\x03.{9}))Exif", re.DOTALL)


def without_exif(data: bytes) -> tuple[bytes, bytes]:
    """A picture file's bytes as a decoder may see them, and the EXIF block that was taken out, or nothing.

    Only of JPEG, TIFF and AVIF, where Pillow looks into it by itself; elsewhere it hands the block over.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if is_tiff(data):
        return _tiff(data), data
    if data[4:8] == b"ftyp":
        return _AVIF_EXIF.sub(rb"\g<1>None", data), b""
    return data, b""


def is_tiff(data: bytes) -> bool:
    """Whether a file begins as TIFF files do."""
    return data[:4] in _TIFF_HEADS


def orientation(exif: bytes) -> int:
    """The orientation that an EXIF block (or a TIFF file) says: 1 (upright) to 8; 0 where it says nothing.

    :param exif: with or without the ``Exif`` mark before the TIFF header.
    """
    block = re.sub(rb"^(?:Exif\0\0){1,2}", b"", exif)
    order, _, entries = _directory(block)
    for entry in entries:
        if int.from_bytes(entry[:2], order) != ORIENTATION:
            continue
        size = _BYTES_OF_TYPE.get(int.from_bytes(entry[2:4], order))
        values = 8 if len(entry) == 12 else 12
        if size is not None and int.from_bytes(entry[4:values], order) == 1:
            turned = int.from_bytes(entry[values : values + size], order)
            return turned if 1 <= turned <= 8 else 1
    return 0


def xmp_orientation(xmp: bytes) -> int:
    """The orientation 1 to 8 that XMP says instead, 0 where it says nothing."""
    found = re.search(rb'tiff:Orientation(?:="|>)([1-8])', xmp)
    return int(found[1]) if found else 0


def _directory(data: bytes) -> tuple[Literal["little", "big"], int, list[bytes]]:
    """Of a TIFF structure: byte order, where its first directory lies, and the entries in that."""
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    big = b"+" in data[2:4]
    at = int.from_bytes(data[8:16] if big else data[4:8], order)
    first = at + (8 if big else 2)
    size = 20 if big else 12
    # A damaged count may be any number; no more entries are there than bytes.
    count = min(int.from_bytes(data[at:first], order), max(0, len(data) - first) // size)
    return order, at, [data[k : k + size] for k in range(first, first + count * size, size)]


def _tiff(data: bytes) -> bytes:
    """Only the first directory, and in it only what the pixels hang on."""
    order, at, entries = _directory(data)
    kept = [entry for entry in entries if int.from_bytes(entry[:2], order) in PIXEL_TAGS]
    big = b"+" in data[2:4]
    no_other = bytes(8 if big else 4)
    directory = len(kept).to_bytes(8 if big else 2, order) + b"".join(kept) + no_other
    return data[:at] + directory + data[at + len(directory) :]


def _jpeg(data: bytes) -> tuple[bytes, bytes]:
    """Without the application segments that say nothing of pixels or their color, and without comments."""
    exif = b""
    kept, start, at = [], 0, 2
    while 0 <= (at := data.find(b"\xff", at)) < len(data) - 4:
        marker, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in (0xDA, 0xD9):  # the pixels begin, or the picture ends
            break
        if marker == 0xFF:  # padding
            at += 1
        elif marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:  # no length follows
            at += 2
        else:
            if marker == 0xFE or (0xE1 <= marker <= 0xEF and marker != 0xEE):
                segment = data[at + 4 : end]
                if segment.startswith(b"Exif\0\0"):
                    exif = exif or segment
                if not segment.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
                    kept.append(data[start:at])
                    start = end
            at = end
    return b"".join([*kept, data[start:]]), exif
