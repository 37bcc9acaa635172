"""Start a Celery worker with the pool and the settings that scoring needs. Torch-free: the child loads it."""

from __future__ import annotations

import os
import socket
import sys
from typing import Literal

from services.errors import BadInput, Unavailable
from worker.app import make_app
from worker.bell import check_broker
from worker.probe import probe

Device = Literal["auto", "cpu", "cuda"]


def choose_device(wanted: Device) -> tuple[Literal["cpu", "cuda"], str]:
    """The device to score on and its hardware's name.

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
    return ("cuda" if found["cuda"] else "cpu"), str(found["hardware"])


def launch(
    broker_url: str,
    *,
    concurrency: int = 1,
    device: Device = "auto",
    threads: int | None = None,
    loglevel: str = "INFO",
) -> int:
    """Work until told to stop; returns the exit code.

    SIGTERM and the first Ctrl-C let the batch in hand end; SIGQUIT gives it 20 s and then hands it back.

    :param concurrency: scoring processes; each holds its own copy of the networks.
    :param threads: of torch, per process. They are part of a run's fingerprint. None: torch's own choice.
    :raises BadInput: for an unusable URL or number; :raises Unavailable: if the device is not there.
    """
    check_broker(broker_url)
    if concurrency < 1 or (threads is not None and threads < 1):
        raise BadInput(f"concurrency {concurrency}, threads {threads}: expected 1 or more")
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    chosen, hardware = choose_device(device)
    print(f"datamask worker: scoring on {chosen} ({hardware})", file=sys.stderr, flush=True)
    # CUDA does not survive a fork; on the CPU a fork is quicker and safe, since this process has no torch.
    app = make_app(broker_url, "spawn" if chosen == "cuda" else "fork")
    worker = app.Worker(
        hostname=f"datamask-{os.getpid()}@{socket.gethostname()}", concurrency=concurrency, loglevel=loglevel
    )
    worker.start()
    return int(worker.exitcode or 0)
