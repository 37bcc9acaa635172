"""Prometheus figures of one run. They are read when Prometheus asks; the search does nothing for them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from coordinator.queue.executor import Finished, Traffic
from coordinator.search.island import Generation
from services.recognition.fitness import Objective
from services.wire.mask import Mask


@dataclass(frozen=True)
class _Latest:
    """The newest generation of an island."""

    number: int
    best: float
    median: float


class HasTraffic(Protocol):
    """An executor, or several coordinator processes with one each."""

    def traffic(self) -> Traffic:
        """Figures of now; may be asked by another thread."""
        ...


class Metrics(Collector):
    """A Watcher that Prometheus can ask. ``registry`` holds this and nothing else."""

    def __init__(self, run: str, objectives: Sequence[Objective], traffic: HasTraffic) -> None:
        self._run, self._labels, self._traffic = run, [o.label for o in objectives], traffic
        self._islands: dict[int, _Latest] = {}
        self._margins: dict[str, float] = {}
        self._batches = self._set_aside = self._epochs = 0
        self._done = False
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def batch_done(self, finished: Finished, genomes: int) -> None:
        """Count it."""
        self._batches += 1
        self._set_aside += finished.failed

    def generation_done(self, generation: Generation) -> None:
        """Keep the best and the median of those that could be scored."""
        fitness = generation.result.fitness
        fitness = fitness[np.isfinite(fitness)]
        best, median = (float(fitness.max()), float(np.median(fitness))) if len(fitness) else (np.nan, np.nan)
        self._islands[generation.island] = _Latest(generation.number, best, median)

    def epoch_done(self, epoch: int, elites: Sequence[Mask]) -> None:
        """Keep the margins of the best elite."""
        self._epochs += 1
        if elites:
            self._margins = dict(zip(self._labels, map(float, elites[0].values), strict=True))

    def done(self) -> None:
        """The run is complete."""
        self._done = True

    def collect(self) -> Iterator[Metric]:
        """The figures of now."""
        islands = sorted(self._islands.items())
        for name, help_text, field in (
            ("datamask_best_fitness", "Best fitness of an island's newest generation", "best"),
            ("datamask_median_fitness", "Median fitness of an island's newest generation", "median"),
            ("datamask_generation", "Number of an island's newest generation, from 0", "number"),
        ):
            gauge = GaugeMetricFamily(name, help_text, labels=["run", "island"])
            for island, latest in islands:
                value = getattr(latest, field)
                if math.isfinite(value):  # nan: nothing of that generation could be scored
                    gauge.add_metric([self._run, str(island)], value)
            yield gauge
        margins = GaugeMetricFamily(
            "datamask_objective_margin",
            "The best elite's value of an objective, above 0 is accepted",
            labels=["run", "objective"],
        )
        for label, value in list(self._margins.items()):
            margins.add_metric([self._run, label], value)
        yield margins
        traffic = self._traffic.traffic()
        depth = GaugeMetricFamily(
            "datamask_queue_depth", "Messages that no worker has taken, of all runs", labels=["queue"]
        )
        for queue, count in traffic.queued.items():
            depth.add_metric([queue], count)
        yield depth
        yield self._one(GaugeMetricFamily, "batches_in_flight", "Batches that are out", traffic.in_flight)
        yield self._one(GaugeMetricFamily, "run_done", "1 once the run is complete", self._done)
        for name, help_text, count in (
            ("batches_done", "Batches that came back", self._batches),
            ("batches_reissued", "Messages sent again", traffic.resent),
            ("batches_set_aside", "Batches that failed too often", self._set_aside),
            ("epochs", "Checkpoints committed by this process", self._epochs),
        ):
            yield self._one(CounterMetricFamily, name, help_text, count)

    def _one(
        self,
        family: type[GaugeMetricFamily] | type[CounterMetricFamily],
        name: str,
        help_text: str,
        value: float,
    ) -> Metric:
        made = family(f"datamask_{name}", help_text, labels=["run"])
        made.add_metric([self._run], float(value))
        return made
