"""Tables that a benchmark writes into a page: their lines, and the two marks between which they stand."""

from __future__ import annotations

from pathlib import Path


def write_between(page: Path, first: str, last: str, text: str) -> None:
    """Put ``text`` between the marks ``first`` and ``last``. :raises SystemExit: where a mark is missing."""
    before, _, rest = page.read_text().partition(first)
    _, _, after = rest.partition(last)
    if not after:
        raise SystemExit(f"{page}: the marks {first} and {last} are missing; put them back")
    page.write_text(f"{before}{first}\n\n{text}\n{last}{after}")


def head(*names: object) -> list[str]:
    """The first two lines of a Markdown table."""
    return [row(*names), "|---" * len(names) + "|"]


def row(*cells: object) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"
