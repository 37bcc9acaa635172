"""Fixtures that more than one package's tests use."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support import s3_server as s3_server_support

# A shell's background has SIGINT ignored, and so would everything that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How many inputs a property test tries, unless it says so itself. By default a few, the same ones every time,
# so that no test fails by chance; DATAMASK_FUZZ=10000 (`make fuzz`) tries that many new ones for each test.
# Time limits hold nothing here, for a test may share its core with anything.
_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("ci", max_examples=60, derandomize=True, **_COMMON)
if "DATAMASK_FUZZ" in os.environ:
    settings.register_profile(
        "thorough", max_examples=int(os.environ["DATAMASK_FUZZ"]), print_blob=True, **_COMMON
    )
settings.load_profile("thorough" if "DATAMASK_FUZZ" in os.environ else "ci")


@pytest.fixture(scope="session")
def running_s3() -> Any:
    """The context manager that starts an S3 server of one's own: see tests/support/s3_server.py."""
    return s3_server_support.running_s3


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
