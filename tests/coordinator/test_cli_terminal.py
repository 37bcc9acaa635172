"""Characters and widths: what the commands print where the terminal is not the usual one."""

from __future__ import annotations

import codecs
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from coordinator.cli import COMMANDS, app
from coordinator.cli.layout import fitting, print_table
from coordinator.cli.progress import MOST_ROWS, Progress
from coordinator.cli.terminal import forget_sizes, plain
from coordinator.record.record import Record
from coordinator.search.island import Generation
from coordinator.spec.spec import parse_spec
from services.recognition.fitness import Fitness, Objective
from services.storage.open import open_store
from services.wire.plan import Scores

NAMES = [command.__name__.rstrip("_") for command in COMMANDS]
# Many commands in one process: stdout and exit code of each.
EACH = """
import json, os, sys
import coordinator.cli as cli
for words in json.loads(sys.argv[1]):
    sys.argv = ["datamask", *(os.fsdecode(word.encode()) for word in words)]
    try:
        cli.main()
    except SystemExit as end:
        print(f"-- exit code {end.code}", flush=True)
"""
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def each(
    *commands: Sequence[str], encoding: str = "utf-8", **environment: str
) -> tuple[list[str], list[int]]:
    """What commands print on both streams, and their exit codes."""
    done = subprocess.run(
        [sys.executable, "-c", EACH, json.dumps(commands)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=True,
        env={**os.environ, **environment},
    )
    parts = re.split(r"-- exit code (\d+)\n", done.stdout.decode(encoding, "surrogateescape"))
    return parts[0:-1:2], [int(code) for code in parts[1::2]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without a generation, in a folder whose name is not ASCII."""
    folder = tmp_path_factory.mktemp("runs") / "Köln 日本" / "run-1"
    record = Record(open_store(folder, write=True))
    spec = parse_spec({"name": "a", "objective": [{"kind": "detect", "model": "dlib-hog"}]}, "test")
    record.write_spec(spec.table(), spec.toml())
    return folder


@pytest.mark.parametrize(
    ("encoding", "environment"),
    [
        ("ascii", {"PYTHONIOENCODING": "ascii"}),
        ("latin-1", {"PYTHONIOENCODING": "latin-1"}),
        ("ascii", C_LOCALE),
    ],
)
def test_every_command_prints_in_any_encoding(encoding: str, environment: dict[str, str], run: Path) -> None:
    pages = [["--help"], *([name, "--help"] for name in NAMES)]
    others = [["show", str(run)], ["evolve", str(run / "keiné.toml")], ["models"], ["models", "--json"]]
    texts, codes = each(*pages, *others, encoding=encoding, **environment)
    show, evolve, models, in_json = texts[len(pages) :]
    assert codes == [0] * (len(pages) + 1) + [2, 0, 0]
    assert "redis://127.0.0.1:6379/0" in "".join(texts)
    assert "run-1" in show
    assert evolve.count("\n") == 1
    assert "viola-jones detect" in models
    # JSON loses nothing.
    (source,) = (entry["source"] for entry in json.loads(in_json) if entry["name"] == "lbp")
    assert "Pietikäinen" in source
    assert in_json.isascii()


def test_json_is_readable_where_it_can_be() -> None:
    (text,), _ = each(["models", "--json"], PYTHONIOENCODING="utf-8")
    assert "Pietikäinen" in text


def test_what_an_encoding_lacks_comes_as_near_as_it_can() -> None:
    def written(text: str, encoding: str) -> bytes:
        out = io.BytesIO()
        stream = io.TextIOWrapper(out, encoding, errors="datamask")
        stream.write(text)
        stream.flush()
        return out.getvalue()

    codecs.register_error("datamask", plain)
    assert written("Pietikäinen · 3 cm³ …", "ascii") == b"Pietikainen - 3 cm3 ."
    assert written("Pietikäinen · 3 cm³ …", "latin-1") == "Pietikäinen · 3 cm³ .".encode("latin-1")
    assert written("½ € 日", "ascii") == b"? ? ?"
    # A file's name that is no text comes out as it went in.
    assert written(os.fsdecode(b"a\xff.toml"), "utf-8") == b"a\xff.toml"
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("utf-8", "datamask")


@pytest.mark.parametrize("told", ["0", "1", "39", "-3", "", "abc", "²", "1001", "9" * 5000, "8e1"])
def test_a_size_that_no_terminal_has_is_not_believed(told: str) -> None:
    environment = {"COLUMNS": told, "LINES": "0", "HOME": "/root"}
    forget_sizes(environment)
    assert environment == {"HOME": "/root"}
    environment = {"COLUMNS": "100", "LINES": "25"}
    forget_sizes(environment)
    assert environment == {"COLUMNS": "100", "LINES": "25"}


def test_the_commands_print_normally_whatever_columns_says() -> None:
    (usual,), _ = each(["models"], COLUMNS="80")
    assert "viola-jones" in usual
    for told in ("0", "99999999"):
        assert each(["models"], COLUMNS=told, LINES=told) == ([usual], [0])


# -- help


PAGES: Any = typer.main.get_command(app)


@pytest.mark.parametrize("columns", [80, 60])
@pytest.mark.parametrize("name", NAMES)
def test_help_names_everything_in_full(name: str, columns: int) -> None:
    command = PAGES.commands[name]
    text = command.get_help(command.context_class(command, info_name=name, terminal_width=columns))
    assert columns < 80 or max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    words = set(re.sub(r"-\n +", "-", text).split())  # at a hyphen a line may end
    for parameter in command.params:
        for option in (*parameter.opts, *parameter.secondary_opts):
            assert option in {word.rstrip(",") for word in words}
        assert set((parameter.help or "").split()) <= words, parameter.name
        if getattr(parameter, "envvar", None):
            assert parameter.envvar in re.sub(r"[;\]]", " ", text).split()
        if isinstance(parameter.default, Enum):
            assert {choice.value for choice in type(parameter.default)} <= set(re.split(r"[\s<>|]", text))


def test_the_list_of_commands_says_in_full_what_each_does() -> None:
    text = CliRunner().invoke(app, ["--help"]).stdout
    joined = " ".join(text.split())
    assert "..." not in text.partition("Commands:")[2]
    for command in COMMANDS:
        purpose = " ".join((command.__doc__ or "").strip().partition("\n\n")[0].split())
        assert f"{command.__name__.rstrip('_')} {purpose}" in joined


# -- tables

HEADER = ["mask", "fitness", "dlib-hog", "dlib-mmod", "consistent:dlib-resnet", "audit: HOG sees it"]
WORD = st.from_regex(r"[a-z]{1,9}([-:/_ ][a-z]{1,9}){0,3}(#2)?", fullmatch=True)
FIGURE = st.sampled_from(["+0.12", "-", "98% (94-99)", "-12.00", "0.41 to 0.45", ""])


def printed(columns: int, header: list[str], rows: list[list[str]]) -> str:
    out = io.StringIO()
    print_table(Console(file=out, width=columns, force_terminal=False), "Elites", header, rows)
    return out.getvalue()


def in_columns(text: str) -> list[list[str]]:
    """The pieces of each header, from the lines of a table."""
    head = [line.strip("┃").split("┃") for line in text.splitlines() if line.startswith("┃")]
    return [[piece.strip() for piece in column if piece.strip()] for column in zip(*head, strict=True)]


def test_a_table_breaks_no_name_on_eighty_columns() -> None:
    rows = [["i00-g0034-000", "+0.50", "+0.12", "-0.25", "+0.12", "98% (94-99)"]] * 3
    assert in_columns(printed(140, HEADER, rows)) == [[name] for name in HEADER]
    usual, less = printed(80, HEADER, rows), printed(72, HEADER, rows)
    assert ["dlib-mmod"] in in_columns(usual)
    assert ["consistent:", "dlib-resnet"] in in_columns(usual)
    assert ["dlib-", "mmod"] in in_columns(less)
    assert max(map(len, usual.splitlines())) <= 80
    assert max(map(len, less.splitlines())) <= 72
    narrow = printed(40, HEADER, rows)
    assert "┃" not in narrow
    assert narrow.splitlines()[1] == "i00-g0034-000"
    assert "  consistent:dlib-resnet: +0.12" in narrow.splitlines()


@given(st.data(), st.integers(20, 160), st.integers(1, 9))
def test_no_table_breaks_a_name(data: st.DataObject, columns: int, count: int) -> None:
    header = data.draw(st.lists(WORD, min_size=count, max_size=count))
    row = st.tuples(WORD, *[FIGURE] * (count - 1)).map(list)
    rows = data.draw(st.lists(row, min_size=1, max_size=4))
    text = printed(columns, header, rows)
    if "┃" not in text:
        assert all(" ".join(r[0].split()) in text.splitlines() for r in rows)
        return
    assert max(map(len, text.splitlines())) <= max(columns, len("Elites"))
    for name, pieces in zip(header, in_columns(text), strict=True):
        assert "".join(pieces).replace(" ", "") == name.replace(" ", "")
        for piece in pieces[:-1]:
            at = name.replace(" ", "").index("".join(pieces).replace(" ", ""))
            assert at == 0
            assert piece[-1] in "-:/_" or f"{piece} " in name
    cells = "".join(text.split()).replace("│", "")
    assert all(figure.replace(" ", "") in cells for r in rows for figure in r[1:] if " " not in figure)


def test_prose_wraps_between_words_and_folds_a_path_that_no_column_holds() -> None:
    console = Console(file=io.StringIO(), width=60)
    rows = [["store", "ok", "writable: /" + "a" * 90]]
    assert fitting(console, ["part", "state", "found"], rows) is None
    table = fitting(console, ["part", "state", "found"], rows, prose=(2,))
    with console.capture() as capture:
        console.print(table)
    assert capture.get().count("a") > 90
    assert "…" not in capture.get()


@pytest.mark.parametrize(("columns", "objectives"), [(120, 6), (40, 0)])
def test_progress_shows_the_objectives_where_there_is_room(columns: int, objectives: int) -> None:
    console = Console(file=io.StringIO(), width=columns, force_terminal=True, color_system=None)
    kinds = ["dlib-hog", "dlib-mmod", "viola-jones"]
    all_ = [Objective("detect", name, 1.0, 0.0, number=n) for name in kinds for n in (1, 2)]
    spec = parse_spec({"name": "a", "objective": [{"kind": "detect", "model": "dlib-hog"}]}, "test")
    progress = Progress(console, spec, all_)
    values = np.full((1, 6), 0.5, np.float32)
    result = Fitness(np.ones(1, np.float32), values, np.zeros((1, 6, 1), np.float32))
    scores = Scores(*[np.zeros((0, 0))] * 5)
    for island in range(MOST_ROWS + 3):
        progress.generation_done(Generation(island, 0, np.zeros((0, 0)), (), scores, result))
    with console.capture() as capture:
        console.print(progress.view())
    text = capture.get()
    assert text.count("+0.50") == objectives * MOST_ROWS
    assert text.count("+1.00") == 2 * MOST_ROWS
    assert "3 more" in text
    assert "island" in text
    assert max(map(len, text.splitlines())) <= columns


@pytest.mark.parametrize(
    "words",
    [
        ["breed", "run", "a", "--veto-distance", "nan"],
        ["worker", "--idle-s", "nan"],
        ["worker", "--grace-s", "nan"],
        ["print", "run", "--voxel-mm", "nan"],
        ["look", "a.png", "--every", "nan"],
    ],
)
def test_nan_lies_in_no_range(words: list[str]) -> None:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert words[-2] in done.output
