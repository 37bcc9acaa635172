"""Peak memory is the command's own, not that of whoever asked."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from bench.memory import measure

_HOLD = "held = bytearray({megabytes} * 10**6)\nfor i in range(0, len(held), 4096): held[i] = 1\n"


def test_peak_is_what_the_command_held(tmp_path: Path) -> None:
    usage = measure([sys.executable, "-c", _HOLD.format(megabytes=200)], tmp_path)
    assert usage.exit_code == 0
    assert 200 < usage.peak_mb < 260
    assert usage.seconds > 0


def test_memory_of_the_asking_process_does_not_count(tmp_path: Path) -> None:
    mine = np.ones(50_000_000)  # 400 MB
    usage = measure([sys.executable, "-c", "pass"], tmp_path)
    assert usage.peak_mb < 60
    assert mine.sum() > 0


def test_a_failing_command_is_told_by_its_exit_code(tmp_path: Path) -> None:
    assert measure([sys.executable, "-c", "raise SystemExit(3)"], tmp_path).exit_code == 3
