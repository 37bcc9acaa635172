"""Start a Celery worker with the pool and the settings that scoring needs. The child loads torch."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections.abc import Sequence
from typing import Any, Literal

from celery import Celery, signals

from services import logs
from services.errors import BadInput, Unavailable
from services.logs import LogFormat
from services.metrics_server import serve_metrics
from services.wire.app import SOFT_SHUTDOWN_S, make_app
from services.wire.beats import Presence
from services.wire.bells import connect, find_broker
from services.wire.broker_url import check_broker
from services.wire.messages import QUEUES
from worker import metrics
from worker.idle import leave_after
from worker.probe import probe
from worker.reports import Reports

Device = Literal["auto", "cpu", "cuda"]

log = logging.getLogger(__name__)


def choose_device(wanted: Device) -> tuple[Literal["cpu", "cuda"], str, int]:
    """The device to score on, its hardware's name, and how many pictures it has room for at a time.

    :raises Unavailable: if torch cannot be loaded, or there is no CUDA device though one is wanted.
    """
    if wanted == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # read by whatever child loads torch
    found = probe("torch")
    if "error" in found:
        raise Unavailable(f"torch cannot be loaded: {found['error']}; see datamask doctor")
    if wanted == "cuda" and not found["cuda"]:
        raise Unavailable(
            "no CUDA device: check nvidia-smi and that this torch is built with CUDA, or use --device cpu"
        )
    return ("cuda" if found["cuda"] else "cpu"), str(found["hardware"]), int(found["pictures"])


def queue_names(wanted: str) -> list[str]:
    """Names of queues from ``score,realize``. :raises BadInput: naming the unknown one."""
    words = [word.strip() for word in wanted.split(",") if word.strip()]
    unknown = [word for word in words if word not in QUEUES]
    if unknown or not words:
        raise BadInput(f"--queues {wanted}: expected one or more of {', '.join(QUEUES)}, with commas between")
    return [QUEUES[word] for word in dict.fromkeys(words)]


def launch(
    broker_url: str | None,
    *,
    concurrency: int = 1,
    device: Device = "auto",
    threads: int | None = None,
    loglevel: str = "INFO",
    queues: str = "score,realize",
    metrics_port: int | None = None,
    log_format: LogFormat = "text",
    grace_s: float = SOFT_SHUTDOWN_S,
    idle_s: float | None = None,
) -> int:
    """Work until told to stop; returns the exit code.

    SIGTERM and the first Ctrl-C let the batch in hand end; SIGQUIT and the second Ctrl-C give it ``grace_s``
    and then hand it back.

    :param broker_url: None: the one that the environment names.
    :param concurrency: scoring processes; each holds its own copy of the networks.
    :param threads: of torch, per process; scores do not depend on them. None: torch's own choice.
    :param queues: kinds of work to take, ``score``, ``realize`` or both.
    :param metrics_port: where Prometheus may ask; None: nowhere.
    :param idle_s: leave after so many seconds without work; None: never.
    :raises BadInput: for an unusable URL or number; :raises Unavailable: if the device is not there.
    """
    broker_url = check_broker(find_broker(broker_url))
    names = queue_names(queues)
    if concurrency < 1 or (threads is not None and threads < 1):
        raise BadInput(f"concurrency {concurrency}, threads {threads}: expected 1 or more")
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    logs.setup(log_format, loglevel)
    chosen, hardware, pictures = choose_device(device)
    log.info("datamask worker: scoring on %s (%s), %d pictures at a time", chosen, hardware, pictures)
    if metrics_port is not None:
        serve_metrics(metrics_port, metrics.registry)
    # CUDA does not survive a fork; on the CPU a fork is quicker and safe, since this process has no torch.
    app = make_app(broker_url, "spawn" if chosen == "cuda" else "fork", grace_s=grace_s)
    return run_worker(app, concurrency, names, loglevel, pictures, idle_s)


def run_worker(
    app: Celery,
    concurrency: int,
    queues: Sequence[str],
    loglevel: str = "INFO",
    pictures: int = 0,
    idle_s: float | None = None,
) -> int:
    """Run a worker of the app, announced to coordinators, until it is told to stop; returns its exit code.

    :param idle_s: or until it has had no work for so many seconds.

    Logs are as :func:`services.logs.setup` made them.
    """
    name = f"datamask-{os.getpid()}@{socket.gethostname()}"
    presence = Presence(connect(str(app.conf.broker_url)), name, concurrency, queues, pictures)
    with tempfile.TemporaryDirectory(prefix="datamask-") as folder:
        reports = Reports(folder)

        def announce(**_: Any) -> None:
            presence.start()
            if idle_s is not None:
                leave_after(idle_s, reports.under_way)

        signals.worker_ready.connect(announce, weak=False)
        worker = app.Worker(
            hostname=name, concurrency=concurrency, loglevel=loglevel, queues=",".join(queues), quiet=True
        )
        worker.start()
        presence.stop()
        return int(worker.exitcode or 0)
