"""CONTRIBUTING.md tells of files and words that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
PATHS = sorted({found for found in re.findall(r"`([\w./+-]+)`", TEXT) if "/" in found})
WORDS = re.findall(r"^\| `(\w+)` \| .+ \| `(\S+)` \|$", TEXT, re.M)


def test_it_is_short_and_the_readme_leads_to_it() -> None:
    assert len(TEXT.splitlines()) <= 150
    assert "](CONTRIBUTING.md)" in (ROOT / "README.md").read_text()
    assert len(PATHS) > 40
    assert len(WORDS) > 20


@pytest.mark.parametrize("path", PATHS)
def test_its_paths_are_there(path: str) -> None:
    assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file()


@pytest.mark.parametrize(("word", "path"), WORDS)
def test_its_words_are_defined_where_it_says(word: str, path: str) -> None:
    assert re.search(rf"^(class|def) {word}\b", (ROOT / path).read_text(), re.M)


def test_its_rooms_are_all_there_are() -> None:
    for room in ("services", "coordinator", "worker", "datamask"):
        for folder in (ROOT / room).iterdir():
            if folder.is_dir() and (folder / "__init__.py").is_file():
                assert f"{folder.name}/" in TEXT, folder
