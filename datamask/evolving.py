"""Evolving from Python: a run as an iterator over its generations, that can be left and taken up again."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from coordinator.queue.executor import Finished
from coordinator.record.record import Record
from coordinator.run import Opened, evolve_steps, finish_run, open_run, sweep
from coordinator.search.island import Generation as OfIsland
from coordinator.search.island import mask_id
from coordinator.spec.spec import Spec
from coordinator.spec.spec_file import filled_spec, load_spec
from coordinator.start import check_coordinators, make_executor, make_ready, make_shards
from datamask.run import Run
from services.faults import as_one_line
from services.wire.mask import Mask as Recorded


@dataclass(frozen=True)
class Generation:
    """What became of one generation, on all islands.

    :param number: from 0, as the evaluations have it. of: how many generations the run has.
    :param best: the id of its fittest mask; empty where no mask could be scored. fitness: of that mask, -inf
        where there is none. values: that mask's margin for each objective.
    :param islands: the best fitness on each island, -inf where no mask was scored.
    :param committed: generations that a checkpoint holds: what a run that is left now goes on from.
    """

    number: int
    of: int
    best: str
    fitness: float
    values: Mapping[str, float]
    islands: tuple[float, ...]
    committed: int


def evolve(
    spec: str | Path | Mapping[str, Any],
    *,
    store: str | Path = "runs",
    run: str | None = None,
    seed: int | None = None,
    resume: bool = False,
    pictures: bool = True,
    executor: str = "local",
    broker: str | None = None,
    coordinators: int = 1,
) -> Evolving:
    """Start a run, or go on with one; it evolves as the result is iterated over.

    :param spec: the path of a TOML file, or its tables as a mapping; pictures that it names lie beside the
        file, or in this folder.
    :param store: where runs are kept: a folder, or `s3://bucket/prefix`. run: the run's name in it; None: the
        spec's name and a free number.
    :param seed: replaces the spec's.
    :param resume: go on where the run stands (start it, where there is none), to the same checkpoints.
    :param pictures: whether the last generation is followed by audits, pictures, film and page; without
        them the run stays open, and they are made when it is resumed with them.
    :param executor: `local` scores in this process, `celery` on workers that listen to `broker`.
    :param coordinators: processes that share the islands, for more workers than one can feed.
    :raises BadInput: for a spec, a name or a place that cannot be used; :raises Unavailable: where weights,
        the place or the broker are missing. Nothing has been written then.
    """
    if isinstance(spec, Mapping):
        asked = filled_spec({"name": "run", **spec}, Path("spec"), seed=seed)
    else:
        asked = load_spec(Path(spec), seed=seed)
    check_coordinators(coordinators, executor, asked)
    place, name = make_ready(str(store), run, asked, resume, executor, broker)
    opened = open_run(asked, Record(place.sub(name)), resume=resume)
    return Evolving(opened, str(store), name, pictures, executor, broker, coordinators)


class Evolving(Iterator[Generation]):
    """A run on its way: each step is one more generation of all islands.

    Whoever leaves the loop may take it up again with the same object, or after :meth:`close` with
    ``evolve(..., resume=True)``: then it goes on from the last checkpoint.
    """

    def __init__(
        self,
        opened: Opened,
        store: str,
        name: str,
        pictures: bool,
        executor: str,
        broker: str | None,
        coordinators: int,
    ) -> None:
        self._opened, self._pictures = opened, pictures
        self._steps = self._generations(store, name, executor, broker, coordinators)

    @property
    def run(self) -> Run:
        """The run, as far as it is committed."""
        return Run(self._opened.record)

    @property
    def spec(self) -> Spec:
        """What was asked, with every default."""
        return self._opened.spec

    def __next__(self) -> Generation:
        return next(self._steps)

    def finish(self) -> Run:
        """Evolve to the end without looking, and give the run."""
        for _ in self:
            pass
        return self.run

    def close(self) -> None:
        """Leave the run at its last checkpoint, free for others."""
        self._steps.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _generations(
        self, store: str, name: str, executor: str, broker: str | None, coordinators: int
    ) -> Generator[Generation, None, None]:
        opened, record = self._opened, self._opened.record
        if record.head().done:
            sweep(record)
            return
        try:
            with as_one_line():
                scorers = make_executor(executor, record, store, name, broker)
            with closing(scorers):
                told = _Told(opened)
                shards = make_shards(coordinators, scorers, record, store, name, broker)
                # Closed first: it waits for a commit that has begun; only then is the run free for others.
                with closing(evolve_steps(opened, scorers, [told], shards=shards)) as steps:
                    evolution = next(steps)
                    for _ in steps:
                        yield from told.complete()
                if self._pictures:
                    finish_run(opened, evolution.elites(), scorers)
        finally:
            record.close()


class _Told:
    """Follows a run (a Watcher) and puts together what its islands did in each generation."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._seen: dict[int, dict[int, OfIsland]] = {}

    def batch_done(self, finished: Finished, genomes: int) -> None:
        """Nothing to tell yet."""

    def generation_done(self, generation: OfIsland) -> None:
        """Keep it until the other islands are there, too."""
        self._seen.setdefault(generation.number, {})[generation.island] = generation

    def epoch_done(self, epoch: int, elites: Sequence[Recorded]) -> None:
        """Read from the record when it is told."""

    def complete(self) -> Iterator[Generation]:
        """Generations that all islands have behind them, in order, each once."""
        spec = self._opened.spec
        for number in sorted(self._seen):
            if len(self._seen[number]) < spec.search.islands:
                return
            yield self._one(self._seen.pop(number))

    def _one(self, islands: Mapping[int, OfIsland]) -> Generation:
        best: tuple[float, str, tuple[float, ...]] = (-math.inf, "", ())
        tops = []
        for _, generation in sorted(islands.items()):
            fitness = generation.result.fitness  # -inf where a mask could not be scored
            row = int(fitness.argmax())
            tops.append(float(fitness[row]))
            if fitness[row] > best[0]:
                best = (
                    float(fitness[row]),
                    mask_id(generation.island, generation.number, row),
                    tuple(map(float, generation.result.values[row])),
                )
        spec, labels = self._opened.spec, [o.label for o in self._opened.objectives]
        return Generation(
            number=next(iter(islands.values())).number,
            of=spec.search.generations,
            best=best[1],
            fitness=best[0],
            values=dict(zip(labels, best[2], strict=False)),
            islands=tuple(tops),
            committed=self._opened.record.head().generation(spec.table()),
        )
