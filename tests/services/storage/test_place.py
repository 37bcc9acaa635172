"""Where a store is, from what people write: what looks like a URL is one, and never a folder by accident."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import BadInput
from services.storage.local import LocalStore
from services.storage.open import open_store
from services.storage.place import Bucket, Folder, check_folder, masked, parse_place, url_fault
from services.storage.s3 import S3Store


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("runs", Folder(Path("runs"))),
        ("./s3:/masks", Folder(Path("./s3:/masks"))),
        ("runs//a b/é #1", Folder(Path("runs/a b/é #1"))),
        ("12:30", Folder(Path("12:30"))),
        ("file:///r%C3%B6h%20%231", Folder(Path("/röh #1"))),
        ("FILE://localhost/runs", Folder(Path("/runs"))),
        ("s3://masks", Bucket("masks", "")),
        ("S3://masks//a b/é #1?/", Bucket("masks", "a b/é #1?")),
    ],
)
def test_what_is_taken(text: str, place: Folder | Bucket) -> None:
    assert parse_place(text) == place


SLIPS = [
    *(
        "s3:/masks/x",
        "s3:masks",
        "S3:/masks",
        "s3:",
        "s3//masks/x",
        "S3//masks",
        "s3:\\\\masks",
        "s3a://masks",
    ),
    *(
        "file:/runs",
        "file:runs",
        "file://host/runs",
        "file:",
        "file//runs",
        "file:///runs?x",
        "file:///runs#x",
    ),
    *("http://masks/x", "https:/masks", "http//masks", "gs://masks", "C:\\runs", "C:/runs", "runs:2026/x"),
    *("s3://", "s3:///masks", "s3://m", "s3://a b/x", "s3://masks/../x", "s3://masks/.x", "s3://masks/a//b"),
    *("file:///a%00b", "", " ", "a\0b", "~nobody-of-this-name/runs"),
]


@pytest.mark.parametrize("text", SLIPS)
def test_slips_are_one_line_and_make_nothing(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput) as refused:
        open_store(text, write=True)
    assert str(refused.value).isprintable()
    assert str(refused.value).startswith("store ")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_to_write_to_is_no_url() -> None:
    assert check_folder(Path("runs/a:b"), "DIR") == Path("runs/a:b")
    for text in ("s3://masks/portrait", "s3:/masks", "file:///home/me", "https://host/x"):
        with pytest.raises(BadInput, match=r"^DIR [^\n]*expected a folder of this computer, not a URL"):
            check_folder(Path(text), "DIR")


def test_keys_in_the_place_of_a_user_are_not_shown() -> None:
    for text in ("s3://AKIA:zqxwjk/vkb@masks/x", "s3:/AKIA:zqxwjk@masks", "https://me:zqx@wjk@host/masks"):
        with pytest.raises(BadInput) as refused:
            open_store(text)
        assert "***@" in str(refused.value)
        assert "zqx" not in str(refused.value)
    assert masked("http://me:zqxwjk@127.0.0.1:9/x") == "http://***@127.0.0.1:9/x"
    assert masked("/home/me@work/runs") == "/home/me@work/runs"


def test_a_folder_whose_name_is_no_unicode_is_the_same_from_its_url(tmp_path: Path) -> None:
    place = open_store(os.fsdecode(os.fsencode(tmp_path) + b"/r\xf6h"), write=True)
    place.put("a", b"1")
    assert open_store(place.url).get("a") == b"1"
    assert len(list(tmp_path.iterdir())) == 1


ODD = ["s3:", "s3", "file:", "http:", "..", ".", "~", "a b", "é#?@"]
SEGMENTS = st.text(max_size=6) | st.sampled_from(ODD)
TEXTS = st.lists(SEGMENTS, max_size=4).map("/".join) | st.builds(
    lambda scheme, rest: scheme + "/".join(rest),
    st.sampled_from(["s3://", "s3://masks/", "file:///", "file://", "./", "s3:/"]),
    st.lists(SEGMENTS, max_size=3),
)


def opened(text: str) -> LocalStore | S3Store | BadInput:
    """The store, or what it was refused for."""
    try:
        store = open_store(text)
    except BadInput as error:
        return error
    assert isinstance(store, LocalStore | S3Store)
    return store


@pytest.mark.fuzz
@given(text=TEXTS)
def test_any_text_is_a_store_that_its_url_finds_again_or_one_line(text: str) -> None:
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            store = opened(text)
        finally:
            os.chdir(before)
        assert list(Path(folder).iterdir()) == []
    if isinstance(store, BadInput):
        assert str(store).isprintable()
        assert len(str(store)) < 1000
    else:
        assert isinstance(store, S3Store) == text.lower().startswith("s3://")
        assert open_store(store.url).url == store.url
        # What works here works for workers elsewhere, too.
        assert url_fault(store.url) is None
