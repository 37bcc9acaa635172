from __future__ import annotations

import hashlib
import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from services.errors import CorruptData
from services.storage.codec import decode, encode

DTYPES = ["<f4", "<f8", "<f2", "|i1", "<i4", "<i8", "|u1", "<u8", "|b1", "|S7", "<U5"]
ARRAYS = st.dictionaries(
    st.text(min_size=1, max_size=12),
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    ),
    max_size=4,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
SAMPLE = {
    "genomes": np.linspace(-3, 3, 24, dtype=np.float32).reshape(4, 6),
    "state": np.array([2**64 - 1, 7], dtype=np.uint64),
    "names": np.array(["nose", "brow å"]),
}
GOLDEN = "cddc4b6962fecfd39d1d98c6ac9800f2f75410a64496fc09d7c4ef0ac76de335"
META = {"batch": "4f2a", "slice": 3, "models": ["dlib-hog"]}


@settings(max_examples=150, deadline=None)
@given(ARRAYS, st.dictionaries(st.text(), JSON, max_size=3), st.booleans())
def test_round_trip_keeps_every_bit(arrays, meta, compress):
    data = encode(arrays, meta, compress=compress)
    back = decode(data)
    assert back.meta == meta
    assert set(back.arrays) == set(arrays)
    for name, array in arrays.items():
        assert back.arrays[name].dtype == array.dtype
        assert back.arrays[name].shape == array.shape
        assert back.arrays[name].tobytes() == array.tobytes()
    assert encode(back.arrays, back.meta, compress=compress) == data


def test_order_layout_and_byte_order_do_not_change_the_bytes():
    plain = encode(SAMPLE, META)
    shuffled = {
        "state": SAMPLE["state"].astype(">u8"),
        "names": SAMPLE["names"],
        "genomes": np.asfortranarray(SAMPLE["genomes"]),
    }
    assert encode(shuffled, dict(reversed(META.items()))) == plain


def test_the_format_does_not_drift():
    # A checkpoint of today must be read by tomorrow's code: a new layout needs a new version number.
    assert hashlib.sha256(encode(SAMPLE, META)).hexdigest() == GOLDEN


def test_decoded_arrays_are_read_only_and_aligned():
    arrays = decode(encode(SAMPLE)).arrays
    for array in arrays.values():
        assert array.flags.aligned
        assert not array.flags.writeable


@pytest.mark.parametrize("compress", [False, True])
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_changed_byte_is_noticed(data, compress):
    whole = bytearray(encode(SAMPLE, META, compress=compress))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CorruptData, match="scores/4f2a"):
        decode(bytes(whole), "scores/4f2a")


def test_any_truncation_or_extension_is_noticed():
    whole = encode(SAMPLE, META)
    for size in range(len(whole)):
        with pytest.raises(CorruptData, match="HEAD"):
            decode(whole[:size], "HEAD")
    with pytest.raises(CorruptData):
        decode(whole + b"\0")


def _sealed(header: object, body: bytes = b"", version: int = 1) -> bytes:
    text = json.dumps(header).encode()
    payload = struct.pack("<II", version, len(text)) + text + body
    return b"DATAMASK" + hashlib.sha256(payload).digest() + payload


def _entry(**changes: object) -> dict[str, object]:
    entry = {"name": "a", "dtype": "<f4", "shape": [2], "offset": 0, "size": 8} | changes
    return {"arrays": [entry], "body": 8, "compressed": False, "meta": {}}


def test_a_hand_made_object_is_read_when_right():
    assert decode(_sealed(_entry(), bytes(8))).arrays["a"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    "header",
    [
        [],
        {},
        _entry(dtype="|O"),
        _entry(dtype="no"),
        _entry(shape=[3]),
        _entry(shape=[-1, -2]),
        _entry(offset=4),
        _entry(offset=-4),
        _entry(size=1 << 60, shape=[1 << 58]),
        _entry(shape=[2.0]),
        _entry(dtype="f4,O"),
        _entry(dtype=[["a", "O"]]),
        _entry() | {"compressed": True},
        _entry() | {"compressed": True, "body": 1 << 80},
        _entry() | {"meta": 3},
    ],
)
def test_a_forged_header_is_an_error_and_not_a_crash(header):
    with pytest.raises(CorruptData, match="malformed"):
        decode(_sealed(header, bytes(8)))


def test_a_later_version_says_so():
    with pytest.raises(CorruptData, match="format 2"):
        decode(_sealed(_entry(), bytes(8), version=2))


def test_what_cannot_be_stored_is_refused():
    with pytest.raises(TypeError, match="'a' has dtype object"):
        encode({"a": np.array([{}])})
    with pytest.raises(ValueError, match="JSON"):
        encode({}, {"fitness": float("-inf")})
    with pytest.raises(TypeError, match="not a string"):
        encode({}, {"by_island": {3: "x"}})
