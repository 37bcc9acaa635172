"""Prometheus figures of a worker, counted in its parent process, which outlives its children. Torch-free."""

from __future__ import annotations

import logging
import os
import socket

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server

from services.errors import BadInput, Unavailable

HOST_VARIABLE = "DATAMASK_METRICS_HOST"
PORT_VARIABLE = "DATAMASK_METRICS_PORT"
BUCKETS_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000)

log = logging.getLogger(__name__)

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


def serve(port: int, figures: CollectorRegistry) -> int:
    """Answer scrapes on a port until the process ends; returns the port (another one where it was 0).

    Only this machine is answered unless DATAMASK_METRICS_HOST names another address to listen on.

    :raises BadInput: if the address is no address; :raises Unavailable: if the port is taken.
    """
    host = os.environ.get(HOST_VARIABLE) or "127.0.0.1"
    try:
        server, _ = start_http_server(port, addr=host, registry=figures)
    except socket.gaierror as error:
        raise BadInput(
            f"{HOST_VARIABLE}={host}: {error.strerror}; expected an address such as 127.0.0.1"
        ) from None
    except OSError as error:
        raise Unavailable(
            f"metrics: cannot listen on {host}:{port} ({error.strerror}); choose another --metrics-port"
        ) from None
    found = int(server.server_port)
    log.info("metrics on http://%s:%d/metrics", host, found)
    return found
