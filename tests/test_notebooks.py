"""The example notebook runs from top to bottom, in a real kernel, and comes with what it shows."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
BOOK = ROOT / "examples" / "exhibition.ipynb"


def kinds(cells: list[Any]) -> set[str]:
    return {kind for cell in cells for output in cell.outputs for kind in output.get("data", {})}


def test_it_comes_with_outputs_and_needs_one_package() -> None:
    book = nbformat.read(BOOK, as_version=4)
    nbformat.validate(book)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert all(cell.outputs for cell in cells)
    assert {"image/png", "image/svg+xml", "text/html"} <= kinds(cells)
    imported = set(re.findall(r"^(?:import|from) (\w+)", "\n".join(c.source for c in cells), re.MULTILINE))
    assert imported == {"datamask", "numpy", "PIL", "IPython", "tempfile", "pathlib"}
    assert BOOK.stat().st_size < 1_000_000


@pytest.mark.slow  # a Jupyter kernel that loads torch and evolves
def test_the_exhibition_notebook_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    book = nbformat.read(BOOK, as_version=4)
    NotebookClient(
        book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
    ).execute()
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert {"image/png", "image/svg+xml", "text/html"} <= kinds(cells)
    fitness = [float(word) for word in re.findall(r"[-\d.]+", cells[0].outputs[-1]["data"]["text/plain"])]
    assert len(fitness) == 16
    assert max(fitness) > fitness[0]
    assert not [o for cell in cells for o in cell.outputs if o.output_type in ("error", "stream")]
