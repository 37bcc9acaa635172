"""Many cells into one table, plots with quantile bands, and a page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.marks import write_between
from bench.outcome import write
from bench.search.contenders import CONTENDERS
from bench.search.tasks import TASKS

FORMAT = 1
FIRST_MARK, LAST_MARK = "<!-- search -->", "<!-- end of search -->"
OURS = "datamask"
Cell = Mapping[str, Any]


def read_cells(folder: Path) -> list[Cell]:
    """All cells of a folder, by file name."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def rows_of(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """One row a task and contender. Medians count "never accepted" as infinite, which is given as None.

    accepted: cells in which an incumbent was accepted at all. final: median share of the final held-out views
    in which the last incumbent is accepted.

    :raises SystemExit: for a row whose cells had unlike numbers of views.
    """
    rows = []
    for task in TASKS:
        for name in _names(cells):
            mine = [c for c in cells if c["task"] == task and c["contender"] == name]
            if not mine:
                continue
            if len(views := sorted({(c["budget"], c["held_out_views"]) for c in mine})) > 1:
                had = " and ".join(f"{budget:,} scored, {held} held-out" for budget, held in views)
                raise SystemExit(
                    f"{task}, {name}: cells of {had} views, which no median may mix; keep them in folders of "
                    "their own (--cells)"
                )
            after = [np.inf if c["accepted_after"] is None else float(c["accepted_after"]) for c in mine]
            finals = [c["final"]["accepted"] for c in mine if c["final"]]
            peaks = [c["peak_mb"] for c in mine if c["peak_mb"] is not None]
            rows.append(
                {
                    "task": task,
                    "contender": name,
                    "variants": [c["variant"] for c in mine],
                    "budget": sorted({c["budget"] for c in mine}),
                    "accepted": sum(np.isfinite(after).tolist()),
                    "accepted_after": [_finite(a) for a in after],
                    "median_views": _finite(_middle(after)),
                    "final": _median(finals),
                    "fitness": _median([c["curve"][-1]["fitness"] for c in mine if c["curve"]]),
                    "seconds": _median([c["seconds"] for c in mine]),
                    "own_s": _median([c["seconds"] - c["scoring_s"] for c in mine]),
                    "peak_mb": max(peaks, default=None),
                    "settings": mine[0]["settings"],
                }
            )
    return rows


def _names(cells: Sequence[Cell]) -> list[str]:
    """The contenders of cells: in the table's order, then those with values changed."""
    found = {c["contender"] for c in cells}
    return [*(n for n in CONTENDERS if n in found), *sorted(found - set(CONTENDERS))]


def _middle(values: Sequence[float]) -> float:
    """The median; infinite where it would lie between a number and infinity."""
    ordered = sorted(values)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return low if low == high else (low + high) / 2


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if len(values) else None


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def verdict(rows: Sequence[Mapping[str, Any]], task: str, ours: str = OURS) -> str:
    """Our median views to acceptance beside the best other contender's that has all our starts, in words.

    "On the worst start": our views there over those of the others' best on that start.
    """
    mine = next((r for r in rows if r["task"] == task and r["contender"] == ours), None)
    others = [r for r in rows if r["task"] == task and not r["contender"].startswith(OURS)]
    others = [r for r in others if mine is not None and set(mine["variants"]) <= set(r["variants"])]
    if mine is None or not others:
        return f"{ours}: not enough cells to compare."
    starts = mine["variants"]
    medians = [_middle([_after(r, start) for start in starts]) for r in others]
    best, low = others[int(np.argmin(medians))], min(medians)
    own = _middle([_after(mine, start) for start in starts])
    said = f"{ours}: {_views(_finite(own))}; best other, {best['contender']}: {_views(_finite(low))}"
    if np.isfinite(own) and np.isfinite(low):
        said += f"; ratio {own / low:.2f}"
    fastest = [min(_after(r, start) for r in others) for start in starts]
    ratios = [_after(mine, s) / f for s, f in zip(starts, fastest, strict=True) if np.isfinite(f)]
    worst = max(ratios, default=np.inf)
    shown = f"{worst:.2f}" if np.isfinite(worst) else "not accepted"
    return f"{said}; on the worst start {shown} ({len(starts)} starts)."


