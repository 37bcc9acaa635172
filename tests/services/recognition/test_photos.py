"""Photographs that cannot be read are named, and bombs are not unpacked."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from services.errors import BadInput
from services.recognition.photos import photo_folder, read_photo


def bomb(path, width, height):
    """A PNG of a few hundred bytes that says it holds width x height pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("width", "height"), [(12_000, 12_000), (60_000, 60_000)])
def test_a_bomb_is_refused_by_its_size_alone(tmp_path, width, height):
    bomb(tmp_path / "bomb.png", width, height)
    with pytest.raises(BadInput, match=r"bomb\.png: .*million"):
        read_photo(tmp_path / "bomb.png")


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\nrest", b"\xff\xd8\xff\xe0"])
def test_damaged_files_are_named(tmp_path, content):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"photo\.jpg"):
        read_photo(path)
    with pytest.raises(BadInput, match="no such file"):
        read_photo(tmp_path / "other.jpg")


def test_a_cut_off_picture_is_named(tmp_path):
    path = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(BadInput, match=r"cut\.png"):
        read_photo(path)


def test_a_folder_holds_people_in_subfolders_or_one_photo_each(tmp_path):
    picture = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
    for name in ("ann/1.png", "ann/2.jpg", "bob/x/3.png", "alone.png", ".hidden/4.png", "ann/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        picture.save(tmp_path / name, "PNG")
    found = [(photo.person, photo.path.name) for photo in photo_folder(tmp_path)]
    assert found == [("alone.png", "alone.png"), ("ann", "1.png"), ("ann", "2.jpg"), ("bob", "3.png")]
    with pytest.raises(BadInput, match="no such folder"):
        photo_folder(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="no photos"):
        photo_folder(tmp_path / "empty")
