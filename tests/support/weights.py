"""Weights that have to be fetched: without them a test is skipped on a laptop and fails in CI."""

from __future__ import annotations

import os

import pytest

from services.recognition import catalog


def need_weights(name: str) -> None:
    """Skip the calling test, or fail it in CI, where a model's weights are not here."""
    info = catalog.model_info(name)
    if not catalog.installed(info):
        line = f"{name}: weights not here; make machines, or {info.how_to_get}"
        if os.environ.get("CI"):
            pytest.fail(line)
        pytest.skip(line)
