"""The pages that people read (README, CONTRIBUTING.md, CHANGELOG.md, docs/) and their command lines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

_BEFORE = r"(?:docker compose (?:run|exec) (?:--\w+ )?\S+ |[A-Z_0-9]+=\S+ |\.venv/bin/(?=datamask))*"
_COMMAND = re.compile(rf"^{_BEFORE}((?:datamask|make|python -m)(?: .*)?)$", re.MULTILINE)
_REMARK = re.compile(r"\s+#\s|\s{2,}(?=\S)")  # a line's words end at a # or at two spaces


@dataclass(frozen=True)
class Line:
    """A command line that a page shows. said: the remark behind it."""

    page: str
    words: str
    said: str = ""

    def __str__(self) -> str:
        return f"{self.page}: {self.words}"


def name_of(page: Path) -> str:
    """A page's path inside the project."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    """Every fenced block of a language ("" for none)."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def command_lines(page: Path) -> list[Line]:
    """Command lines of the page's plain blocks, each with its remark."""
    found = []
    for block in blocks(page, ""):
        for line in _COMMAND.findall(re.sub(r" \\\n\s*", " ", block)):
            words, *said = _REMARK.split(line.strip(), maxsplit=1)
            found.append(Line(name_of(page), words.removesuffix(" &"), "".join(said)))
    return found


def inline(page: Path) -> list[str]:
    """Everything in single backticks outside of fenced blocks, each on one line."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [" ".join(words.split()) for words in re.findall(r"`([^`]+)`", text)]
