"""Measured figures in README and docs are those of the files that they were read from.

Behind a paragraph or a table a comment says where its figures stand:

    <!-- figures docs/evidence.json
    96% = min archetype/rows/kind=evolved/both
    59.0 = bench/results/latest.json: views_per_second/datamask/median
    -->

A path leads through keys and places; ``key=value`` keeps the entries of a list that have it, ``*`` takes all.
A word before it says what is made of several (min, max, mean, median, sum, count), ``* 1000`` scales.
"""

from __future__ import annotations

import csv
import json
import re
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bench import (
    albedo,
    blanks,
    drawing,
    evidence,
    first_run,
    left_out,
    machines,
    mixed_fleet,
    photographs,
    print_proof,
    quality_diversity,
    scale,
    transfer,
    virtual_print,
)
from bench.noise_proof import __main__ as noise_proof
from bench.noise_proof.findings import is_seen
from bench.noise_proof.settings import CRITICS, PROOF
from bench.noise_proof.tables import page as noise_page
from bench.search import summary
from tests.support.documents import PAGES, ROOT, name_of

COMMENT = re.compile(r"<!-- figures ?(\S*)\n(.*?)-->", re.DOTALL)
FIGURE = re.compile(r"(?<![\w.,-])[+-]?\d[\d,]*(?:\.\d+)?%?(?![\d%])")
FOLDS: dict[str, Callable[[list[float]], float]] = {
    "min": min,
    "max": max,
    "mean": statistics.mean,
    "median": statistics.median,
    "sum": sum,
    "count": len,
}


@dataclass(frozen=True)
class Figure:
    """One figure of a page: what it says, where it stands in which file, and the block that says it."""

    page: str
    text: str
    file: str
    path: str
    block: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text} = {self.path}"


def figures_of(page: Path) -> Iterator[Figure]:
    """All figures that a page gives the places of."""
    text = page.read_text()
    for comment in COMMENT.finditer(text):
        block = text[: comment.start()].rstrip("\n").rpartition("\n\n")[2]
        for line in comment[2].strip().split("\n"):
            said, _, place = line.partition(" = ")
            file, colon, path = place.partition(".json: ")
            where = (f"{file}.json", path) if colon else (comment[1], place)
            yield Figure(name_of(page), said, *where, block)


FIGURES = [figure for page in PAGES for figure in figures_of(page)]


@cache
def content(file: str | Path) -> Any:
    """A JSON file of the project."""
    return json.loads((ROOT / file).read_text())


def numbers(value: Any, steps: list[str]) -> list[float]:
    """All numbers that steps lead to."""
    if not steps:
        return [float(value)]
    step, *rest = steps
    if step == "*":
        each = value.values() if isinstance(value, dict) else value
        return [number for one in each for number in numbers(one, rest)]
    if isinstance(value, list) and "=" in step:
        key, _, wanted = step.partition("=")
        return [number for one in value if str(one[key]) == wanted for number in numbers(one, rest)]
    return numbers(value[int(step)] if isinstance(value, list) else value[step], rest)


def measured(figure: Figure) -> float:
    """What the file says."""
    path, _, scale_by = figure.path.partition(" * ")
    fold, space, rest = path.partition(" ")
    folded = fold in FOLDS and bool(space)
    found = numbers(content(figure.file), (rest if folded else path).split("/"))
    assert found, f"{figure}: nothing there"
    assert folded or len(found) == 1, f"{figure}: {len(found)} values"
    return (FOLDS[fold](found) if folded else found[0]) * float(scale_by or 1)


def test_there_are_figures() -> None:
    assert len(FIGURES) > 100
    assert {"README.md", "docs/evidence.md"} <= {figure.page for figure in FIGURES}


@pytest.mark.parametrize("figure", FIGURES, ids=str)
def test_a_figure_is_what_its_file_says(figure: Figure) -> None:
    assert figure.text in FIGURE.findall(figure.block), f"{figure}: the block above does not say it"
    digits = len(figure.text.rstrip("%").partition(".")[2])
    times = 100 if figure.text.endswith("%") else 1
    said = float(figure.text.rstrip("%").replace(",", ""))
    assert f"{measured(figure) * times:.{digits}f}" == f"{said:.{digits}f}"


GENERATED = re.compile(r"^<!-- ([\w ]+) -->$.*?^<!-- end of \1 -->$", re.DOTALL | re.MULTILINE)


# Shares that nobody measured: levels of intervals, bars, what was asked for.
CHOSEN = {
    "docs/calibration.md": {"1%"},
    "docs/cluster.md": {"10%"},
    "docs/evidence-noise.md": {"1%", "90%"},
    "docs/lesson.md": {"100%"},
    "docs/models.md": {"18%"},
    "docs/performance.md": {"15,000"},
    "docs/printing.md": {"10%"},
    "docs/search.md": {"90%"},
}
TOLD_BELOW = {"blanks"}  # its shares stand in one table, which is compared as a whole
PARTS = {page.stem for page in PAGES if page.parent.name == "docs"} - TOLD_BELOW
WHOLE = ["README", *(f"docs/{name}" for name in sorted(PARTS))]


