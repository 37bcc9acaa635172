"""An archive of machines for a paper: which sets of them have a mask, and how clear its verdicts are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from services.exhibition.paper import Cell, Chart

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def sets_chart(
    cells: Sequence[tuple[Sequence[str], str, float, Sequence[float]]], machines: Sequence[str], count: int
) -> Chart:
    """A row a set: dots at its machines, and its mask's least clear verdict.

    :param cells: the machines of a set, the mask's id, its least clear verdict, and each machine's margin.
        count: of all sets.
    """
    ordered = sorted(cells, key=lambda cell: (len(cell[0]), [list(machines).index(name) for name in cell[0]]))
    header = ("machines", "mask", "clearness", *(f"margin {name}" for name in machines))
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (" + ".join(sees), mask, clear, *margins) for sees, mask, clear, margins in ordered
    )

    def draw(figure: Figure) -> None:
        dots, bars = figure.subplots(1, 2, sharey=True, width_ratios=(1, 2))
        at = np.arange(len(ordered))
        for column, name in enumerate(machines):
            inside = np.array([name in sees for sees, *_ in ordered], bool)
            for there, color in ((inside, "black"), (~inside, "#d8d8d8")):
                dots.plot(np.full(there.sum(), column), at[there], "o", color=color, markersize=4)
        dots.set_xticks(range(len(machines)), machines, rotation=40, ha="right")
        dots.set_yticks(at, [mask for _, mask, *_ in ordered], fontsize=6)
        dots.invert_yaxis()
        bars.barh(at, [clear for _, _, clear, _ in ordered], color="#c98a1b", height=0.7)
        bars.set_xlabel("least clear verdict (margin)")
        bars.set_title(f"{len(ordered)} of {count} sets of machines")

    return Chart("archive", header, rows, draw, 1.4 + 0.16 * len(ordered))
