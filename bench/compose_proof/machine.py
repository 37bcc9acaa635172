"""For the small proof nothing is built: containers see the programs of this very machine, read-only.

That is enough to show what the engine makes of the compose file: names, networks, users, secrets, what may be
written, health, restarts. It says nothing of the images.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.compose_proof.engine import Engine, Failed, NoEngine
from bench.compose_proof.images import PACKAGES, PATH, Images
from bench.support import ROOT

OURS = "10001:10001"  # the user of the images of ours
SOURCE = "/opt/source"
PROGRAMS = ("redis-server", "redis-cli", "prometheus", "wget")
ROOMS = ("services", "worker", "coordinator", "datamask")
SCRIPTS = ("guard.sh", "answers.py", "make_bucket.py", "coordinate.py")
# What /usr needs beside itself, where a machine has it.
SETTINGS = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/fonts", "/etc/ssl")
# No /sbin: there an engine mounts the program that `init: true` asks for, and in /usr it cannot.
LINKS = ("bin", "lib", "lib32", "lib64", "libx32")


def ready(engine: Engine, model: Mapping[str, Any], project: str) -> tuple[Images, dict[str, dict[str, Any]]]:
    """The images, each an empty root, and what every service mounts. :raises NoEngine: without a program."""
    for program in PROGRAMS:
        if shutil.which(program, path=PATH) is None:
            raise NoEngine(f"no {program}: Debian's packages redis-server, prometheus and wget bring it")
    if not Path("/bin").is_symlink():
        raise NoEngine("this machine keeps programs outside /usr, expected a merged one as Debian 12 has it")
    made = Images(stand_ins=["every image: the programs of this machine, mounted read-only"])
    services: dict[str, dict[str, Any]] = {}
    for service, what in model["services"].items():
        kind = "ours" if "build" in what else str(what["image"]).partition(":")[0]
        if kind != "ours" and kind not in PACKAGES:
            made.absent.append(service)
            continue
        image = f"{project}-machine-{kind.replace('/', '-')}"
        _, folder, owner = PACKAGES.get(kind, ("", "/data", OURS))
        if image not in made.of.values():
            _empty(engine, image, folder, owner)
        made.of[service] = image
        services[service] = {"volumes": _mounts(kind == "ours"), "environment": _variables()}
        if "healthcheck" in what:  # engines before 25 know no start_interval, and first ask after all of this
            services[service]["healthcheck"] = {"interval": "2s"}
    return made, services


def _variables() -> dict[str, str]:
    """As in the Dockerfiles, but for the paths."""
    return {
        "PATH": f"{sys.prefix}/bin:{PATH}",
        "PYTHONPATH": SOURCE,
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_WAIT_POLICY": "passive",
        "NUMBA_CACHE_DIR": "/tmp/numba",
        "XDG_CACHE_HOME": "/tmp/cache",
    }


def _mounts(ours: bool) -> list[dict[str, Any]]:
    # Not /usr as a whole: services mount files of their own in /usr/local/etc.
    usr = [path for path in Path("/usr").iterdir() if path.name != "local"]
    usr += [path for path in Path("/usr/local").iterdir() if path.name != "etc"]
    places = {str(path): str(path) for path in sorted(usr) if path.is_dir() and not path.is_symlink()}
    places[sys.prefix] = sys.prefix
    if not sys.base_prefix.startswith("/usr"):
        places[sys.base_prefix] = sys.base_prefix
    places |= {path: path for path in SETTINGS if Path(path).exists()}
    if ours:
        places |= {str(ROOT / room): f"{SOURCE}/{room}" for room in ROOMS}
        places |= {str(ROOT / "infra" / name): f"/opt/datamask/infra/{name}" for name in SCRIPTS}
    return [
        {"type": "bind", "source": source, "target": target, "read_only": True}
        for source, target in places.items()
    ]


def _empty(engine: Engine, image: str, folder: str, owner: str) -> None:
    """A root with links into /usr, and one folder of a user."""
    user, _, group = owner.partition(":")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in LINKS:
            if Path("/", name).is_symlink():
                link = tarfile.TarInfo(name)
                link.type, link.linkname = tarfile.SYMTYPE, os.readlink(Path("/", name))
                tar.addfile(link)
        # A tmpfs takes its mode from the folder beneath.
        for name, mode, owner_id, group_id in (
            (folder, 0o755, int(user), int(group)),
            ("/tmp", 0o1777, 0, 0),
        ):
            place = tarfile.TarInfo(name.strip("/"))
            place.type, place.mode, place.uid, place.gid = tarfile.DIRTYPE, mode, owner_id, group_id
            tar.addfile(place)
    changes = [word for line in (f"USER {owner}", f"ENV PATH={PATH}") for word in ("--change", line)]
    done = subprocess.run(
        ["docker", "import", *changes, "-", image],
        input=packed.getvalue(),
        env=engine.environment,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise Failed(f"docker import {image}: {done.stderr.decode(errors='replace').strip()[-500:]}")
