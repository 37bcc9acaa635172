"""``make compose-proof``: docker-compose.yml on a real Docker engine, and one table of what held.

Builds the images, starts the whole stack as a project of its own on ports of its own, asks for what
docs/large-runs.md promises, breaks it while a run goes on, pulls the run and compares it with one that this
machine makes alone. The table goes into docs/large-runs.md. What cannot be pulled is stood in for, and
named.

Runs on the engine that answers. Where none does, root starts Debian's own (apt install docker.io tini) for
as long as the proof takes. ``--mounted`` builds nothing: containers see this machine's own programs,
read-only. ``--small`` is that without what breaks things and without the page; where no engine starts it says
so in one line and ends well.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.table import Table

from bench.compose_proof import images, machine, steps
from bench.compose_proof.engine import Engine, Failed, NoEngine, an_engine, compose_command
from bench.compose_proof.images import Images
from bench.compose_proof.stack import PUBLISHED, Stack, free_ports
from bench.marks import write_between
from bench.support import ROOT

PAGE = ROOT / "docs" / "large-runs.md"
FIRST_MARK, LAST_MARK = "<!-- compose proof -->", "<!-- end of compose proof -->"
SPEC = """
name = "proof"
seed = 7
[search]
islands = 2
population = 4
generations = {generations}
batch = 2
optimizers = ["sep-cma", "genetic"]
[migration]
every = 1
count = 1
[views]
count = 2
[[objective]]
kind = "detect"
model = "dlib-hog"
[elites]
count = 1
candidates = 1
ranking_views = 2
[verify]
views = 1
"""
GENERATIONS, SMALL_GENERATIONS = 60, 3


class TimeUp(RuntimeError):
    """The proof has had the time that it was given."""


@dataclass
class Row:
    """One promise. held: None where the proof did not get so far."""

    name: str
    seen: str = ""
    held: bool | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 where every row holds, 1 where one does not, 2 without an engine."""
    parser = argparse.ArgumentParser(
        "python -m bench.compose_proof", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--mounted", action="store_true", help="no images: this machine's own programs, mounted"
    )
    parser.add_argument("--small", action="store_true", help="the same, nothing broken, no page: two minutes")
    parser.add_argument("--project", default="datamask-proof", help="compose project (default: %(default)s)")
    parser.add_argument(
        "--ports", type=int, nargs=len(PUBLISHED), metavar=tuple(name.upper() for name in PUBLISHED),
        help="on loopback (default: free ones)",
    )  # fmt: skip
    parser.add_argument("--generations", type=int, help=f"of the run (default: {GENERATIONS})")
    parser.add_argument(
        "--engine", type=Path, metavar="FOLDER", help="of an engine started here, kept for a next time"
    )
    parser.add_argument(
        "--within", type=int, default=0, metavar="SECONDS", help="leave it after so long, and say so"
    )
    wanted = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # nothing that was started is left behind
    signal.signal(signal.SIGALRM, time_up)
    signal.alarm(wanted.within)
    console = Console(soft_wrap=True, highlight=False)
    with tempfile.TemporaryDirectory(prefix="datamask-compose-", ignore_cleanup_errors=True) as folder:
        try:
            with an_engine(wanted.engine or Path(folder) / "engine") as engine:
                rows, words = proof(engine, wanted, Path(folder), console)
        except NoEngine as error:
            console.print(f"compose proof: not tried here: {error}", markup=False)
            return 0 if wanted.small else 2
        except Failed as error:
            console.print(f"compose proof: {error}", markup=False)
            return 1
        except TimeUp:
            console.print(f"compose proof: left after {wanted.within} s; nothing had failed", markup=False)
            return 0 if wanted.small else 2
    show(rows, words, console)
    if not wanted.small:
        write_between(PAGE, FIRST_MARK, LAST_MARK, table(rows, words) + "\n")
    return 0 if all(row.held for row in rows) else 1


def time_up(number: int, frame: FrameType | None) -> None:
    """:raises TimeUp: when the alarm rings."""
    raise TimeUp


