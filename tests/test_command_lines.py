"""Command lines that people read can be given as they stand: options, ids, targets, and what they do."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import coordinator.cli
from coordinator.spec.spec import Spec
from coordinator.spec.spec_file import load_spec
from services.printing.catalog import make_order
from services.recognition.catalog import model_info
from tests.support.documents import PAGES, ROOT, Line, command_lines, inline, name_of

COMMANDS: dict[str, Any] = typer.main.get_command(coordinator.cli.app).commands  # type: ignore[attr-defined]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
LINES = [line for page in PAGES for line in command_lines(page)]
HELP = [
    Line(f"datamask {command.__name__.rstrip('_')} --help", " ".join(example.split()))
    for command in coordinator.cli.COMMANDS
    for example in re.findall(r"Example: (datamask .*?)(?:\n\n|$)", inspect.getdoc(command) or "", re.DOTALL)
]
OURS = [line for line in [*LINES, *HELP] if line.words.startswith("datamask")]
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
MASK = re.compile(r"\bi(\d\d)-g(\d{4})-(\d{3})\b")
RUN = re.compile(r"^runs/(\w+)-\d{3}$")
ORDER = ("process", "width_mm", "size", "wall_mm", "mount", "bed_mm", "edition")


def options_of(name: str) -> set[str]:
    """All options of a subcommand."""
    options = {text for p in COMMANDS[name].params for text in (*p.opts, *p.secondary_opts)}
    return options | {"--help"}


EVERY_OPTION = set().union(*map(options_of, COMMANDS))


def words_of(line: Line) -> list[str]:
    """The words behind ``datamask``."""
    return shlex.split(line.words)[1:]


def test_there_are_lines_to_look_at() -> None:
    assert len(OURS) > 40
    assert {line.words.split()[1] for line in OURS if len(line.words.split()) > 1} == set(COMMANDS)
    assert len(HELP) > 10


@pytest.mark.parametrize("line", OURS, ids=str)
def test_datamask_takes_it(line: Line) -> None:
    """Options, values and arguments are parsed; specs, models and what a printer is asked for are there."""
    name, *words = words_of(line)
    assert name in COMMANDS
    assert set(OPTION.findall(line.words)) <= options_of(name)
    assert set(OPTION.findall(line.said)) <= EVERY_OPTION
    if any("[" in word for word in words):
        return  # says what may be given
    asked = COMMANDS[name].make_context(name, words).params
    if name == "evolve":
        spec = ROOT / str(asked["spec"]).replace("/specs/", "examples/")
        if spec.parent == ROOT / "examples":
            load_spec(spec, overrides=asked["set_"] or [])
    if name == "print":
        order = make_order(*(asked[key] for key in ORDER))
        for purpose in re.findall("to (hang|wear)", line.said):
            assert order.mount == {"hang": "wall", "wear": "wear"}[purpose]
    models = [asked.get("model"), asked.get("critic"), asked.get("get")]
    for model in " ".join(str(m) for m in models if m).split():
        model = model.strip("[]',")
        if model not in ("all", "MODEL", "NAME") and ":" not in model:
            model_info(model)


@pytest.mark.parametrize("line", [line for line in OURS if MASK.search(line.words)], ids=str)
def test_its_masks_are_ones_that_such_a_run_has(line: Line) -> None:
    spec = examples_spec(line)
    for island, generation, place in MASK.findall(line.words):
        assert int(island) < spec.search.islands
        assert int(generation) < spec.search.generations
        assert int(place) < spec.search.population


def examples_spec(line: Line) -> Spec:
    """The spec in examples/ that a line's run is of."""
    (name,) = {found[1] for word in words_of(line) if (found := RUN.match(word))}
    return load_spec(ROOT / "examples" / f"{name}.toml")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_targets_and_modules_are_there(page: Path) -> None:
    """``make X``, ``python -m X --option`` and ``datamask X --option``, in blocks and in sentences."""
    lines = [line.words for line in command_lines(page)] + inline(page)
    for words in (line.split() for line in lines):
        match words:
            case ["make", *rest]:
                assert {word for word in rest if re.match("[a-z]", word)} <= TARGETS, words
            case ["python", "-m", module, *rest]:
                rest = rest[: rest.index("datamask")] if "datamask" in rest else rest
                assert set(OPTION.findall(" ".join(rest))) <= options_in(module), words
            case ["datamask", name, *rest] if name in COMMANDS:
                assert set(OPTION.findall(" ".join(rest))) <= options_of(name), words
            case ["datamask", name, *_]:
                assert name in ("...", "--help"), words


