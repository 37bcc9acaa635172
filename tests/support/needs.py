"""Programs of the system that a test runs: without one it skips on a laptop and fails in CI."""

from __future__ import annotations

import os

import pytest

from tests.support.compose import Missing, program


def need(*names: str) -> None:
    """Skip the calling test, or fail it in CI, where one of the programs is missing."""
    for name in names:
        try:
            program(name)
        except Missing as missing:
            if os.environ.get("CI"):
                pytest.fail(f"{missing}")
            pytest.skip(f"{missing}")
