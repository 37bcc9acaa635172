"""A real Chromium: skipped on a laptop that has none, failing where CI promises one."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest


def _support(name: str) -> ModuleType:
    key = f"datamask_tests_{name}"
    if key not in sys.modules:
        path = Path(__file__).parents[2] / "support" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(key, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[key] = module
        spec.loader.exec_module(module)
    return sys.modules[key]


@pytest.fixture(scope="session")
def runs():
    """How to grow a run without scoring anything."""
    return _support("runs")


@pytest.fixture(scope="session")
def web():
    """What can be asked of a browser."""
    return _support("browser")


@pytest.fixture(scope="module")
def chromium(web, tmp_path_factory):
    """One browser for a module's tests."""
    if web.find_browser() is None:
        if os.environ.get("CI"):
            pytest.fail(web.HOW_TO_GET)
        pytest.skip(web.HOW_TO_GET)
    with web.running_browser(tmp_path_factory.mktemp("profile")) as driver:
        driver.get("about:blank")
        web.requests(driver)  # what the browser asked for itself before the page
        yield driver
