"""Run the install steps of the Dockerfiles in a bare Debian, without Docker: ``sudo bare_install.py FOLDER``.

debootstrap makes the root that ``FROM debian`` stands for. COPY, ENV, ARG, WORKDIR and RUN are then carried
out in it, stage by stage, as a builder would; what is left in FOLDER/STAGE is what the image would hold. Each
stage that is an image is asked at last whether its programs start, as its USER.

Mirrors, certificates and pip's settings are those of this machine. Needs root, debootstrap, and about 4 GB.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
SUITE = "bookworm"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Whether an image works: a command, and the exit code that it is to end with.
TRIALS: dict[str, list[tuple[list[str], int]]] = {
    "coordinator": [
        (["datamask", "evolve", "--help"], 0),
        # Imports everything that a run needs, and finds no Redis.
        (
            [
                "python",
                "-c",
                "import coordinator.queue.celery_executor, worker.examination.targets, boto3, skimage",
            ],
            0,
        ),
        (["python", "-c", "import torch"], 1),
    ],
    "flower": [(["celery", "--app=services.wire.app", "flower", "--help"], 0)],
    "worker": [(["datamask", "worker", "--help"], 0), (["datamask", "doctor"], 0)],
}


@dataclass
class Stage:
    """A root that is being filled, and what its steps have set."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0:0"


def main() -> int:
    """The exit code: 0 if every step and every trial went well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="an empty or new folder for the roots")
    parser.add_argument("dockerfiles", nargs="*", type=Path, default=sorted(ROOT.glob("infra/*.Dockerfile")))
    words = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bare_install: only root can make a root; use sudo")
    if shutil.which("debootstrap") is None:
        sys.exit("bare_install: no debootstrap: apt install debootstrap")
    base = words.folder / "debian"
    if not (base / "etc" / "debian_version").exists():
        print(f"{base}: {SUITE}, by debootstrap", flush=True)
        run(
            ["debootstrap", "--variant=minbase", SUITE, str(base), mirror()], words.folder / "debootstrap.log"
        )
    for dockerfile in words.dockerfiles:
        build(dockerfile, base, words.folder)
    return 0


def mirror() -> str:
    """The Debian mirror that this machine's apt uses. It is written down nowhere else."""
    files = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for file in files:
        for line in file.read_text().splitlines() if file.is_file() else ():
            found = re.match(r"(?:deb\s+(?:\[[^]]*\]\s+)?|URIs:\s+)(\S+/debian/?)(?:\s|$)", line)
            if found and file.suffix in ("", ".list", ".sources"):
                return found[1]
    sys.exit("bare_install: apt names no Debian mirror on this machine")


def dress(base: Path) -> None:
    """Give the bare root this machine's way to the registries."""
    for name in ("/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt", *apt_settings(), *pip_settings()):
        source = Path(name)
        if source.is_file():
            target = base / name.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copy(source, target)


def apt_settings() -> list[str]:
    """apt's files about Debian's own sources and the way to them."""
    sources = sorted(Path("/etc/apt/sources.list.d").glob("debian*.sources"))
    ways = [p for p in sorted(Path("/etc/apt/apt.conf.d").glob("*")) if "Acquire::" in p.read_text()]
    return [str(path) for path in [*sources, *ways]]


def pip_settings() -> list[str]:
    """pip's settings on this machine, and files that they name."""
    files = [Path("/etc/pip.conf"), *sorted(Path("/etc/xdg/pip").glob("*"))]
    files.append(Path("/root/.config/pip/pip.conf"))
    return [str(path) for path in files]


def pip_environment() -> dict[str, str]:
    """pip's variables on this machine."""
    return {name: value for name, value in os.environ.items() if name.startswith("PIP_")}


def local_indexes() -> list[Path]:
    """Folders of this machine that pip takes packages from, as its settings name them."""
    told = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    words = re.findall(r"(?<![\w:])(?:file://)?(/[^\s']+)", told)
    return sorted(
        {Path("/", Path(word).parts[1], Path(word).parts[2]) for word in words if Path(word).is_dir()}
    )


