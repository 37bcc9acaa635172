"""Loopback ports for servers that end with their test."""

from __future__ import annotations

import random
import socket


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_pair(taken: set[int]) -> int:
    """A port that is free together with port + 10000, which SeaweedFS takes for gRPC; both are then taken.

    Both lie below 32,768: above, the system hands ports to whoever connects somewhere.
    """
    for port in random.SystemRandom().sample(range(12_000, 22_000), 1000):
        both = {port, port + 10_000}
        if not both & taken and all(map(_free, both)):
            taken |= both
            return port
    raise RuntimeError("no free ports from 12,000 to 32,000")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