def options_in(module: str) -> set[str]:
    """The options that a module's source names."""
    path = ROOT / module.replace(".", "/")
    files = sorted(path.glob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    assert not module.startswith(("bench", "services")) or files[0].is_file(), module
    return set(OPTION.findall("".join(file.read_text() for file in files if file.is_file())))


TINY = {
    "evolve": "--no-pictures --quiet --set search.generations=2 --set search.population=8 "
    "--set search.islands=2 --set views.count=2 --set elites.count=3 --set elites.ranking_views=2",
    "breed": "--no-pictures --quiet --set search.generations=1 --set search.population=4 "
    "--set search.islands=1",
    "show": "",
    "exhibit": "--film-px 96 --lineup-width 600",
    "verify": "--views 2 --gallery 0",
    "gaze": "--views 1",
    "compare": "",
    "figures": "--format svg",
    "cite": "",
    "mesh": "",
    "pull": "",
    "print": "--voxel-mm 3",
    "models": "",
    "doctor": "",
}
# Photographs, servers, answers and money that a test does not have; a second solid that only hangs otherwise;
# packs, of which tests/worker/test_exhibit.py makes one.
ELSEWHERE = {
    "--target",
    "--photos",
    "--gallery-photos",
    "--import",
    "--aws",
    "--executor",
    "--broker",
    "--get",
}
ELSEWHERE |= {"--mount", "--pack"}


def runnable(line: Line) -> bool:
    """Whether a line needs nothing but the runs that are evolved here."""
    name, *words = words_of(line)
    if name not in TINY or ELSEWHERE & set(words) or any("[" in w or w.startswith("s3:") for w in words):
        return False
    if name in ("models", "doctor"):
        return True
    if name == "evolve":
        return words[0].startswith("examples/")
    return bool(RUN.match(words[0])) or words[0] == "RUN"


def tiny(line: Line, store: Path) -> list[str]:
    """The line's words with a tiny budget; masks and open places are those of a run that is there."""
    name, *words = words_of(line)
    where = words[0].replace("RUN", "runs/noise-001") if words else ""
    if where.startswith("runs/"):
        kept = sorted(path.name for path in (store / where / "masks").iterdir())
        named = dict.fromkeys(MASK.findall(line.words)) if MASK.search(line.words) else {}
        stands = {f"i{i}-g{g}-{k}": kept[n % len(kept)] for n, (i, g, k) in enumerate(named)}
        words = [stands.get(word, word) for word in words]
        words[0] = where
        ids, open_places = iter(kept), {"RUN": "runs/archetype-001", "DIR": "copy", "NAME": "yunet"}
        words = [next(ids) if word == "ID" else open_places.get(word, word) for word in words]
        words = [word for word in words if word != "ID..."]
    return [name, *words, *shlex.split(TINY[name])]


# What somebody reads who has just come; whatever stands elsewhere is parsed.
WALKED = ("README.md", "docs/commands.md", "docs/first-mask.md", "docs/gallery.md", "docs/lesson.md")


def walked() -> list[Line]:
    """Their lines, and those that print in the colors of a gaze map, which must have been made before."""
    lines = [line for line in LINES if line.words.startswith("datamask") and runnable(line)]
    colored = [line for line in lines if line.page == "docs/printing.md" and "gaze" in line.words]
    return [line for line in lines if line.page in WALKED] + colored


@pytest.mark.slow  # evolves small runs, and shows, prints, verifies them
def test_whole_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order in which pages have them, each once."""
    monkeypatch.setenv("DATAMASK_STORE", "runs")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    names = [found[1] for line in walked() for word in line.words.split() if (found := RUN.match(word))]
    needed = dict.fromkeys(["noise", *names])
    said = {name: give(evolve_tiny(name)) for name in needed}
    given = {tuple(evolve_tiny(name)) for name in needed}
    for line in walked():
        words = tiny(line, tmp_path)
        if tuple(words) not in given:
            given.add(tuple(words))
            said[str(line)] = give(words)
    assert len(given) > 20
    assert {line: words for line, words in said.items() if words} == {}


def evolve_tiny(name: str) -> list[str]:
    """Words that evolve a small run of examples/NAME.toml."""
    return ["evolve", f"examples/{name}.toml", *shlex.split(TINY["evolve"])]


def give(words: list[str]) -> str:
    """Give a command line to datamask in this process; what is wrong, or nothing."""
    done = CliRunner().invoke(coordinator.cli.app, words)
    return "" if done.exit_code == 0 else f"{done.exception!r} {done.output[-300:]}"
