"""What happens in a run, as log lines that a machine can read: the same events that a person sees as bars."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from coordinator.queue.executor import Finished
from coordinator.search.island import Generation
from services.wire.mask import Mask

log = logging.getLogger(__name__)


class Journal:
    """A Watcher that writes one line an event, at level INFO (batches: DEBUG)."""

    def __init__(self, run: str) -> None:
        self._run = run

    def batch_done(self, finished: Finished, genomes: int) -> None:
        """A batch came back."""
        log.debug(
            "batch done",
            extra={"run": self._run, "batch": finished.batch, "views": finished.views},
        )

    def generation_done(self, generation: Generation) -> None:
        """An island told its optimizer."""
        known = generation.result.fitness[np.isfinite(generation.result.fitness)]
        log.info(
            "island %d, generation %d: %s",
            *(generation.island, generation.number),
            f"best {known.max():+.3f}" if len(known) else "not scored",
            extra={"run": self._run, "island": generation.island, "generation": generation.number},
        )

    def epoch_done(self, epoch: int, elites: Sequence[Mask]) -> None:
        """A checkpoint was committed."""
        best = f", best {elites[0].id} {elites[0].fitness:+.3f}" if elites else ""
        log.info("checkpoint %d committed%s", epoch, best, extra={"run": self._run, "epoch": epoch})
