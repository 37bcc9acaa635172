"""What an image installs, one requirement a line: ``image_requirements.py coordinator|flower|worker``.

Read from pyproject.toml, so that there is no second list to keep in step. Versions come from
requirements.lock: ``pip install --constraint requirements.lock --requirement -``.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

# Only whoever makes pixels needs these. dlib stays: with it the coordinator measures the photos of a run
# toward a person.
PIXELS = ("torch", "opencv-python-headless", "pyrender")


def requirements(image: str, pyproject: Path) -> list[str]:
    """Requirement lines of one image. :raises KeyError: for an image that there is not."""
    project = tomllib.loads(pyproject.read_text())["project"]
    everything: list[str] = project["dependencies"]
    light = [line for line in everything if name(line) not in PIXELS]
    return {
        "coordinator": light,
        "flower": light + project["optional-dependencies"]["flower"],
        "worker": everything,
    }[image]


def name(requirement: str) -> str:
    """``boto3`` of ``boto3>=1.42``."""
    for mark in "[<>=!~; ":
        requirement = requirement.split(mark)[0]
    return requirement


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1], Path(__file__).parents[1] / "pyproject.toml")))
