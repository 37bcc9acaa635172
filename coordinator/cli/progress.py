"""What a person sees while a run goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from coordinator.cli.layout import fitting
from coordinator.queue.executor import Finished
from coordinator.search.evolution import Evolution
from coordinator.search.island import Generation
from coordinator.spec.spec import Spec
from services.recognition.fitness import Objective
from services.wire.mask import Mask

MOST_ROWS = 16  # islands shown one by one


class Progress:
    """A live table of islands over a bar of generations; plain lines where there is no terminal."""

    def __init__(self, console: Console, spec: Spec, objectives: Sequence[Objective]) -> None:
        self._console, self._spec, self._objectives = console, spec, objectives
        self._bars = Bars(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("generations · {task.fields[speed]:.0f} views/s ·"),
            TimeElapsedColumn(),
            TextColumn("· left"),
            TimeRemainingColumn(),
            console=console,
        )
        total = spec.search.islands * spec.search.generations
        self._task = self._bars.add_task(spec.name, total=total, speed=0.0)
        self._latest: dict[int, Generation] = {}
        self._evolution: Evolution | None = None
        # Drawn as often as anybody can look, not as often as a generation ends.
        self._live = Live(console=console, get_renderable=self.view, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def begin(self, evolution: Evolution) -> None:
        """The run stands where its record stands; it goes on from here."""
        self._evolution = evolution
        self._started = time.monotonic()
        done = evolution.generations_committed
        self._bars.update(self._task, completed=done)
        if done:
            self._console.print(f"going on after {done} generations of {self._bars.tasks[0].total:.0f}")

    def batch_done(self, finished: Finished, genomes: int) -> None:
        """Update the speed."""
        if self._evolution is not None:
            speed = self._evolution.scored_views / max(time.monotonic() - self._started, 1e-9)
            self._bars.update(self._task, speed=speed)

    def generation_done(self, generation: Generation) -> None:
        """One more generation of one island."""
        self._latest[generation.island] = generation
        self._bars.advance(self._task)

    def epoch_done(self, epoch: int, elites: Sequence[Mask]) -> None:
        """A plain line for logs, where there is no terminal to draw on."""
        if self._console.is_terminal or not elites or self._evolution is None:
            return
        best = elites[0]
        values = ", ".join(f"{o.label} {v:+.2f}" for o, v in zip(self._objectives, best.values, strict=True))
        speed = self._bars.tasks[0].fields["speed"]
        self._console.print(
            f"epoch {epoch + 1}/{self._evolution.epochs}  best {best.fitness:+.2f}  ({values})  "
            f"{speed:.0f} views/s",
            highlight=False,
            soft_wrap=True,
        )

    def view(self) -> Group:
        """What stands on the terminal now."""
        header = ["island", "generation", "best", "median", *(o.label for o in self._objectives)]
        rows: list[list[str | Text]] = []
        for island, generation in sorted(self._latest.items())[:MOST_ROWS]:
            result = generation.result
            best = int(np.argmax(result.fitness))
            known = result.fitness[np.isfinite(result.fitness)]
            rows.append(
                [
                    f"{island}",
                    f"{generation.number + 1}/{self._spec.search.generations}",
                    _signed(float(result.fitness[best])),
                    _signed(float(np.median(known)) if len(known) else np.nan),
                    *(_signed(float(v)) for v in result.values[best]),
                ]
            )
        if len(self._latest) > MOST_ROWS:
            rows.append(["…", f"{len(self._latest) - MOST_ROWS} more", *[""] * (len(header) - 2)])
        for columns in (len(header), 4):  # where not all fit: without the objectives
            shown = [row[:columns] for row in rows]
            table = fitting(self._console, header[:columns], shown, left=(), empty=_borderless)
            if table is not None:
                return Group(table, self._bars)
        return Group(self._bars)


def _borderless() -> Table:
    return Table(box=None, padding=(0, 2, 0, 0))


def _signed(value: float) -> Text:
    if not np.isfinite(value):  # not scored
        return Text("-")
    return Text(f"{value:+.2f}", "green" if value > 0 else "")


@contextmanager
def plain_steps(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A bar for the steps after evolution: called with (what, done, of)."""
    bars = Bars(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,  # rich would leave an empty line in a log
    )
    with bars:
        tasks = {}

        def step(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=of)
            bars.update(tasks[what], completed=done, total=of)

        yield step
