"""``python -m bench.imports``: what it takes until Python, `import datamask` and each of its names are there.

Every measurement is a process of its own, in rounds that take turns; the first round, which brings the files
into the system's cache, does not count. Writes bench/results/imports.json.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.outcome import circumstances, write
from bench.stopwatch import Spread

ROOT = Path(__file__).parents[1]
OUT = Path(__file__).parent / "results" / "imports.json"
CASES = {
    "python": "pass",
    "import datamask": "import datamask",
    "datamask.machines": "import datamask; datamask.machines",
    "datamask.open": "import datamask; datamask.open",
    "datamask.evolve": "import datamask; datamask.evolve",
    "datamask.Basis": "import datamask; datamask.Basis",
    "import torch": "import torch",
}


def imports(rounds: int) -> dict[str, object]:
    """Seconds of each case, as the JSON values of the report."""
    seconds: dict[str, list[float]] = {name: [] for name in CASES}
    for number in range(rounds + 1):
        for name, code in CASES.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
            if number:
                seconds[name].append(time.perf_counter() - start)
    return {
        "format": 1,
        "machine": circumstances(),
        "rounds": rounds,
        "seconds": {name: Spread.of(values).as_json() for name, values in seconds.items()},
    }


def main() -> None:
    """Measure, show and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=OUT)
    chosen = parser.parse_args()
    result = imports(chosen.rounds)
    table = Table("", "median", "least", "most", title="milliseconds until it is there", title_justify="left")
    seconds = result["seconds"]
    assert isinstance(seconds, dict)
    for name, spread in seconds.items():
        table.add_row(name, *(f"{1000 * spread[key]:.0f}" for key in ("median", "min", "max")))
    Console().print(table)
    write(result, chosen.out)


if __name__ == "__main__":
    main()
