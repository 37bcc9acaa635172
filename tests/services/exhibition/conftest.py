"""A real Chromium: skipped on a laptop that has none, failing where CI promises one."""

from __future__ import annotations

import os

import pytest

from tests.support import browser as support_browser
from tests.support import runs as support_runs


@pytest.fixture(scope="session")
def runs():
    """How to grow a run without scoring anything."""
    return support_runs


@pytest.fixture(scope="session")
def web():
    """What can be asked of a browser."""
    return support_browser


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
