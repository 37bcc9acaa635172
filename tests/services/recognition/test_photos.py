"""Photographs of any kind are read by one rule. Those that cannot be are named; bombs are not unpacked."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import skimage
import tifffile
from PIL import Image, ImageOps

from services.errors import BadInput
from services.recognition.decoding import GROUND
from services.recognition.photos import photo_folder, read_photo
from tests.support.pictures import chunk, face, pictures, png, saved

KEPT = Path(__file__).parents[2] / "data" / "pictures"
SHIPPED = sorted((Path(skimage.__file__).parent / "data").glob("*.[jp][pn]g"))


def bomb(path, width, height):
    """A PNG of a few hundred bytes that says it holds width x height pixels."""
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


def as_pillow_reads(data):
    """What read_photo gave before it had a rule of its own."""
    with Image.open(io.BytesIO(data)) as opened:
        return np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))


def read(folder, data, name="photo.jpg"):
    (folder / name).write_bytes(data)
    return read_photo(folder / name)


def ordinary(name):
    """Of 8 bits, without transparency, and a kind that is read."""
    with Image.open(io.BytesIO(pictures()[name])) as opened:
        deep = opened.mode in ("I", "F") or "16" in opened.mode + name
        return not (deep or opened.has_transparency_data or name.startswith("EPS") or "EXIF" in name)


@pytest.mark.parametrize("name", [name for name in sorted(pictures()) if ordinary(name)])
def test_ordinary_pictures_are_read_as_pillow_reads_them(tmp_path, name):
    np.testing.assert_array_equal(read(tmp_path, pictures()[name]), as_pillow_reads(pictures()[name]))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_photographs_are_read_as_pillow_reads_them(path):
    with Image.open(path) as opened:
        if opened.has_transparency_data or opened.mode.startswith("I"):
            pytest.skip("of another depth, or transparent")
    np.testing.assert_array_equal(read_photo(path), as_pillow_reads(path.read_bytes()))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
@pytest.mark.parametrize("turned", range(1, 9))
def test_all_ways_to_lie_are_turned_as_pillow_turns_them(tmp_path, kind, turned):
    told = Image.Exif()
    told[274] = turned
    data = saved(face()[:30], kind, exif=told)
    np.testing.assert_array_equal(read(tmp_path, data), as_pillow_reads(data))


def test_what_photo_editors_say_in_xmp_alone_is_heard(tmp_path):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'
    data = saved(face()[:30], "JPEG", xmp=xmp)
    assert read(tmp_path, data).shape == (40, 30, 3)
    np.testing.assert_array_equal(read(tmp_path, data), as_pillow_reads(data))


def test_a_wrong_type_elsewhere_in_exif_does_not_matter(astronaut):
    found = read_photo(KEPT / "exif-xres-as-ascii.jpg")
    assert np.abs(found.astype(int) - astronaut).mean() < 5


def gray(dtype, scale, offset=0):
    return (face()[..., 0].astype(np.float64) * scale + offset).astype(dtype)


@pytest.mark.parametrize(
    ("values", "options"),
    [
        (gray("u2", 257), {}),
        (gray("u2", 16), {}),  # twelve bits in sixteen
        (gray(">u2", 1, 7), {"byteorder": ">"}),
        (gray("i2", 257, -32768), {}),
        (gray("u4", 2**24), {}),
        (gray("i4", 2**23, -(2**30)), {"compression": "zlib"}),
        (gray("f4", 1 / 255), {"compression": "zlib"}),
        (gray("f4", 1e-30, -1e-28), {}),
        (gray("f4", 1e36), {}),
        (255 - gray("u2", 1), {"photometric": "miniswhite"}),
        (gray("u2", 257), {"bigtiff": True}),
        (gray("u2", 257), {"tile": (16, 16)}),
    ],
)
def test_gray_of_any_depth_is_brought_to_8_bits(tmp_path, values, options):
    tifffile.imwrite(tmp_path / "deep.tif", values, **options)
    shown = face()[..., 0].astype(float)
    expected = (shown - shown.min()) * 255 / (shown.max() - shown.min())
    found = read_photo(tmp_path / "deep.tif")
    assert np.abs(found - expected[..., None]).max() <= 0.51


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"byteorder": ">"}, {"tile": (16, 16)}])
def test_colors_in_16_bits_are_brought_to_8_by_their_own_range(tmp_path, options):
    expected = (face() - face().min()) * (255 / np.ptp(face()))
    for values in (face().astype("u2") * 5 + 300, face().astype("u2") * 250):
        tifffile.imwrite(tmp_path / "deep.tif", values, photometric="rgb", **options)
        for found in (read_photo(tmp_path / "deep.tif"), read(tmp_path, png(values))):
            assert np.abs(found - expected).max() <= 0.51


def test_what_is_no_number_is_black(tmp_path):
    values = gray("f4", 1 / 255)
    values[0, :3] = np.nan, np.inf, -np.inf
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert read_photo(tmp_path / "a.tif")[0, :3, 0].tolist() == [0, 255, 0]
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(tmp_path / "b.tif")
    assert not read_photo(tmp_path / "b.tif").any()


def test_16_bits_in_separate_planes_are_refused_where_they_would_be_noise(tmp_path):
    planes = face().astype("u2").transpose(2, 0, 1).copy() * 257
    tifffile.imwrite(tmp_path / "planes.tif", planes, photometric="rgb", planarconfig="separate")
    with pytest.raises(BadInput, match=r"planes\.tif: .*16 bits in separate planes.*JPEG or PNG"):
        read_photo(tmp_path / "planes.tif")


def half_erased():
    """The face's right half as palette, as gray, and in 16 bits with a key for what is transparent."""
    left = face().copy()
    left[:, 20:] = (255, 0, 255)
    indexed = Image.fromarray(left).quantize(64)
    magenta = indexed.getpixel((39, 0))
    alpha = np.where(np.arange(40) < 20, 255, 0).astype(np.uint8)[None].repeat(40, axis=0)
    deep = left.astype(np.uint16) * 100
    yield saved(indexed, "PNG", transparency=magenta)
    yield saved(indexed, "GIF", transparency=magenta)
    yield saved(np.dstack([left[..., 0], alpha]), "PNG")
    yield saved(np.dstack([left, alpha]), "WEBP")
    yield saved(np.dstack([left, alpha]), "AVIF")
    yield saved(np.dstack([left, alpha]), "TIFF")
    yield png(deep, (b"tRNS", struct.pack(">3H", 25500, 0, 25500)))
    yield png(np.dstack([deep[..., 0], alpha.astype(np.uint16) * 257]))
    yield png(np.where(alpha > 0, deep[..., 0], 65535).astype(np.uint16), (b"tRNS", b"\xff\xff"))