def build(dockerfile: Path, base: Path, folder: Path) -> None:
    """Carry a Dockerfile out; every stage becomes a folder."""
    stages: dict[str, Stage] = {}
    stage = Stage(base)
    arguments: dict[str, str] = {}
    for instruction, rest in instructions(dockerfile.read_text()):
        if instruction == "FROM":
            source, _, name = rest.partition(" AS ")
            origin = stages.get(source, Stage(base))
            stage = Stage(
                folder / f"{dockerfile.stem}-{name}", dict(origin.environment), origin.workdir, origin.user
            )
            print(f"{dockerfile.name}: {name}", flush=True)
            shutil.rmtree(stage.root, ignore_errors=True)
            run(["cp", "--archive", "--reflink=auto", str(origin.root), str(stage.root)])
            stages[name] = stage
        elif instruction == "ARG":
            key, _, value = rest.partition("=")
            arguments[key] = os.environ.get(key, value.strip('"'))
        elif instruction == "ENV":
            for word in shlex.split(rest):
                key, _, value = word.partition("=")
                stage.environment[key] = value.replace("$PATH", stage.environment.get("PATH", PATH))
        elif instruction == "WORKDIR":
            stage.workdir = rest
            (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif instruction == "USER":
            stage.user = rest
        elif instruction == "COPY":
            copy(stage, stages, rest)
        elif instruction == "RUN":
            print(f"  RUN {rest.split()[0]} ...", end="", flush=True)
            dress(stage.root)  # each time, since packages write some of these files anew
            began = time.monotonic()
            inside(
                stage,
                ["sh", "-c", rest],
                {**arguments, **pip_environment()},
                folder / "steps.log",
                user="0:0",
            )
            print(f" {time.monotonic() - began:.0f} s", flush=True)
        elif instruction != "CMD":
            sys.exit(f"bare_install: {dockerfile.name}: {instruction} is not known here")
    for name, made in stages.items():
        for command, expected in TRIALS.get(name, ()):
            inside(made, command, {}, folder / "trials.log", user=made.user, expected=expected)
            print(f"  {name}: {shlex.join(command)[:70]}: {expected}, as it should", flush=True)
        size = sum(p.lstat().st_size for p in made.root.rglob("*") if not p.is_symlink() and p.is_file())
        print(f"  {name}: {size / 1e6:,.0f} MB", flush=True)


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Instruction and rest of each step; comments are dropped and continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for step in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if step.strip():
            word, _, rest = step.strip().partition(" ")
            yield word, rest.strip()


def copy(stage: Stage, stages: dict[str, Stage], rest: str) -> None:
    """COPY, from the repository or from another stage."""
    words = shlex.split(rest)
    source = ROOT
    if words[0].startswith("--from="):
        source = stages[words.pop(0).removeprefix("--from=")].root
    *names, target = words
    place = stage.root / str(Path(stage.workdir, target)).lstrip("/")
    for name in names:
        found = source / name.lstrip("/")
        if found.is_dir():
            shutil.copytree(
                found, place, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            folder = place if target.endswith("/") or len(names) > 1 else place.parent
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(found, place)


def inside(
    stage: Stage,
    command: Sequence[str],
    variables: dict[str, str],
    log: Path,
    *,
    user: str,
    expected: int = 0,
) -> None:
    """Run a command in the stage's root, with this machine's package folders in place."""
    given = {"PATH": PATH, "HOME": "/root" if user == "0:0" else "/tmp", **variables, **stage.environment}
    if user == "0:0":
        given["DEBIAN_FRONTEND"] = "noninteractive"
    words = [f"{name}={value}" for name, value in given.items()]
    where = f"cd {shlex.quote(stage.workdir)} && {shlex.join(command)}"
    with mounted(stage.root):
        run(
            ["chroot", f"--userspec={user}", str(stage.root), "env", "-i", *words, "sh", "-c", where],
            log,
            expected=expected,
        )


@contextlib.contextmanager
def mounted(root: Path, more: Mapping[Path, Path] | None = None) -> Iterator[None]:
    """/proc, this machine's package folders and more (here: there), for as long as the context lasts."""
    places = {place: root / str(place).lstrip("/") for place in (Path("/proc"), *local_indexes())}
    made = []
    try:
        for place, target in {**places, **(more or {})}.items():
            target.mkdir(parents=True, exist_ok=True)
            subprocess.run(["mount", "--bind", str(place), str(target)], check=True)
            made.append(target)
        yield
    finally:
        for target in reversed(made):
            subprocess.run(["umount", "--lazy", str(target)], check=True)


def run(command: Sequence[str], log: Path | None = None, *, expected: int = 0) -> None:
    """Run a command; where it ends otherwise than expected, show what it said and end."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if log is not None:
        with log.open("a") as file:
            file.write(done.stdout)
    if done.returncode != expected:
        sys.exit(f"\n{done.stdout[-3000:]}\nbare_install: {shlex.join(command)[-300:]}: {done.returncode}")


if __name__ == "__main__":
    sys.exit(main())