@pytest.mark.parametrize("name", WHOLE)
def test_no_share_stands_without_its_file(name: str) -> None:
    """Every percentage and speed outside of generated tables has its place behind it."""
    text = GENERATED.sub("", (ROOT / f"{name}.md").read_text())
    placed: dict[str, set[str]] = {}
    for figure in FIGURES:
        placed.setdefault(figure.block, set()).add(figure.text)
    for block in text.split("\n\n"):
        if block.lstrip().startswith(("<!--", "```")):
            continue
        said = {found for found in FIGURE.findall(block) if found.endswith("%")}
        said |= set(re.findall(r"([\d.,]+) views a second", block))
        said -= {"95%", *CHOSEN.get(f"{name}.md", ())}  # 95%: of every interval
        assert said <= placed.get(block.rstrip("\n"), set()), block


def between(page: str, first: str, last: str) -> str:
    """What stands between two marks of a page."""
    return (ROOT / page).read_text().partition(first)[2].partition(last)[0].strip()


TABLES: list[tuple[str, Any, Callable[[], str]]] = [
    ("docs/evidence.md", evidence, lambda: evidence.page(content("docs/evidence.json"))),
    ("docs/search.md", summary, lambda: summary.page(content("bench/results/search.json")["rows"])),
    ("docs/color.md", transfer, lambda: transfer.page(content("bench/results/transfer.json"))),
    ("docs/performance.md", scale, lambda: scale.page(content("bench/results/scale.json"))),
    (
        "docs/evidence-noise.md",
        noise_proof,
        lambda: noise_page(PROOF, content("docs/evidence-noise/findings.json")),
    ),
    *(
        ("docs/printing.md", proof, lambda proof=proof: print_proof.table(content(proof.result)["masks"]))
        for proof in print_proof.PROOFS.values()
    ),
    (
        "docs/gallery-of-machines.md",
        left_out,
        lambda: left_out.table(content("bench/results/left-out.json")),
    ),
    ("docs/blanks.md", drawing, lambda: drawing.table(content("bench/results/drawing.json"))),
    (
        "docs/large-runs.md",
        mixed_fleet,
        lambda: mixed_fleet.table(content("bench/results/mixed-fleet.json")),
    ),
    *(
        (
            "docs/series.md",
            quality_diversity.marks_of(spec),
            lambda file=file: quality_diversity.table(content(f"bench/results/{file}.json")),
        )
        for spec, file in (("kinds", "quality-diversity"), ("atlas", "atlas"))
    ),
    ("docs/models.md", albedo, lambda: albedo.page(content("bench/results/albedo.json")["rows"])),
    ("docs/models.md", machines, lambda: machines.page(content("bench/results/machines.json"))),
    ("docs/photograph.md", photographs, lambda: photographs.table(photographs.results())),
    (
        "docs/photograph.md",
        virtual_print,
        lambda: virtual_print.page(content("bench/results/virtual-print.json")),
    ),
    ("README.md", first_run, lambda: first_run.table(content("docs/make-evolve.json"), first_run.SHORT)),
    (
        "docs/evidence.md",
        first_run,
        lambda: first_run.table(content("docs/make-evolve.json"), list(first_run.TITLES)),
    ),
]


@pytest.mark.parametrize(("page", "module", "table"), TABLES, ids=lambda v: getattr(v, "__name__", str(v)))
def test_a_table_is_what_its_file_gives(page: str, module: Any, table: Callable[[], str]) -> None:
    assert between(page, module.FIRST_MARK, module.LAST_MARK) == table().strip()


def test_what_was_found_is_of_the_settings_that_were_fixed() -> None:
    assert content("docs/evidence-noise/findings.json")["settings"] == PROOF.digest()


def test_how_many_of_nothing_meet_the_primary_figure() -> None:
    asked = [critic for critic in CRITICS if critic.primary]
    by_mask: dict[tuple[str, str], list[list[bool]]] = {}
    with (ROOT / "docs" / "evidence-noise" / "scores.csv").open() as file:
        for row in csv.DictReader(file):
            seen = [float(row[critic.machine]) > critic.threshold for critic in asked]
            by_mask.setdefault((row["subject"], row["mask"]), []).append(seen)
    found: dict[str, list[bool]] = {}
    for (subject, _), views in by_mask.items():
        shares = [statistics.mean(of_critic) for of_critic in zip(*views, strict=True)]
        found.setdefault(subject.partition("-")[0], []).append(is_seen(shares, asked))
    assert {name: (sum(seen), len(seen)) for name, seen in found.items()} == {
        "noise": (20, 20),
        "plain": (1, 200),
        "pigment": (0, 200),
        "zero": (0, 1),
    }
    page = (ROOT / "docs" / "evidence-noise.md").read_text()
    assert "1 of 200 masks of plain noise is seen by two such critics, 0 of 200 in color" in page


def test_the_table_of_blanks_is_what_its_file_gives() -> None:
    page = (ROOT / "docs" / "blanks.md").read_text().replace("**", "")
    for row in blanks.table(content("bench/results/blanks.json")["cells"]).splitlines()[2:]:
        assert row in page