def proof(
    engine: Engine, wanted: argparse.Namespace, folder: Path, console: Console
) -> tuple[list[Row], list[str]]:
    """The rows, and what stands above them: engine and stand-ins."""
    command = compose_command(engine.environment)
    ports = dict(zip(PUBLISHED, wanted.ports or free_ports(len(PUBLISHED)), strict=True))
    generations = wanted.generations or (SMALL_GENERATIONS if wanted.small else GENERATIONS)
    stack = Stack(engine, command, wanted.project, folder / "stack", ports)
    stack.prepare(SPEC.format(generations=generations))
    os.environ |= stack.bucket  # this process, too, reads the record
    if stack.must("ps", "--all", "--quiet").strip():
        raise NoEngine(f"there is a project {wanted.project}; take it down, or give another --project")
    say: Callable[[str], None] = partial(console.print, style="dim", markup=False)
    built, changes = of_images(engine, stack, wanted, say)
    for service in built.absent:
        changes.setdefault(service, {})["profiles"] = ["absent"]
        stack.ports = {name: port for name, port in stack.ports.items() if name != service}
    for service, image in built.of.items():
        changes.setdefault(service, {})["image"] = image
    stack.override = {"services": changes}
    stack.prepare(SPEC.format(generations=generations))
    rows = [Row("built", built_words(built), True)] if built.sizes else []
    try:
        rows += held(plan(stack, folder, wanted.small), say)
    finally:
        signal.alarm(0)
        stack.down()
    version = stack.must("version", "--short").strip()
    whose = "Debian's package, started by the command" if engine.ours else "the one that answered"
    words = [f"Docker {engine.version} ({whose}), Compose {version}, {platform.platform(terse=True)}."]
    words.append(f"A run of {generations} generations of 2 islands.")
    words.append("Stood in for: " + "; ".join(built.stand_ins or ["nothing"]) + ".")
    return rows, words


def of_images(
    engine: Engine, stack: Stack, wanted: argparse.Namespace, say: Callable[[str], None]
) -> tuple[Images, dict[str, dict[str, object]]]:
    """Images for every service, and what must be changed of it to use them."""
    if wanted.small or wanted.mounted:
        made, changes = machine.ready(engine, stack.model(), wanted.project)
        return made, dict(changes)
    return images.ready(engine, stack.model(), wanted.project, say), {}


def built_words(built: Images) -> str:
    """Images and their sizes."""
    sizes = ", ".join(f"{name} {size / 1e9:.2f} GB" for name, size in built.sizes.items())
    how = "upon an earlier build's layers" if built.again else "with all that was fetched"
    return f"{sizes}; {built.seconds:.0f} s {how}"


def plan(stack: Stack, folder: Path, small: bool) -> list[tuple[str, Callable[[], str]]]:
    """The steps in their order, each with the name of its row."""
    began = time.time()
    first: list[tuple[str, Callable[[], str]]] = [
        ("up", partial(up, stack)),
        ("healthy", partial(steps.healthy, stack)),
        ("refused without passwords", partial(steps.refused, stack)),
        ("locked down", partial(steps.locked, stack)),
    ]
    broken: list[tuple[str, Callable[[], str]]] = [
        ("scaled", partial(steps.scaled, stack)),
        ("a worker killed", partial(steps.worker_killed, stack)),
        ("Redis emptied", partial(steps.redis_emptied, stack)),
        ("stopped and resumed", partial(steps.resumed, stack)),
        ("S3 killed", partial(steps.store_killed, stack)),
        ("coordinator killed", partial(steps.coordinator_killed, stack)),
        ("healthy again", partial(steps.healthy, stack)),
    ]
    last: list[tuple[str, Callable[[], str]]] = [
        ("run done", partial(steps.done, stack)),
        ("dashboard", partial(steps.dashboard, stack, began)),
        ("pulled", partial(steps.pulled, stack, folder / "pulled")),
        ("same bytes as local", partial(steps.same, stack.folder / "specs" / "proof.toml", folder)),
    ]
    return [*first, *([] if small else broken), *last]


def up(stack: Stack) -> str:
    """Start everything."""
    began = time.monotonic()
    stack.up()
    return f"`up --detach` in {time.monotonic() - began:.0f} s"


def held(wanted: Sequence[tuple[str, Callable[[], str]]], say: Callable[[str], None]) -> list[Row]:
    """Take the steps; after one that fails no other is taken."""
    rows = [Row(name) for name, _ in wanted]
    for row, (_, step) in zip(rows, wanted, strict=True):
        began = time.monotonic()
        try:
            row.seen, row.held = step(), True
        except Failed as error:
            row.seen, row.held = f"{error}", False
        say(f"{row.name}: {row.seen} ({time.monotonic() - began:.0f} s)")
        if not row.held:
            break
    return rows


def show(rows: Sequence[Row], words: Sequence[str], console: Console) -> None:
    """Print the one table."""
    found = Table("", "what was seen", "", title="compose proof", title_justify="left")
    for row in rows:
        found.add_row(row.name, row.seen, answer(row))
    Console(width=max(120, console.width)).print(found)
    for line in words:
        console.print(line, markup=False)


def table(rows: Sequence[Row], words: Sequence[str]) -> str:
    """The same for docs/large-runs.md."""
    lines = [" ".join(words), "", "| | what was seen | |", "|---|---|---|"]
    for row in rows:
        seen = " ".join(row.seen.split()).replace("|", "\\|")
        lines.append(f"| {row.name} | {seen} | {answer(row)} |")
    return "\n".join(lines)


def answer(row: Row) -> str:
    """Whether it held, in a word."""
    return {True: "yes", False: "NO", None: "not reached"}[row.held]


if __name__ == "__main__":
    sys.exit(main())
