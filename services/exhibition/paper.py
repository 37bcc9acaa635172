"""Figures for a paper: vector drawings, and the numbers in them as CSV. Nothing here knows of runs.

matplotlib, which takes a third of a second to load, is loaded where something is drawn.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from services.numbers import finite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Format = Literal["svg", "pdf", "png"]
Cell = str | int | float | bool | None
Share = tuple[float, float, float]  # a share, and its interval

WIDTH_IN = 6.5  # of a text column; 7 points are its smallest letters
COLORS = ("#c98a1b", "#1b5fc9", "#3a8f5c", "#a8324a", "#6b4fa0", "#5a5c60", "#c96a9b", "#2f9aa0")
# Letters stay letters, ids are the same each time, and no date is written: one figure gives one file.
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "datamask",
    "pdf.fonttype": 42,
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "legend.fontsize": 7,
    "legend.frameon": False,
}
_UNDATED: Mapping[str, dict[str, Any]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
    "png": {"Software": None},
}


@dataclass(frozen=True)
class Chart:
    """A figure and its numbers.

    :param name: of its files, without an ending. header, rows: of the CSV file.
    :param draw: fills an empty figure. height_in: of that, in inches.
    """

    name: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    draw: Callable[[Figure], None]
    height_in: float = 3.0

    def csv(self) -> bytes:
        """The numbers, UTF-8; what is not known is empty."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.header)
        writer.writerows(["" if cell is None else cell for cell in row] for row in self.rows)
        return text.getvalue().encode()

    def file(self, kind: Format) -> bytes:
        """The figure."""
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        with mpl.rc_context(_STYLE):
            figure = Figure(figsize=(WIDTH_IN, self.height_in), layout="constrained")
            FigureCanvasAgg(figure)
            self.draw(figure)
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, dpi=200, metadata=_UNDATED[kind])
        return buffer.getvalue()


def curves_chart(lines: Mapping[str, tuple[Sequence[float | None], Sequence[float | None]]]) -> Chart:
    """The best fitness by generation, one line each, with the median in a fainter one.

    :param lines: by name, the best and the median of each generation; None where no mask was scored.
    """
    rows = tuple(
        (name, generation, finite(b), finite(m))
        for name, (best, median) in lines.items()
        for generation, (b, m) in enumerate(zip(best, median, strict=True))
    )

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        for k, (name, (best, median)) in enumerate(lines.items()):
            color = COLORS[k % len(COLORS)]
            axis.plot(_known(best), color=color, linewidth=1.2, label=name)
            axis.plot(_known(median), color=color, linewidth=0.7, alpha=0.5)
        axis.axhline(0.0, color="black", linewidth=0.5, linestyle=":")
        axis.set_xlabel("generation")
        axis.set_ylabel("fitness (0: every threshold)")
        axis.set_title("best of a generation, and its median (faint)")
        if len(lines) <= 2 * len(COLORS):
            axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))

    return Chart("curves", ("line", "generation", "best", "median"), rows, draw)


def rates_chart(bars: Sequence[tuple[str, str, Share, int]], name: str, title: str) -> Chart:
    """Shares with their 95% intervals, by subject and machine.

    :param bars: subject, machine, share with its interval, and of how many views.
    """
    subjects = list(dict.fromkeys(subject for subject, *_ in bars))
    machines = list(dict.fromkeys(machine for _, machine, *_ in bars))
    rows = tuple((s, m, share, low, high, count) for s, m, (share, low, high), count in bars)

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        for m, machine in enumerate(machines):
            own = [(subjects.index(s), share) for s, name_, share, _ in bars if name_ == machine]
            at = [k + 0.7 * (m - (len(machines) - 1) / 2) / max(len(machines), 1) for k, _ in own]
            middle = np.array([share for _, (share, _, _) in own])
            low = middle - [low for _, (_, low, _) in own]
            high = np.array([high for _, (_, _, high) in own]) - middle
            axis.errorbar(
                middle,
                at,
                xerr=np.maximum([low, high], 0.0),
                fmt="o",
                markersize=3,
                linewidth=0.9,
                color=COLORS[m % len(COLORS)],
                label=machine,
            )
        axis.set_yticks(range(len(subjects)), subjects)
        axis.invert_yaxis()
        axis.set_xlim(-0.02, 1.02)
        axis.set_xlabel("share of views, Wilson's 95% interval")
        axis.set_title(title)
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))

    header = ("subject", "machine", "share", "low", "high", "views")
    return Chart(name, header, rows, draw, 1.2 + 0.32 * len(subjects))


