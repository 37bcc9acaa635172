"""Tables that fit a terminal: no word and no name is ever broken or cut."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

Row = Sequence[str | Text]
# Where a header may go on in its next line. Figures may between words alone, for they have signs.
IN_HEADER = re.compile(r"(?<= )|(?<=[-:/_])(?=[A-Za-z])")
HEADER_WIDTHS = (16, 12, 8, 0)  # columns: fewer only where they are needed
# A word of prose may be a path, longer than any column.
LONGEST_WORD = 24
UNBOUND = 100_000  # columns, for measuring


def print_table(
    console: Console,
    title: str,
    header: Sequence[str],
    rows: Sequence[Row],
    *,
    left: Collection[int] = (0,),
    prose: Collection[int] = (),
) -> None:
    """Print a table in the first layout that fits; where none does, each row in lines of its own.

    :param rows: each with as many cells as the header; an empty one is a rule. :param left: columns that
    begin at their left edge, the others end at their right one; :param prose: columns whose words may wrap.
    """
    console.print(Text(title, "table.title"), soft_wrap=True)
    table = fitting(console, header, rows, left=left, prose=prose)
    if table is not None:
        console.print(table)
        return
    for row in filter(None, rows):
        for k, (name, cell) in enumerate(zip(header, row, strict=True)):
            words = Text(" ").join((cell if isinstance(cell, Text) else Text(cell)).split())
            if words:
                start = Text("" if k == 0 else f"  {' '.join(name.split())}: " if name else "  ")
                console.print(start.append_text(words), style="bold" if k == 0 else "", soft_wrap=True)


def fitting(
    console: Console,
    header: Sequence[str],
    rows: Sequence[Row],
    *,
    left: Collection[int] = (0,),
    prose: Collection[int] = (),
    empty: Callable[[], Table] = Table,
) -> Table | None:
    """The table as it was given, with narrower headers, or with narrower cells: what first fits, or None.

    :param empty: makes a table without columns; for the others see :func:`print_table`.
    """

    def filled(head: Sequence[str], body: Sequence[Row]) -> Table:
        table = empty()
        for k, name in enumerate(head):
            justify: JustifyMethod = "left" if k in left or k in prose else "right"
            table.add_column(Text(name), justify=justify, no_wrap=k not in prose, overflow="fold")
        for row in body:
            if row:
                table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
            else:
                table.add_section()
        return table

    for head, body in _layouts(header, rows, prose):
        least = [[_longest(cell) if k in prose else cell for k, cell in enumerate(row)] for row in body]
        options = console.options.update(width=UNBOUND)
        if Measurement.get(console, options, filled(head, least)).maximum <= console.width:
            return filled(head, body)
    return None


def _layouts(
    header: Sequence[str], rows: Sequence[Row], prose: Collection[int]
) -> Iterator[tuple[Sequence[str], Sequence[Row]]]:
    yield header, rows
    words = [[cell if k in prose else _in_words(cell) for k, cell in enumerate(row)] for row in rows]
    for body in (rows, words):
        widths = [max((_width(row[k]) for row in body if row), default=0) for k in range(len(header))]
        for least in HEADER_WIDTHS:
            yield [_packed(name, max(width, least)) for name, width in zip(header, widths, strict=True)], body


def _in_words(cell: str | Text) -> str | Text:
    """A cell with a line for each word."""
    return "\n".join(cell.split()) if isinstance(cell, str) else cell


def _longest(cell: str | Text) -> str:
    """Prose in as few columns as it may be given."""
    return "\n".join(word[:LONGEST_WORD] for word in str(cell).split())


def _packed(name: str, columns: int) -> str:
    """A header in lines of this many columns, or as many as its longest piece needs."""
    pieces = [piece for line in name.split("\n") for piece in (*IN_HEADER.split(line), "\n")][:-1]
    columns = max([columns, *(cell_len(piece.rstrip()) for piece in pieces)])
    lines = [""]
    for piece in pieces:
        if piece == "\n" or cell_len((lines[-1] + piece).rstrip()) > columns:
            lines.append("")
        lines[-1] += piece.strip("\n")
    return "\n".join(line.rstrip() for line in lines)


def _width(cell: str | Text) -> int:
    return max(cell_len(line) for line in str(cell).split("\n"))
