"""``python -m bench.exhibition``: what a large run's pictures, films and page take, and when one can use it.

A run of 8 islands x 200 generations x 16 masks is written without scoring anything (what is shown asks for no
score in particular); ``datamask exhibit`` works on it in a process of its own, and headless Chromium
opens the page from disk, three times on each of two screens.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.outcome import circumstances, write
from bench.support import ROOT, support

FORMAT = 1
OUT = Path(__file__).parent / "results" / "exhibition.json"
ISLANDS, GENERATIONS, POPULATION, ELITES = 8, 200, 16, 8
SCREENS = {"desktop": (1440, 900, False), "phone": (390, 844, True)}
OPENINGS = 3
WANTED = {"exhibit_s": 90.0, "page_mb": 15.0, "usable_s": 3.0}

# Charts hold their data and the mask in 3D has been drawn.
USABLE = "return Boolean(window.datamask && datamask.state.view.drawn && datamask.state.plots[0].data.length)"


def exhibited(run: Path) -> dict[str, float]:
    """Seconds, processor seconds and peak memory of ``datamask exhibit RUN``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "coordinator.cli", "exhibit", str(run)], check=True, cwd=ROOT)
    seconds = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(used, 1),
        "peak_mb": round(after.ru_maxrss / 1000),
    }


def opened(page: Path) -> dict[str, list[float]] | None:
    """Seconds from asking for the page until it is usable, by screen; None without Chromium."""
    browser = support("browser")
    if browser.find_browser() is None:
        return None
    found: dict[str, list[float]] = {}
    for name, (width, height, phone) in SCREENS.items():
        with tempfile.TemporaryDirectory() as profile, browser.running_browser(Path(profile)) as driver:
            browser.resize(driver, width, height, phone=phone)
            for _ in range(OPENINGS):
                driver.get("about:blank")
                began = time.monotonic()
                driver.get(page.as_uri())
                while not driver.execute_script(USABLE):
                    time.sleep(0.01)
                found.setdefault(name, []).append(round(time.monotonic() - began, 2))
    return found


def measured(folder: Path, console: Console) -> dict[str, Any]:
    """Everything, as the JSON values of the report."""
    facts = circumstances()
    run = folder / "large"
    console.print(f"writing a run of {ISLANDS} islands x {GENERATIONS} generations x {POPULATION} masks ...")
    support("runs").grow(run, islands=ISLANDS, generations=GENERATIONS, population=POPULATION, elites=ELITES)
    exhibit = exhibited(run)
    page = run / "report.html"
    console.print("opening the page in Chromium ...")
    return {
        "format": FORMAT,
        "machine": facts,
        "settings": {
            "islands": ISLANDS,
            "generations": GENERATIONS,
            "population": POPULATION,
            "elites": ELITES,
        },
        "exhibit": exhibit,
        "page_mb": round(page.stat().st_size / 1e6, 2),
        "usable_s": opened(page),
    }


def show(result: dict[str, Any], console: Console) -> None:
    """Print the table of one result."""
    table = Table("", "measured", "wanted", title="what a large run's exhibition takes", title_justify="left")
    exhibit = result["exhibit"]
    wall = f"{exhibit['seconds']} s ({exhibit['cpu_seconds']} s of processor time)"
    table.add_row("datamask exhibit", wall, f"< {WANTED['exhibit_s']:.0f} s")
    table.add_row("  peak memory", f"{exhibit['peak_mb']} MB", "")
    table.add_row("report.html", f"{result['page_mb']} MB", f"< {WANTED['page_mb']:.0f} MB")
    for name, seconds in (result["usable_s"] or {}).items():
        spread = f"{median(seconds)} s ({min(seconds)} to {max(seconds)})"
        table.add_row(f"usable after, {name}", spread, f"< {WANTED['usable_s']:.0f} s")
    console.print(table)
    if result["usable_s"] is None:
        console.print(f"The page was not opened: {support('browser').HOW_TO_GET}", markup=False)
    facts = result["machine"]
    console.print(f"{facts['cores']} cores, load {facts['load_at_start']} before the start.", highlight=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        "python -m bench.exhibition", description="What a large run's pictures, films and page take."
    )
    parser.add_argument("--out", type=Path, default=OUT, help="where the JSON goes (default: %(default)s)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the run there, to look at it")
    arguments = parser.parse_args(argv)
    console = Console()
    with tempfile.TemporaryDirectory(prefix="datamask-exhibition-") as folder:
        result = measured(arguments.keep or Path(folder), console)
    write(result, arguments.out)
    show(result, console)
    console.print(f"written to {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