def matrix_chart(bars: Sequence[tuple[str, str, Share, int]], name: str, title: str) -> Chart:
    """The same shares as a table of shades: a row a subject, a column a machine."""
    subjects = list(dict.fromkeys(subject for subject, *_ in bars))
    machines = list(dict.fromkeys(machine for _, machine, *_ in bars))
    table = np.full((len(subjects), len(machines)), np.nan)
    for subject, machine, (share, _, _), _ in bars:
        table[subjects.index(subject), machines.index(machine)] = share
    rows = tuple(
        (subject, *(finite(v) for v in row)) for subject, row in zip(subjects, table.tolist(), strict=True)
    )

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        axis.pcolormesh(table, vmin=0.0, vmax=1.0, cmap="Greys", edgecolors="white", linewidth=0.5)
        for row, column in np.argwhere(np.isfinite(table)).tolist():
            value = table[row, column]
            color = "white" if value > 0.55 else "black"
            axis.text(column + 0.5, row + 0.5, f"{value:.0%}", ha="center", va="center", color=color)
        axis.set_xticks(np.arange(len(machines)) + 0.5, machines, rotation=30, ha="right")
        axis.set_yticks(np.arange(len(subjects)) + 0.5, subjects)
        axis.invert_yaxis()
        axis.set_title(title)

    return Chart(name, ("subject", *machines), rows, draw, 1.6 + 0.3 * len(subjects))


@dataclass(frozen=True)
class Gazed:
    """One machine's gaze at one mask. shares: float (regions,), how much each region carries the score.

    vertices: float32 (V, 3). triangles: int (T, 3). regions: int (T,), each triangle's. top, random: what the
    score loses without the top tenth of the regions, and without random ones.
    """

    mask: str
    machine: str
    shares: NDArray[np.floating[Any]]
    vertices: NDArray[np.float32]
    triangles: NDArray[np.integer[Any]]
    regions: NDArray[np.integer[Any]]
    top: float
    random: Sequence[float]


def gaze_chart(gazes: Sequence[Gazed]) -> Chart:
    """Masks from the front, each region shaded by how much it carries a machine's score.

    Red carries it, blue works against it.
    """
    columns = min(len(gazes), 4)
    lines = -(-len(gazes) // columns)
    rows = tuple(
        (g.mask, g.machine, region, float(share), g.top, float(np.mean(g.random)))
        for g in gazes
        for region, share in enumerate(g.shares.tolist())
    )

    def draw(figure: Figure) -> None:
        import matplotlib as mpl
        from matplotlib.collections import PolyCollection

        axes = figure.subplots(lines, columns, squeeze=False).ravel()
        for axis in axes:
            axis.set_axis_off()
        for axis, g in zip(axes, gazes, strict=False):
            corners = g.vertices[g.triangles]
            normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
            front = np.flatnonzero(normals[:, 2] > 0)
            front = front[np.argsort(corners[front, :, 2].mean(axis=1), kind="stable")]
            reach = float(np.abs(g.shares).max()) or 1.0
            shades = mpl.colormaps["RdBu_r"](0.5 + 0.5 * g.shares[g.regions[front]] / reach)
            axis.add_collection(
                PolyCollection(corners[front, :, :2], facecolors=shades, edgecolors=shades, linewidths=0.2)
            )
            axis.set_aspect("equal")
            axis.autoscale_view()
            lost = f"top tenth {g.top:+.2f}, random {float(np.mean(g.random)):+.2f}"
            axis.set_title(f"{g.mask}\n{g.machine}\n{lost}", fontsize=6.5, loc="center")

    header = ("mask", "machine", "region", "share", "lost_without_top_tenth", "lost_without_random_tenth")
    return Chart("gaze", header, rows, draw, 0.4 + 2.3 * lines)


def archive_chart(
    masks: Sequence[tuple[tuple[int, int], str, float, bool, Sequence[float]]],
    measures: Sequence[tuple[str, int, float, float]],
) -> Chart:
    """The best fitness in each cell of an archive, over its first two measures; accepted cells are framed.

    :param masks: place along both, id, fitness, whether it is accepted, and its measures.
    :param measures: name, cells, low and high of each.
    """
    (across, columns, left, right), (up, lines, bottom, top) = (*measures, ("", 1, 0.0, 1.0))[:2]
    table = np.full((lines, columns), np.nan)
    framed = np.zeros((lines, columns), bool)
    for (x, y), _, fitness, accepted, _ in masks:
        if not fitness <= table[y, x]:
            table[y, x], framed[y, x] = fitness, accepted
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (x, y, mask, fitness, accepted, *found) for (x, y), mask, fitness, accepted, found in masks
    )

    def draw(figure: Figure) -> None:
        from matplotlib.collections import PolyCollection

        axis = figure.subplots()
        xs, ys = np.linspace(left, right, columns + 1), np.linspace(bottom, top, lines + 1)
        shown = axis.pcolormesh(xs, ys, np.ma.masked_invalid(table), cmap="cividis")
        for y, x in np.argwhere(framed).tolist():
            corners = [(xs[x], ys[y]), (xs[x + 1], ys[y]), (xs[x + 1], ys[y + 1]), (xs[x], ys[y + 1])]
            axis.add_collection(
                PolyCollection([np.array(corners)], facecolors="none", edgecolors="black", linewidths=0.6)
            )
        figure.colorbar(shown, ax=axis, label="fitness")
        axis.set_xlabel(across)
        axis.set_ylabel(up)
        axis.set_title(f"{int(np.isfinite(table).sum())} of {table.size} cells; framed: accepted")

    header = ("across", "up", "mask", "fitness", "accepted", *(name for name, *_ in measures))
    return Chart("archive", header, rows, draw, 4.2)


def _known(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if v is None else v for v in values], np.float64)
