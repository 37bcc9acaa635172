"""Run ``make evolve`` on a bare Debian, as somebody does who has just cloned the project: ``FOLDER [WORDS]``.

debootstrap makes the root: Debian 12, its own Python (older than any that we develop with), python3-venv and
make, and nothing else. A clone of HEAD is put there, and the words after FOLDER go to make:
``first_command.py FOLDER evolve`` is the whole of it, without words it is a small budget. The run's folder is
to hold at last what the README promises.

Mirrors, certificates, pip's settings and its cache are this machine's. Needs root, debootstrap and 4 GB.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import bare_install

SMALL = {"islands": 2, "generations": 2, "population": 8}
COMMAND = ["evolve", "ARGS=" + " ".join(f"--set search.{key}={value}" for key, value in SMALL.items())]
CLONE = "root/datamask"
PROMISED = ("lineup.png", "report.html", "film.mp4", "composite.png", "run.toml", "masks/*/mask.glb")


def main() -> int:
    """The exit code: 0 if the command went well, or where this machine cannot try it and is not CI."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="an empty or new folder for the root")
    parser.add_argument("words", nargs="*", default=COMMAND, help="what make is asked for")
    words = parser.parse_args()
    # An ending from outside takes the way of every other: what is mounted is taken down first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("first_command: stopped"))
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        print("first_command: not tried here: it needs root and debootstrap (apt install debootstrap)")
        return 1 if os.environ.get("CI") else 0
    root = words.folder / "debian"
    began = time.monotonic()
    if not (root / "etc" / "debian_version").exists():
        root.parent.mkdir(parents=True, exist_ok=True)
        packages = "--include=make,python3-venv"
        bare_install.run(
            [
                "debootstrap",
                "--variant=minbase",
                packages,
                bare_install.SUITE,
                str(root),
                bare_install.mirror(),
            ],
            words.folder / "debootstrap.log",
        )
    bare_install.dress(root)
    shutil.rmtree(root / CLONE, ignore_errors=True)
    bare_install.run(["git", "clone", "--quiet", "--depth=1", bare_install.ROOT.as_uri(), str(root / CLONE)])
    print(f"first_command: a bare {bare_install.SUITE}: {time.monotonic() - began:.0f} s", flush=True)
    began = time.monotonic()
    given = {"PATH": bare_install.PATH, "HOME": "/root", **bare_install.pip_environment()}
    line = f"cd /{CLONE} && python3 --version && make {shlex.join(words.words)}"
    with bare_install.mounted(root, pip_cache(root)):
        variables = [f"{name}={value}" for name, value in given.items()]
        bare_install.run(
            ["chroot", str(root), "env", "-i", *variables, "sh", "-c", line], words.folder / "command.log"
        )
    for pattern in PROMISED:
        if not list((root / CLONE / "runs").glob(f"*/{pattern}")):
            sys.exit(f"first_command: the run has no {pattern}; see {words.folder}/command.log")
    print(f"first_command: make {shlex.join(words.words)}: {time.monotonic() - began:.0f} s", flush=True)
    return 0


def pip_cache(root: Path) -> dict[Path, Path]:
    """What pip has fetched on this machine already, and where pip looks for it in the root."""
    told = subprocess.run(
        [sys.executable, "-m", "pip", "cache", "dir"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return {Path(told): root / "root" / ".cache" / "pip"} if told and Path(told).is_dir() else {}


if __name__ == "__main__":
    sys.exit(main())
