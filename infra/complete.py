"""Whether all that datamask needs is installed here, in a version that fits: ``complete.py [EXTRA ...]``.

What ``pip check`` says, but of datamask and what it needs alone (``make contenders`` adds packages that are
not complete on purpose), and with the one exception that is meant: insightface asks for opencv-python, and
opencv-python-headless, which must not stand beside it, takes its place.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from importlib import metadata

from packaging.markers import Environment, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

STANDS_IN = {"opencv-python": "opencv-python-headless"}


def main(extras: list[str]) -> int:
    """The exit code: 1, and a line for each, where something lacks or does not fit."""
    faults = list(faults_of([Requirement(f"datamask[{','.join(extras)}]")]))
    for fault in faults:
        print(f"datamask: {fault}; mend it with: make clean setup", file=sys.stderr)
    return 1 if faults else 0


def faults_of(wanted: Iterable[Requirement]) -> Iterator[str]:
    """A line for each package that is missing or of a wrong version."""
    for requirement, by in closure(wanted, default_environment()):
        version = installed(requirement.name)
        if version is None:
            yield f"{by} needs {requirement}, which is not installed"
        elif not requirement.specifier.contains(version, prereleases=True):
            yield f"{by} needs {requirement}, and {version} is installed"


def closure(wanted: Iterable[Requirement], environment: Environment) -> Iterator[tuple[Requirement, str]]:
    """Each requirement that holds in an environment, and who asks for it, as what is installed tells.

    Where a package is not installed, nothing is known of what it needs in turn.
    """
    todo = [(requirement, "the command line") for requirement in wanted]
    seen: set[str] = set()
    while todo:
        requirement, by = todo.pop()
        name = canonicalize_name(requirement.name)
        requirement.name = STANDS_IN.get(name, name)
        yield requirement, by
        if (key := f"{requirement.name}{sorted(requirement.extras)}") in seen:
            continue
        seen.add(key)
        if installed(requirement.name) is None:
            continue
        for line in metadata.requires(requirement.name) or ():
            needed = Requirement(line)
            extras = requirement.extras or {""}
            if needed.marker is None or any(
                needed.marker.evaluate({**environment, "extra": extra}) for extra in extras
            ):
                todo.append((needed, requirement.name))


def installed(name: str) -> str | None:
    """The version of a package that is installed here."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["dev", "flower"]))
