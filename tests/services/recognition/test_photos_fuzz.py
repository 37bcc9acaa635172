"""Properties of read_photo over pictures damaged at random: pixels or one line, whatever the bytes."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageOps

from services.errors import BadInput
from services.recognition.decoding import GROUND
from services.recognition.exif import PIXEL_TAGS
from services.recognition.photos import WAY_OUT, read_photo
from tests.support.pictures import chunk, exif, face, pictures, png, saved, with_entries

pytestmark = pytest.mark.fuzz
KEPT = sorted((Path(__file__).parents[2] / "data" / "pictures").iterdir())
MOST_PIXELS = 200_000  # so that no damaged header takes long

# capfd and a folder serve all examples of a test.
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
anywhere = st.one_of(st.integers(0, 200), st.integers(0, 10_000))
entry = st.tuples(
    st.one_of(st.integers(0, 65535), st.sampled_from([254, 270, 282, 283, 296, 305, 306, 700, 34665, 34853])),
    st.one_of(st.integers(0, 13), st.integers(0, 65535)),
    st.one_of(st.integers(0, 40), st.integers(0, 2**32 - 1)),
    st.binary(min_size=4, max_size=4),
)


@pytest.fixture
def check(tmp_path, capfd):
    """The pixels of a file of these bytes or, where there are none, the one line that says so."""

    def read(data: bytes, name: str = "photo.jpg"):
        path = tmp_path / name
        path.write_bytes(data)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                found = read_photo(path, MOST_PIXELS)
            except BadInput as error:
                found = str(error)
                why = found.removeprefix(f"{path}: ")
                assert why != found
                assert why.isprintable(), why
                assert len(why) < 220, why
                assert WAY_OUT in why or "make it smaller" in why
                assert not any(word in why for word in ("0x", "site-packages", "PIL", str(tmp_path))), why
            else:
                assert found.dtype == np.uint8
                assert found.ndim == 3
                assert found.shape[2] == 3
                assert found.size > 0
                assert found.flags.c_contiguous
        assert not warned, warned[0]
        assert capfd.readouterr() == ("", "")
        return found

    return read


def damaged(data: bytes, edits) -> bytes:
    """Bytes overwritten, cut out, put in, repeated, or the rest cut off."""
    for how, where, more in edits:
        at = where % (len(data) + 1)
        if how == "overwrite":
            data = data[:at] + more + data[at + len(more) :]
        elif how == "cut out":
            data = data[:at] + data[at + len(more) * 3 :]
        elif how == "put in":
            data = data[:at] + more + data[at:]
        elif how == "repeat":
            data = data[: at + len(more) * 5] + data[at:]
        else:
            data = data[:at]
    return data


edits = st.lists(
    st.tuples(
        st.sampled_from(["overwrite"] * 5 + ["cut out", "put in", "repeat", "cut off"]),
        anywhere,
        st.one_of(
            st.binary(min_size=1, max_size=8),
            st.sampled_from([b"\xff", b"\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\x80"]),
        ),
    ),
    min_size=1,
    max_size=5,
)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_what_once_failed_gives_pixels_or_one_line(check, path):
    check(path.read_bytes(), path.name)


@shared
@given(st.sampled_from(sorted(pictures())), edits)
def test_a_damaged_picture_gives_pixels_or_one_line(check, name, edits):
    check(damaged(pictures()[name], edits))


@shared
@given(st.sampled_from([path.name for path in KEPT]), edits)
def test_what_once_failed_is_damaged_further(check, name, edits):
    check(damaged(next(path for path in KEPT if path.name == name).read_bytes(), edits))


@shared
@given(st.sampled_from([b"", *sorted({p[:12] for p in pictures().values()})]), st.binary(max_size=300))
def test_any_bytes_give_pixels_or_one_line(check, head, data):
    check(head + data)


UPRIGHT = {
    "photo.jpg": saved(face(), "JPEG", quality=95),
    "photo.png": saved(face(), "PNG"),
    "photo.webp": saved(face(), "WEBP", lossless=True),
    "photo.tif": saved(face(), "TIFF"),
    # AVIF has marks of its own for how it is turned. In its EXIF there is room for anything.
    "photo.avif": saved(face(), "AVIF", exif=exif([(270, 2, 400, b"\x1a\0\0\0")], tail=b"~" * 400)),
}
PLAIN = {name: np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for name, data in UPRIGHT.items()}


def with_exif(name: str, entries, order: str, tail: bytes) -> bytes:
    """One of these pictures with a directory of EXIF, or in a TIFF file's own directory."""
    data, block = UPRIGHT[name], exif(entries, order, tail)
    if name == "photo.jpg":
        return data[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + data[2:]
    if name == "photo.png":
        return data[:33] + chunk(b"eXIf", block[6:]) + data[33:]
    if name == "photo.webp":
        return saved(face(), "WEBP", lossless=True, exif=block)
    if name == "photo.tif":
        return with_entries(data, entries) + tail
    start, end = data.index(b"II*\0"), data.index(b"~" * 400) + 400
    return data[:start] + block[6:].ljust(end - start, b"~")[: end - start] + data[end:]


def as_seen(pixels, turned):
    """As Pillow turns a picture in whose EXIF there is nothing but an orientation."""
    told = Image.Exif()
    told[274] = turned
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(saved(pixels, "PNG", exif=told)))))


