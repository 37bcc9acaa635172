"""Figures for Prometheus, served over HTTP: a worker's own, or those of a run."""

from __future__ import annotations

import logging
import os
import socket

from prometheus_client import CollectorRegistry, start_http_server

from services.errors import BadInput, Unavailable

HOST_VARIABLE = "DATAMASK_METRICS_HOST"

log = logging.getLogger(__name__)


def serve_metrics(port: int, figures: CollectorRegistry) -> int:
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
