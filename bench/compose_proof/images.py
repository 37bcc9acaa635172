"""The images of the stack: base images pulled or made here, ours built from the Dockerfiles.

Where an image cannot be pulled a stand-in is made: Debian by debootstrap, dressed with this machine's way to
the registries; Redis and Prometheus from Debian's packages; SeaweedFS from the program that ``make tools``
brings. Stand-ins have names of their own, so that nobody takes one for the real image later.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.compose_proof.engine import Engine, Failed
from bench.support import ROOT, support

PULL_S = 600.0
BUILD_S = 3600.0
STAND_IN = "datamask-stand-in"
GRAFANA = "grafana/grafana"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Debian's packages, and the folder of the image that a volume takes its owner from.
PACKAGES = {
    "redis": ("redis-server redis-tools", "/data", "999:1000"),
    "chrislusf/seaweedfs": ("wget", "/data", "1000:1000"),
    "prom/prometheus": ("prometheus wget", "/prometheus", "65534:65534"),
}


@dataclass
class Images:
    """Which image each service has on this engine. absent: services for which there is none.

    stand_ins: in words, what is not what the files name. sizes: bytes of the images built, by name. again:
    whether the engine had images of an earlier build, whose layers stand where nothing has changed.
    """

    of: dict[str, str] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    stand_ins: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    again: bool = False


def ready(engine: Engine, model: Mapping[str, Any], project: str, say: Any) -> Images:
    """Every image of a resolved compose model. :raises Failed: with the step that failed."""
    began = time.monotonic()
    made, found = Images(), dict[str, str | None]()

    def base(name: str) -> str | None:
        if name not in found:
            say(f"image {name}")
            found[name] = _base(engine, name, made)
        return found[name]

    built: dict[str, str] = {}
    for service, what in model["services"].items():
        if "build" not in what:
            image = base(str(what["image"]))
        elif str(what["image"]) in built:
            image = built[str(what["image"])]
        else:
            say(f"build of {what['image']}")
            image = f"{project}-{Path(str(what['image'])).name}"
            made.again |= engine.run("image", "inspect", image).returncode == 0
            _build(engine, what["build"], image, base, made)
            built[str(what["image"])] = image
            made.sizes[image.partition(":")[0].removeprefix(f"{project}-")] = int(
                engine.docker("image", "inspect", image, "--format", "{{.Size}}")
            )
        if image is None:
            made.absent.append(service)
        else:
            made.of[service] = image
    made.seconds = time.monotonic() - began
    return made


def _base(engine: Engine, name: str, made: Images) -> str | None:
    """The image itself if it is here or can be pulled, else its stand-in; None where there is neither."""
    if engine.run("image", "inspect", name).returncode == 0:
        return name
    pulled = engine.run("pull", "--quiet", name, timeout_s=PULL_S)
    if pulled.returncode == 0:
        return name
    kind = name.partition(":")[0]
    if kind == GRAFANA:
        made.stand_ins.append("no Grafana: its server is in no package registry")
        return None
    stand_in = f"{STAND_IN}/{name}"
    there = engine.run("image", "inspect", stand_in).returncode == 0
    if kind == "debian":
        made.stand_ins.append(f"{name}: Debian 12 by debootstrap")
        if not there:
            _debian(engine, stand_in)
    elif kind in PACKAGES:
        packages, folder, owner = PACKAGES[kind]
        weed = Path(sys.executable).with_name("weed") if kind == "chrislusf/seaweedfs" else None
        source = "the program of `make tools` on Debian" if weed else f"Debian's {packages.split()[0]}"
        made.stand_ins.append(f"{name}: {source}")
        if not there:
            _from_packages(engine, stand_in, packages, folder, owner, weed)
    else:
        raise Failed(f"{name} cannot be pulled ({pulled.stderr.strip()[-200:]}), and no stand-in is known")
    return stand_in


def _debian(engine: Engine, name: str) -> None:
    """A bare Debian with this machine's way to the registries."""
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise Failed(f"{name}: a stand-in needs root and debootstrap (apt install debootstrap)")
    bare = support("bare_install", "infra")
    with tempfile.TemporaryDirectory(prefix="datamask-debian-") as folder:
        root = Path(folder) / "debian"
        done = subprocess.run(
            ["debootstrap", "--variant=minbase", bare.SUITE, str(root), bare.mirror()],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Failed(f"debootstrap: {(done.stderr or done.stdout).strip()[-500:]}")
        bare.dress(root)
        authorities = root / "usr" / "local" / "share" / "ca-certificates"
        authorities.mkdir(exist_ok=True)
        for certificate in Path("/usr/local/share/ca-certificates").glob("*.crt"):
            shutil.copy(certificate, authorities)
        for wheels in _links():
            target = root / str(wheels).lstrip("/")
            target.mkdir(parents=True, exist_ok=True)
            for wheel in wheels.glob("*.whl"):
                shutil.copy(wheel, target)
        (root / "usr" / "sbin" / "policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
        (root / "usr" / "sbin" / "policy-rc.d").chmod(0o755)
        told = [f"ENV {key}={value}" for key, value in bare.pip_environment().items() if " " not in value]
        changes = [
            word for line in ('CMD ["bash"]', f"ENV PATH={PATH}", *told) for word in ("--change", line)
        ]
        tar = ["tar", "-C", str(root), "--exclude=./proc/*", "--exclude=./sys/*", "-c", "."]
        with subprocess.Popen(tar, stdout=subprocess.PIPE) as packing:
            loading = subprocess.run(
                ["docker", "import", *changes, "-", name],
                stdin=packing.stdout,
                env=engine.environment,
                capture_output=True,
                text=True,
                check=False,
            )
    if loading.returncode or packing.returncode:
        raise Failed(f"docker import {name}: {loading.stderr.strip()[-500:]}")


def _links() -> list[Path]:
    """Folders of wheels of this machine that pip looks into, as its settings name them."""
    told = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    lines = [line for line in told.splitlines() if "find-links" in line]
    words = re.findall(r"(?<![\w:])(?:file://)?(/[^\s']+)", "\n".join(lines))
    return sorted({Path(word) for word in words if Path(word).is_dir()})


def _from_packages(
    engine: Engine, name: str, packages: str, folder: str, owner: str, weed: Path | None
) -> None:
    """Debian's packages on the image that stands for Debian."""
    debian = next(base for base in _bases("infra/worker.Dockerfile"))
    start = engine.run("image", "inspect", debian)
    if start.returncode:
        debian = f"{STAND_IN}/{debian}"
        if engine.run("image", "inspect", debian).returncode:
            _debian(engine, debian)
    user, _, group = owner.partition(":")
    steps = [
        f"FROM {debian}",
        "RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "
        f"--no-install-recommends {packages} && rm -rf /var/lib/apt/lists/* "
        f"&& rm -rf {folder} && install -d -o {user} -g {group} {folder}",
    ]
    with tempfile.TemporaryDirectory(prefix="datamask-stand-in-") as context:
        if weed is not None:
            if not weed.exists():
                raise Failed(f"{name}: no weed program: `make tools` brings it")
            shutil.copy(weed, Path(context) / "weed")
            steps.append("COPY weed /usr/bin/weed")
        Path(context, "Dockerfile").write_text("\n".join(steps) + "\n")
        engine.docker("build", "--quiet", "--tag", name, context, timeout_s=BUILD_S)


def _bases(dockerfile: str) -> list[str]:
    """Images that a Dockerfile begins from."""
    return re.findall(r"^FROM (\S+:\S+)", (ROOT / dockerfile).read_text(), re.MULTILINE)


def _build(engine: Engine, build: Mapping[str, Any], image: str, base: Any, made: Images) -> None:
    """One image of ours, as its Dockerfile says; only what it begins from may be a stand-in."""
    text = (ROOT / build["dockerfile"]).read_text()
    stands = False
    for name in set(_bases(build["dockerfile"])):
        stand_in = base(name)
        stands = stands or stand_in != name
        text = re.sub(rf"^FROM {re.escape(name)}(?=\s)", f"FROM {stand_in}", text, flags=re.MULTILINE)
    words = ["--target", build["target"]] if build.get("target") else []
    for key, value in (build.get("args") or {}).items():
        if key == "TORCH_INDEX_URL" and value and not _reachable(str(value)):
            made.stand_ins.append("torch: from pip's own index or folders, its own index is out of reach")
            value = ""
        words += ["--build-arg", f"{key}={value}"]
    engine.docker(
        "build",
        "--quiet",
        "--file",
        "-",
        "--tag",
        image,
        *words,
        str(build["context"]),
        given=text,
        timeout_s=BUILD_S,
    )


def _reachable(url: str) -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=15):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