@shared
@given(
    st.sampled_from(sorted(UPRIGHT)),
    st.integers(1, 8),
    st.sampled_from([(1, 1), (3, 2), (4, 4)]),
    st.sampled_from("<>"),
    st.lists(entry.filter(lambda e: e[0] != 274), max_size=5),
    st.lists(entry, max_size=3),
    st.binary(max_size=60),
)
@example("photo.jpg", 6, (3, 2), "<", [(282, 2, 4, b"abc\0")], [(34665, 4, 1, b"\xff\xff\xff\xff")], b"")
@example("photo.tif", 6, (3, 2), "<", [(282, 2, 4, b"abc\0")], [(283, 5, 1, b"\xff\xff\xff\x7f")], b"")
@example("photo.jpg", 8, (3, 2), "<", [(282, 5, 1, b"\x32\0\0\0")], [(296, 3, 1, b"\2\0\0\0")], bytes(60))
@example("photo.jpg", 5, (3, 2), "<", [(282, 2, 1, bytes(4))], [(296, 3, 1, b"\2\0\0\0")], b"")
@example("photo.avif", 6, (3, 2), "<", [(282, 2, 4, b"abc\0")], [], b"")
def test_of_exif_only_the_orientation_counts(check, name, turned, kind, order, before, after, tail):
    order = "<" if name == "photo.tif" else order
    value = turned.to_bytes(kind[1], "little" if order == "<" else "big").ljust(4, b"\0")
    entries = [*before, (274, kind[0], 1, value), *after]
    if name == "photo.tif":  # what says where the pixels are is no EXIF
        entries = [e for e in entries if e[0] not in PIXEL_TAGS]
    found = check(with_exif(name, entries, order, tail), name)
    expected = PLAIN[name] if name == "photo.avif" else as_seen(PLAIN[name], turned)
    np.testing.assert_array_equal(found, expected)


@shared
@given(
    st.sampled_from(["PNG I;16", "TIFF I;16", "TIFF I", "TIFF F", "PNG RGB", "PNG RGBA", "PNG LA"]),
    st.integers(0, 200),
    st.integers(1, 250),
    st.floats(1e-3, 1e6),
    st.floats(-1e6, 1e6),
)
def test_every_depth_is_brought_to_8_bits_by_its_own_range(check, kind, low, wide, scale, offset):
    """The lowest value is black and the highest white, whatever they are."""
    shown = face() if "RGB" in kind else face()[..., 0]
    if kind == "TIFF F":
        values = (shown * scale + offset).astype(np.float32)
    elif kind == "TIFF I":
        values = (shown * scale + offset).astype(np.int32)
    else:
        values = shown.astype(np.uint16) * np.uint16(wide) + np.uint16(low)
    if kind.startswith("TIFF"):
        data = saved(values, "TIFF")
    else:
        opaque = np.full(values.shape[:2], 65535, np.uint16)
        data = png(np.dstack([values, opaque]) if kind.endswith("A") else values)
    exact = values.astype(np.float64)
    span = exact.max() - exact.min()
    expected = (exact - exact.min()) * (255 / span) if span else exact * 0
    expected = expected if expected.ndim == 3 else np.repeat(expected[..., None], 3, axis=2)
    assert np.abs(check(data) - expected).max() <= 0.51


@shared
@given(
    st.sampled_from(["PNG", "WEBP", "TIFF"]),
    hnp.arrays(np.uint8, (5, 7, 4), elements=st.one_of(st.integers(0, 255), st.sampled_from([0, 255]))),
)
def test_who_is_transparent_is_not_there(check, kind, pixels):
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    found = check(saved(pixels, kind, **options))
    color, alpha = pixels[..., :3].astype(np.float64), pixels[..., 3:] / 255.0
    assert np.abs(found - (color * alpha + np.array(GROUND) * (1 - alpha))).max() <= 0.51
    np.testing.assert_array_equal(found[pixels[..., 3] == 255], pixels[pixels[..., 3] == 255][:, :3])
    assert (found[pixels[..., 3] == 0] == GROUND).all()
