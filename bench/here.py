"""An executor for measurements: batches are scored in this process, in the order in which they come."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from coordinator.queue.executor import Finished, Traffic
from coordinator.record.record import Record
from coordinator.run import open_run
from coordinator.search.evolution import Evolution
from coordinator.spec.spec import Spec
from services.progress import Progress
from services.shape.catalog import basis_info
from services.storage import open_store
from services.wire.messages import Origin
from services.wire.plan import Batch, Scores


class Here:
    """Implements coordinator.queue.executor.Executor. score: what a batch gets."""

    def __init__(self, score: Callable[[Batch], Scores]) -> None:
        self._score = score
        self._waiting: deque[tuple[str, Batch]] = deque()

    def submit(self, batch: str, origin: Origin, work: Batch | None = None) -> None:
        if work is None:
            raise ValueError(f"{origin.words}: expected the batch itself")
        self._waiting.append((batch, work))

    def wait(self) -> Finished:
        name, batch = self._waiting.popleft()
        return Finished(name, len(batch.genomes) * batch.view_count, scores=self._score(batch))

    def realize(self, job: str, origin: Origin, progress: Progress | None = None) -> None:
        raise NotImplementedError("measurements make no pictures of a run")

    def realized(self, job: str, *, wait: bool = False) -> Finished | None:
        return None

    def traffic(self) -> Traffic:
        return Traffic(in_flight=len(self._waiting))

    def join(self) -> None:
        pass

    def close(self) -> None:
        self._waiting.clear()


@contextmanager
def evolution_here(spec: Spec, score: Callable[[Batch], Scores]) -> Iterator[Evolution]:
    """The coordinator's own search of a spec, ready to run, in a record that goes with the context."""
    with tempfile.TemporaryDirectory(prefix="datamask-here-") as folder:
        opened = open_run(spec, Record(open_store(Path(folder)).sub("run")), resume=False)
        with closing(opened.record) as record:  # else its beat writes into a folder that is being removed
            record.take_over()
            dimension = len(basis_info(spec.mask.basis).gene_names)
            yield Evolution(spec, record, opened.plan, opened.objectives, dimension, Here(score))