def own_names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which of the contenders of these rows are datamask itself, with all its islands, one, or a change."""
    return [row["contender"] for row in rows if row["contender"].startswith(OURS)]


def _after(row: Mapping[str, Any], variant: str) -> float:
    """Views to acceptance of one start, infinite where it was not accepted."""
    found = row["accepted_after"][row["variants"].index(variant)]
    return np.inf if found is None else float(found)


def _views(value: float | None) -> str:
    return "not within the budget" if value is None else f"{value:,.0f} views"


def on_grid(cells: Sequence[Cell], key: str, grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Curves (cells, grid) of a field of the points; nan before a cell's first one."""
    curves = np.full((len(cells), len(grid)), np.nan)
    for row, cell in enumerate(cells):
        views = np.array([p["views"] for p in cell["curve"]])
        values = np.array([p[key] for p in cell["curve"]], np.float64)
        index = np.searchsorted(views, grid, side="right") - 1
        known = index >= 0
        curves[row, known] = values[index[known]]
    return curves


def plot(cells: Sequence[Cell], task: str, path: Path) -> None:
    """Fitness and accepted share against scored views: medians, and bands from quartile to quartile."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    mine = [c for c in cells if c["task"] == task]
    grid = np.linspace(0, max(c["budget"] for c in mine), 121)
    figure, axes = pyplot.subplots(1, 2, figsize=(13, 5), layout="constrained")
    names = _names(mine)
    # Ours are dark and bold among the others' colors.
    others, own = iter(pyplot.get_cmap("tab20")(np.arange(20))), iter(("black", "0.4", "0.6"))
    colors = {name: next(own, "0.75") if name.startswith(OURS) else next(others) for name in names}
    panels = (("fitness", "fitness on the ranking views"), ("accepted", "share of held-out views accepted"))
    for axis, (key, label) in zip(axes, panels, strict=True):
        for name, color in colors.items():
            curves = on_grid([c for c in mine if c["contender"] == name], key, grid)
            known = ~np.isnan(curves).any(axis=0)
            if not known.any():
                continue
            low, middle, high = np.quantile(curves[:, known], [0.25, 0.5, 0.75], axis=0)
            axis.plot(grid[known], middle, color=color, label=name, lw=3 if name.startswith(OURS) else 1.5)
            axis.fill_between(grid[known], low, high, color=color, alpha=0.12, lw=0)
        axis.set(xlabel="scored views", ylabel=label)
        axis.grid(alpha=0.3)
    handles, known_names = axes[0].get_legend_handles_labels()
    figure.legend(handles, known_names, fontsize=8, loc="outside right center")
    figure.suptitle(f"{task}: {TASKS[task].title}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """The tables as Markdown."""
    lines: list[str] = []
    for task in TASKS:
        mine = [r for r in rows if r["task"] == task]
        if not mine:
            continue
        budgets = sorted({b for r in mine for b in r["budget"]})
        lines += [
            f"### {task}: {TASKS[task].title}",
            "",
            f"Budget: {', '.join(f'{b:,}' for b in budgets)} scored views. Median views to acceptance:",
            "",
            *(f"- {verdict(rows, task, ours)}" for ours in own_names(mine)),
            "",
            "| contender | accepted | median views to acceptance | accepted share at the end | fitness | "
            "seconds | of these its own | peak MB |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for r in mine:
            lines.append(
                f"| {r['contender']} | {r['accepted']} of {len(r['variants'])} | "
                f"{_cell(r['median_views'], ',.0f')} | {_cell(r['final'], '.0%')} | "
                f"{_cell(r['fitness'], '.2f')} | {_cell(r['seconds'], '.0f')} | {_cell(r['own_s'], '.1f')} | "
                f"{_cell(r['peak_mb'], '.0f')} |"
            )
        lines += ["", f"![{task}](images/search-{task}.png)", ""]
    settings = dict.fromkeys((r["contender"], r["settings"]) for r in rows)
    lines += ["Settings:", "", *(f"- **{name}**: {said}." for name, said in settings), ""]
    return "\n".join(lines)


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def summarize(folder: Path, out: Path, images: Path, document: Path | None) -> list[dict[str, Any]]:
    """Write JSON and plots, and the page between its marks; return the rows.

    Of tasks that the folder has no cell of, what ``out`` says of them stays.
    """
    cells = read_cells(folder)
    tasks = {c["task"] for c in cells}
    before = json.loads(out.read_text()) if out.exists() else {"rows": [], "cells": []}
    kept = {key: [entry for entry in before[key] if entry["task"] not in tasks] for key in ("rows", "cells")}
    rows = [row for task in TASKS for row in (*kept["rows"], *rows_of(cells)) if row["task"] == task]
    write({"format": FORMAT, "rows": rows, "cells": [*kept["cells"], *(_slim(c) for c in cells)]}, out)
    for task in tasks:
        plot(cells, task, images / f"search-{task}.png")
    if document is not None:
        write_between(document, FIRST_MARK, LAST_MARK, page(rows))
    return rows


def _slim(cell: Cell) -> dict[str, Any]:
    return {k: v for k, v in cell.items() if k not in ("genome", "settings", "best_seen")}
