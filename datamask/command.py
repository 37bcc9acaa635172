"""The console command: whether the packages beside this one are ours is asked before they are loaded."""

from __future__ import annotations

import base64
import hashlib
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

HOME = Path(__file__).parents[1]
# Words that other packages and people's own modules are called by, too.
COMMON_NAMES = ("services", "worker", "coordinator")
BAD_INPUT, INTERRUPTED = 2, 130
OWN_ENVIRONMENT = "give datamask an environment of its own: python -m venv"


def main() -> NoReturn:
    """Run the command line; one line and exit code 2 where another package stands in for one of ours."""
    try:
        line = stranger() or replaced()
        if line is not None:
            print(f"datamask: {line}", file=sys.stderr)
            sys.exit(BAD_INPUT)
        from coordinator.cli import main as command_line

        command_line()
    except KeyboardInterrupt:  # while modules load; later the command line says it itself
        print("datamask: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)


def stranger() -> str | None:
    """What to say of a package or module that Python finds before one of ours; None where all are ours."""
    for name in COMMON_NAMES:
        ours = HOME / name / "__init__.py"
        try:
            found = find_spec(name)
        except ValueError:  # somebody has put a module without a spec there
            found = None
        place = (
            None
            if found is None
            else found.origin or next(iter(found.submodule_search_locations or ()), None)
        )
        if place is None or not ours.is_file():
            return f"the package `{name}` is not where datamask was installed ({HOME}): install datamask anew"
        if os.path.realpath(place) != os.path.realpath(ours):
            return (
                f"the package `{name}` that Python finds is {place}, not datamask's ({ours}); take it out of "
                f"PYTHONPATH or the folder that you start from, or {OWN_ENVIRONMENT}"
            )
    return None


def replaced() -> str | None:
    """What to say of another installed package that has written over one of ours; None where none has."""
    from importlib import metadata

    try:
        installed = metadata.distribution("datamask")
    except metadata.PackageNotFoundError:
        return None
    # A checkout has no such lines, and a copy elsewhere is not what runs here.
    if os.path.realpath(str(installed.locate_file("datamask"))) != os.path.realpath(HOME / "datamask"):
        return None
    for line in (installed.read_text("RECORD") or "").splitlines():
        path, _, rest = line.partition(",")
        name = path.removesuffix("/__init__.py")
        if name not in COMMON_NAMES or not rest.startswith("sha256="):
            continue
        digest = hashlib.sha256((HOME / path).read_bytes()).digest()
        if rest.partition(",")[0] == "sha256=" + base64.urlsafe_b64encode(digest).decode().rstrip("="):
            continue
        others = sorted({*metadata.packages_distributions().get(name, ())} - {"datamask"})
        whose = f"by {', '.join(others)}" if others else "since it was installed"
        return (
            f"{HOME / path} was written over {whose}: two packages called `{name}` do not fit into one "
            f"environment; {OWN_ENVIRONMENT}"
        )
    return None
