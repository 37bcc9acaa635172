"""Specs as editors save them, as programs damage them, and as nobody would write them: read, or one line."""

from __future__ import annotations

import datetime
import shutil
import string
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from coordinator.spec.spec import Spec, parse_spec
from coordinator.spec.spec_file import load_spec
from services.errors import BadInput, DatamaskError
from services.names import name_fault

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "tests" / "data" / "specs"
EXAMPLES = [path.read_text() for path in sorted((ROOT / "examples").glob("*.toml"))]
PLAIN = '[[objective]]\nkind = "detect"\nmodel = "dlib-hog"\n'


@pytest.mark.parametrize("path", sorted((KEPT / "read").iterdir()), ids=lambda path: path.stem)
def test_specs_are_read_as_editors_save_them(path: Path) -> None:
    assert (load_spec(path).name, load_spec(path).seed) == (path.stem, 7)


@pytest.mark.parametrize("path", sorted((KEPT / "refused").iterdir()), ids=lambda path: path.stem)
def test_specs_that_were_not_understood_once(path: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(path, tmp_path))
    with pytest.raises(DatamaskError) as refused:
        load_spec(copy)
    assert str(refused.value).startswith(f"{copy}: ")
    assert one_clear_line(refused.value)
    assert list(tmp_path.iterdir()) == [copy]


def loaded(path: Path, **options: Any) -> Spec | DatamaskError:
    """The spec, or what it was refused for."""
    try:
        return load_spec(path, **options)
    except DatamaskError as error:
        return error


def one_clear_line(error: DatamaskError) -> bool:
    return str(error).isprintable() and 20 < len(str(error)) < 2000


def keys(model: type[BaseModel] = Spec, prefix: str = "") -> Iterator[str]:
    """Every key of a spec, dotted."""
    for name, field in model.model_fields.items():
        yield prefix + name
        inner = [a for a in (field.annotation, *getattr(field.annotation, "__args__", ())) if a is not None]
        for part in inner:
            if isinstance(part, type) and issubclass(part, BaseModel):
                number = "0." if name == "objective" else ""
                yield from keys(part, f"{prefix}{name}.{number}")


KEYS = sorted(keys())
WORDS = sorted({part for key in KEYS for part in key.split(".") if not part.isdigit()})
TEXT = st.text(max_size=20) | st.sampled_from(
    ["detect", "identity", "dlib-hog", "dlib-resnet", "onnx:a.onnx", "noise", "ring", "é/../\0", "~", "all"]
)
NUMBERS = (
    st.integers(-3, 70)
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from([10**400, 2**63, 2**63 - 1, 1e308, -0.0])
)
DATES = st.dates() | st.datetimes() | st.just(datetime.time(1, 2))
VALUES = st.recursive(
    NUMBERS | TEXT | st.booleans() | DATES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | TEXT, inner, max_size=4)
    ),
    max_leaves=8,
)
TABLES = st.dictionaries(st.sampled_from(WORDS) | TEXT, VALUES, max_size=6)


@st.composite
def edited(draw: st.DrawFn) -> bytes:
    """A spec that was good, with a few cuts, doublings and insertions, in some encoding."""
    text = draw(st.sampled_from(EXAMPLES))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        middle = draw(
            st.sampled_from(
                ["", text[start:end] * 2, "[", "]", '"', "=", "\n", "\r", "\0", "1e999", "9" * 30]
            )
            | st.text(max_size=3)
            | st.sampled_from(WORDS)
        )
        text = text[:start] + middle + text[end:]
    codec = draw(
        st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
    )
    return text.encode(codec, "replace")


@st.composite
def written(draw: st.DrawFn) -> bytes:
    """A table of known and unknown keys with any values, beside a good objective."""
    table: dict[str, Any] = {"objective": [{"kind": "detect", "model": "dlib-hog", **draw(TABLES)}]}
    table |= {name: draw(VALUES | TABLES) for name in draw(st.lists(st.sampled_from(WORDS), max_size=4))}
    return tomli_w.dumps(table).encode()


@pytest.mark.fuzz
@given(content=st.binary(max_size=300) | edited() | written())
def test_any_bytes_are_a_spec_or_refused_in_one_line(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "spec.toml")
        path.write_bytes(content)
        spec = loaded(path)
        if isinstance(spec, Spec):
            assert parse_spec(tomllib.loads(spec.toml()), "again") == spec
        else:
            assert one_clear_line(spec), spec
            assert str(spec).startswith(f"{path}: ")
        assert list(Path(folder).iterdir()) == [path]
        assert path.read_bytes() == content


@pytest.mark.fuzz
@given(
    stem=st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60)
)
def test_a_spec_without_a_name_gets_a_usable_one_from_any_file_name(stem: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{stem}.toml")
        path.write_text(PLAIN)
        name = load_spec(path).name
        assert name_fault(f"{name}-001") is None
        if name_fault(Path(path).stem) is None:
            assert name == Path(path).stem


def test_names_from_file_names(tmp_path: Path) -> None:
    for stem, name in (("My Spec é", "My-Spec-e"), ("münch_2", "munch_2"), ("日本", "run"), ("a.b", "a.b")):
        path = tmp_path / f"{stem}.toml"
        path.write_text(PLAIN)
        assert load_spec(path).name == name


@pytest.mark.fuzz
@given(
    key=st.sampled_from(KEYS) | st.text(string.ascii_letters + string.digits + "._-²é ", max_size=12),
    value=st.builds(lambda v: tomli_w.dumps({"v": v}).removeprefix("v = "), VALUES) | st.text(max_size=12),
)
def test_a_fault_of_set_is_blamed_on_set(key: str, value: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "spec.toml")
        path.write_text(PLAIN)
        override = f"{key}={value}"
        spec = loaded(path, overrides=["seed=3", override, "search.islands=2"])
        if isinstance(spec, DatamaskError):
            assert one_clear_line(spec), spec
            assert str(spec).startswith("--set "), spec
            assert str(path) not in str(spec)


@pytest.mark.parametrize(
    ("file", "options", "guilty", "words"),
    [
        ("", {"overrides": ["search.population=2"]}, "--set search.population=2", "given: 2"),
        ("", {"overrides": ["seed=4", "serch.islands=2", "seed=5"]}, "--set serch.islands=2", "'search'"),
        ("", {"overrides": ["name=My run"]}, "--set name=My run", "such as 'My-run'"),
        (
            "",
            {"overrides": ["search.population=4", "migration.count=9"]},
            "--set migration.count=9",
            "smaller",
        ),
        ("", {"seed": 2**63}, f"--seed {2**63}", "seed: "),
        ("", {"consent": ""}, "--consent", "[consent."),
        ("[search]\npopulation = 1\n", {"overrides": ["seed=3"]}, "FILE", "given: 1"),
        (
            "[search]\npopulation = 1\n",
            {"overrides": ["search.islands=0"]},
            "--set search.islands=0",
            "given: 0",
        ),
        ("[search]\npopulation = 1\n", {"overrides": ["views.count=0"]}, "FILE", "given: 1"),
        ("name = 'a b'\n", {"seed": 3}, "FILE", "name: expected"),
    ],
)
def test_who_is_blamed(tmp_path: Path, file: str, options: dict[str, Any], guilty: str, words: str) -> None:
    path = tmp_path / "spec.toml"
    path.write_text(file + PLAIN)
    with pytest.raises(BadInput) as refused:
        load_spec(path, **options)
    assert str(refused.value).startswith(f"{path}: " if guilty == "FILE" else f"{guilty}: ")
    assert words in str(refused.value)
