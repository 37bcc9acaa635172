"""README and docs lead where they say, and are as short and complete as they promise."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.documents import PAGES, ROOT, inline, name_of

LINK = re.compile(r"\]\(([^)\s]+)\)")
# What stands in the project; runs/ and what a command writes do not.
ROOMS = (
    "bench/",
    "coordinator/",
    "datamask/",
    "docs/",
    "examples/",
    "infra/",
    "services/",
    "tests/",
    "worker/",
)
WRITTEN = {"infra/secrets/", "docs/acceptance.json", "docs/evidence-noise/"}


def anchors(page: Path) -> set[str]:
    """What a link to a heading of the page says behind its #."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = page if not path else (page.parent / path).resolve()
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_it_names_are_there(page: Path) -> None:
    for words in inline(page):
        path = words.split("#")[0]
        if (
            path.startswith(ROOMS)
            and re.fullmatch(r"[\w./+-]+", path)
            and not path.startswith(tuple(WRITTEN))
        ):
            assert (ROOT / path).exists(), path


def test_the_readme_is_short_and_says_size_and_time_before_its_command() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) < 200
    first = text.partition("make evolve  ")[0]
    assert re.search(r"\d GB", first)
    assert re.search(r"minutes", first)
    # The first screen: picture, sentence, command, and how true it is.
    assert text.index("](docs/images/") < text.index("make evolve  ") < text.index("| noise |")
    assert len(text.partition("| noise |")[0].splitlines()) < 30


def test_the_index_names_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    named = {(index.parent / link.partition("#")[0]).resolve() for link in LINK.findall(index.read_text())}
    pages = {page for page in PAGES if page.parent == index.parent} - {index}
    assert pages <= named


def test_every_picture_is_shown() -> None:
    shown = {(page.parent / link).resolve() for page in PAGES for link in LINK.findall(page.read_text())}
    assert set((ROOT / "docs" / "images").iterdir()) <= shown
