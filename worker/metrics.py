"""Prometheus figures of a worker, counted in its parent process, which outlives its children."""

from __future__ import annotations

import os
import socket

from prometheus_client import CollectorRegistry, Counter, Histogram

PORT_VARIABLE = "DATAMASK_METRICS_PORT"
BUCKETS_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000)

registry = CollectorRegistry()
_views = Counter("datamask_views", "Images scored", ["worker"], registry=registry)
_batches = Counter("datamask_worker_batches", "Tasks ended", ["worker", "outcome"], registry=registry)
_seconds = Histogram("datamask_batch_seconds", "Time of one batch", registry=registry, buckets=BUCKETS_S)


def count(outcome: str, views: int, seconds: float) -> None:
    """One task has ended."""
    worker = worker_name()
    _batches.labels(worker, outcome).inc()
    _views.labels(worker).inc(views)
    if outcome == "scored" and views:
        _seconds.observe(seconds)


def worker_name() -> str:
    """What tells this worker from others: its host and process."""
    return f"{socket.gethostname()}-{os.getpid()}"
