"""Fixtures that more than one package's tests use."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def _support(name: str) -> ModuleType:
    # Tests are imported without a package, so a helper is loaded from its file, once.
    full = f"datamask_tests_{name}"
    if full not in sys.modules:
        path = Path(__file__).parent / "support" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(full, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[full] = module
        spec.loader.exec_module(module)
    return sys.modules[full]


@pytest.fixture(scope="session")
def running_s3() -> Any:
    """The context manager that starts an S3 server of one's own: see tests/support/s3_server.py."""
    return _support("s3_server").running_s3


@pytest.fixture(scope="session")
def shared_s3(running_s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One S3 server for the whole session; use `s3_server`, which empties it."""
    with running_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3_server(shared_s3: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A running S3 server with an empty bucket, and the environment that leads to it."""
    for name, value in shared_s3.environment().items():
        monkeypatch.setenv(name, value)
    shared_s3.clear()
    return shared_s3
