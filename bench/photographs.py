"""``python -m bench.photographs [FOLDER]``: the table of docs/photograph.md, from a folder that was counted.

``datamask photograph FOLDER`` counts it. Without one the table says what is true: not yet photographed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from bench.marks import write_between
from coordinator.record.photographs import RESULTS, table

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "bench" / "results" / "photographs.json"
PAGE = ROOT / "docs" / "photograph.md"
FIRST_MARK, LAST_MARK = "<!-- photographs -->", "<!-- end of photographs -->"


def results() -> Any:
    """What was counted last; None where nothing has been photographed."""
    return json.loads(RESULT.read_text()) if RESULT.exists() else None


def main() -> int:
    """Take over a folder's results, where one is named, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.photographs", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="folder that datamask photograph has counted")
    asked = parser.parse_args()
    if asked.folder is not None:
        found = asked.folder / RESULTS[0]
        if not found.is_file():
            raise SystemExit(f"{found}: missing; run datamask photograph {asked.folder} first")
        RESULT.write_text(found.read_text())
    write_between(PAGE, FIRST_MARK, LAST_MARK, table(results()) + "\n")
    print(PAGE)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
