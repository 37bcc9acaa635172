"""Peak memory and wall time of a command: ``python -m bench.memory COMMAND ...`` prints them as JSON.

It is a process of its own, and imports nothing large: Linux counts what a process's parent held before exec
toward the child's peak, so a parent with networks in memory would measure itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_KIB_PER_MB = 1e6 / 1024  # MB are 10**6 bytes, as in "under 2 GB"


@dataclass(frozen=True)
class Usage:
    """What a command needed. peak_mb: most memory that its largest process held, 10**6 bytes."""

    exit_code: int
    peak_mb: float
    seconds: float


def measure(command: Sequence[str], directory: Path) -> Usage:
    """Run a command to its end, in a directory, through a small process that watches it.

    Its standard error is this process's own. :raises RuntimeError: if the watcher itself fails.
    """
    watcher = [sys.executable, "-m", "bench.memory", str(directory), *command]
    done = subprocess.run(watcher, cwd=_ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"bench.memory: exit {done.returncode} while watching {' '.join(command)}")
    return Usage(**json.loads(done.stdout))


def _watch(directory: str, command: Sequence[str]) -> Usage:
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    unit = 1e6 if sys.platform == "darwin" else _KIB_PER_MB  # macOS counts bytes, Linux KiB
    return Usage(os.waitstatus_to_exitcode(status), used.ru_maxrss / unit, seconds)


if __name__ == "__main__":
    print(json.dumps(vars(_watch(sys.argv[1], sys.argv[2:]))))
