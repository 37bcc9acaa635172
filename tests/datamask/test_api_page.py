"""The examples of docs/api.md run, in their order, and the page tells of every name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import datamask

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.slow  # evolves a small run
def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for number, example in enumerate(EXAMPLES, 1):
        exec(compile(example, f"example {number} of {PAGE.name}", "exec"), names)
    assert number > 10
    assert (tmp_path / "best.stl").stat().st_size > 100_000
    assert names["pictures"].shape == (5, 160, 160, 3)


@pytest.mark.parametrize("name", datamask.__all__)
def test_it_tells_of_every_name(name: str) -> None:
    text = PAGE.read_text()
    assert f"datamask.{name}" in text or f"`{name}`" in text
