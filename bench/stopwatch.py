"""Wall time by stage, and what is said about repeated measurements."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import torch


class Stopwatch:
    """Adds up seconds and calls by stage. On CUDA it waits for the device at both ends of a stage."""

    def __init__(self, device: str = "cpu") -> None:
        self._cuda = device.startswith("cuda")
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what runs inside as one call of the stage."""
        start = self._now()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + self._now() - start
        self.calls[name] = self.calls.get(name, 0) + 1

    def _now(self) -> float:
        if self._cuda:
            torch.cuda.synchronize()
        return time.perf_counter()


def seconds_of(work: Callable[[], object], device: str = "cpu") -> float:
    """Wall seconds of one call, until the device is done."""
    watch = Stopwatch(device)
    with watch.stage("all"):
        work()
    return watch.seconds["all"]


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of a quantity over the rounds, and each round's."""

    median: float
    min: float
    max: float
    rounds: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """:raises ValueError: if there are no values."""
        if not values:
            raise ValueError("values: expected at least one round")
        return cls(statistics.median(values), min(values), max(values), tuple(values))

    def as_json(self) -> dict[str, object]:
        """Plain values for the report."""
        return {**asdict(self), "rounds": list(self.rounds)}
