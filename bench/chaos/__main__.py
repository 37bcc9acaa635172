"""``python -m bench.chaos``: break everything while a run goes on, and compare its checkpoints byte for byte.

Every row is one whole run of the same small spec and seed, with the real command line in processes of its
own, a real redis-server and a real S3 server, moto's or SeaweedFS. Compared are what HEAD lists at the end:
the parts of the last checkpoint, and the evaluations of all epochs, by the SHA-256 of their bytes. Exit code
1 where a row differs from the first, or what is to be refused is not. A row that this machine cannot play is
skipped, with one line.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.chaos import clocks, deaths, network, standstill, stores, upgrade
from bench.chaos.place import SPEC, Broken, Scenario, Skipped
from coordinator.record.record import Head
from services.errors import DatamaskError

SCENARIOS: dict[str, Scenario] = {
    name: scenario
    for module in (deaths, network, stores, standstill, clocks, upgrade)
    for name, scenario in module.SCENARIOS.items()
}


@dataclass
class Row:
    """What came of one scenario. same: its checkpoint has the first row's bytes."""

    name: str
    seconds: float = 0.0
    done: str = ""
    parts: int = 0
    evaluations: int = 0
    same: bool = False
    skipped: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """For the table."""
        return "skipped" if self.skipped else "yes" if self.same else "NO"


def chaos(names: Sequence[str], generations: int, console: Console) -> list[Row]:
    """Run the scenarios, the reference first; each is compared with it."""
    rows: list[Row] = []
    reference: Head | None = None
    for name in dict.fromkeys(["local", *names]):
        row, head, own = played(SCENARIOS[name], generations, console)
        rows.append(row)
        if head is not None:
            reference = reference or head
            expected = own or reference
            row.parts, row.evaluations = len(head.parts), len(head.evaluations)
            row.same = _compared(head) == _compared(expected)
            if not row.same:
                row.notes += _differences(expected, head)
        words = f"  same bytes: {row.verdict}, {row.seconds:.0f} s; {'; '.join([row.done, *row.notes])}"
        console.print(words, style="dim", markup=False, highlight=False)
    return rows


def played(scenario: Scenario, generations: int, console: Console) -> tuple[Row, Head | None, Head | None]:
    """Play one scenario in a folder of its own.

    :returns: its row, what is committed then (None where it went wrong), and what that is to be compared with
        (None: with the first row).
    """
    row = Row(scenario.title)
    console.print(f"{scenario.title} ...", highlight=False)
    watch = _Alarm(console, scenario.title)
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="datamask-chaos-") as name:
            spec = Path(name, "chaos.toml")
            spec.write_text(SPEC.format(generations=generations))
            with scenario.at(Path(name), spec) as place:
                place.pictures = not scenario.heavy
                began = time.monotonic()
                row.done = scenario.play(place)
                row.seconds = round(time.monotonic() - began, 1)
                head = place.head()
                if not place.searched() or (place.pictures and not head.done):
                    raise Broken("the run is not complete")
                return row, head, place.reference
    except Skipped as reason:
        row.skipped = True
        row.notes.append(f"skipped: {reason}")
    except (Broken, DatamaskError, OSError, subprocess.SubprocessError) as error:
        row.seconds = round(time.monotonic() - began, 1)
        row.notes.append(f"{error}")
    finally:
        watch.cancel()
    return row, None, None


class _Alarm(threading.Timer):
    """Tells a person that a scenario takes long."""

    def __init__(self, console: Console, title: str) -> None:
        super().__init__(120, lambda: console.print(f"  {title}: still at it", style="dim"))
        self.daemon = True
        self.start()


def _compared(head: Head) -> tuple[int, dict[str, str], dict[str, str]]:
    return head.epoch, dict(head.parts), dict(head.evaluations)


def _differences(one: Head, other: Head) -> list[str]:
    lines = []
    if one.epoch != other.epoch:
        lines.append(f"last checkpoint {other.epoch}, not {one.epoch}")
    for ours, theirs in ((one.parts, other.parts), (one.evaluations, other.evaluations)):
        lines += [f"differs: {key}" for key in sorted({*ours, *theirs}) if ours.get(key) != theirs.get(key)]
    return lines


def show(rows: Sequence[Row], console: Console) -> None:
    """Print the one table."""
    table = Table("what happened", "", "seconds", "same bytes", title="chaos", title_justify="left")
    for row in rows:
        table.add_row(row.name, row.done, f"{row.seconds:.0f}", row.verdict)
    console.print(table)
    first = rows[0]
    console.print(
        f"Compared: {first.parts} parts of the last checkpoint and {first.evaluations} evaluation files, as "
        "HEAD lists them, by SHA-256.",
        highlight=False,
    )
    for row in rows:
        for note in row.notes:
            style = "dim" if row.skipped else "red"
            console.print(f"{row.name}: {note}", style=style, markup=False, highlight=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print, compare."""
    parser = argparse.ArgumentParser("python -m bench.chaos", description=__doc__.splitlines()[0])
    usual = [name for name, scenario in SCENARIOS.items() if not scenario.heavy]
    heavy = [name for name in SCENARIOS if name not in usual]
    parser.add_argument("--heavy", action="store_true", help=f"also the slow ones: {','.join(heavy)}")
    parser.add_argument("--only", help=f"scenarios, any of either kind (default: {','.join(usual)})")
    parser.add_argument("--generations", type=int, default=18, help="of each run (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="the same for machines")
    arguments = parser.parse_args(argv)
    names = [*usual, *(heavy if arguments.heavy else ())]
    if arguments.only is not None:
        names = [name.strip() for name in arguments.only.split(",") if name.strip()]
    if unknown := [name for name in names if name not in SCENARIOS]:
        parser.error(f"--only {', '.join(unknown)}: expected some of {', '.join(SCENARIOS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # nothing that was started is left behind
    console = Console(stderr=arguments.json)
    rows = chaos(names, arguments.generations, console)
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        show(rows, console)
    return 0 if all(row.same or row.skipped for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
