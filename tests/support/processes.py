"""Waiting for what a process does."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any


def until(true: Callable[[], object], process: subprocess.Popen[Any], timeout_s: float = 60.0) -> None:
    """Until it is true; an assertion fails where the process ends before, or it takes too long."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert process.poll() is None, f"it ended with {process.returncode}"
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
