"""The example notebooks run from top to bottom, in a real kernel."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]


@pytest.mark.slow  # a Jupyter kernel that loads torch and draws
def test_the_exhibition_notebook_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    book = nbformat.read(ROOT / "examples" / "exhibition.ipynb", as_version=4)
    nbformat.validate(book)
    NotebookClient(
        book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
    ).execute()
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert cells
    kinds = {kind for cell in cells for output in cell.outputs for kind in output.get("data", {})}
    assert "image/png" in kinds
    assert "(3, 2292, 3)" in cells[0].outputs[-1]["data"]["text/plain"]
    assert not [o for cell in cells for o in cell.outputs if o.output_type in ("error", "stream")]
