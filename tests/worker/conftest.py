"""Fixtures with a real Redis: skipped on a laptop that has none, failing where CI promises one."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest


def _support() -> ModuleType:
    # Tests are imported without a package, so a helper is loaded from its file, once.
    name = "datamask_tests_redis_server"
    if name not in sys.modules:
        path = Path(__file__).parents[1] / "support" / "redis_server.py"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[object]:
    """A redis-server of this test's own, on loopback."""
    support = _support()
    if support.find_redis_server() is None:
        if os.environ.get("CI"):
            pytest.fail(support.HOW_TO_GET)
        pytest.skip(support.HOW_TO_GET)
    with support.running_redis(tmp_path) as server:
        yield server


@pytest.fixture
def locked_redis(tmp_path: Path) -> Iterator[object]:
    """A redis-server that wants a password."""
    if _support().find_redis_server() is None:
        if os.environ.get("CI"):
            pytest.fail(_support().HOW_TO_GET)
        pytest.skip(_support().HOW_TO_GET)
    with _support().running_redis(tmp_path, "right") as server:
        yield server


@pytest.fixture
def start_worker(redis_server: object, tmp_path: Path) -> Iterator[object]:
    """Call it to start one more ``datamask worker`` on the test's Redis; all end with the test."""
    started = []

    def start(*words: str, **options: object) -> object:
        log = tmp_path / f"worker-{len(started)}.log"
        worker = _support().Worker(redis_server.url, log, *words, **options)
        started.append(worker)
        return worker

    yield start
    for worker in started:
        worker.kill()


@pytest.fixture
def start_python(tmp_path: Path) -> Iterator[object]:
    """Call it to start Python in the test's folder, with this checkout's code; all end with the test.

    log: the file there that its warnings and errors are added to; what it prints can be read from it.
    """
    started = []

    def start(*words: str, log: str) -> object:
        with (tmp_path / log).open("ab") as file:
            made = subprocess.Popen(
                [sys.executable, *words],
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            )
        started.append(made)
        return made

    yield start
    for process in started:
        process.kill()
        process.communicate()