@pytest.mark.parametrize("data", list(half_erased()), ids=lambda data: repr(data[:4]))
def test_what_is_transparent_shows_the_ground(tmp_path, data):
    found = read(tmp_path, data)
    assert (found[:, 20:] == GROUND).all()
    assert found[:, :19].std() > 20
    assert found[:, :19].max() > 180


def test_kinds_that_are_not_read_say_so(tmp_path):
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
    dds = pictures()["DDS RGB"]
    for name, data, says in (
        ("a.heic", heic, "HEIC"),
        ("named-otherwise.jpg", heic, "HEIC"),
        ("a.HEIF", b"", "HEIF is not read"),
        ("a.nef", saved(face(), "TIFF"), "raw"),
        ("a.svg", b"<svg/>", "svg is not read"),
        ("a.eps", pictures()["EPS RGB"], "eps is not read"),
        ("a.jpg", b"", "of a kind that is not read"),
        ("a.dds", dds[:80] + b"\4\0\0\0WHAT" + dds[88:], "Unimplemented pixel format"),
    ):
        with pytest.raises(BadInput, match=rf"{name}: .*{says}.*; save it as a JPEG or PNG file$"):
            read(tmp_path, data, name)
    assert read(tmp_path, saved(face(), "JPEG"), "in-truth-a-jpeg.heic").shape == (40, 40, 3)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("a\nb"), NotImplementedError(), OverflowError("\0")]
)
def test_whatever_a_decoder_raises_is_one_line(tmp_path, monkeypatch, error):
    def fails(*_, **__):
        raise error

    data = saved(face(), "JPEG")
    monkeypatch.setattr(Image, "open", fails)
    with pytest.raises(BadInput, match=r"photo\.jpg: ") as caught:
        read(tmp_path, data)
    assert str(caught.value).isprintable()


def test_what_is_no_file_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "link.jpg").symlink_to(tmp_path / "gone.jpg")
    for name, says in (
        ("pipe", "no file"),
        ("folder", "no file"),
        ("link", "no such file"),
        ("x" * 300, "long"),
    ):
        with pytest.raises(BadInput, match=f"{says}"):
            read_photo(tmp_path / f"{name}.jpg")
    with open(tmp_path / "large.tif", "wb") as sparse:
        sparse.truncate(1_100_000_000)
    with pytest.raises(BadInput, match="1,100 MB"):
        read_photo(tmp_path / "large.tif")


def test_a_folder_names_the_pictures_that_are_not_read(tmp_path):
    for name in ("a.heic", "b.JPG", "c.cr2", "d.avif", "e.mov", "f.txt", "g"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "h.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "i.png").mkdir()
    found = [photo.path.name for photo in photo_folder(tmp_path)]
    assert found == ["a.heic", "b.JPG", "c.cr2", "d.avif", "h.jpg"]
    for photo in photo_folder(tmp_path):
        with pytest.raises(BadInput, match=photo.path.name):
            read_photo(photo.path)
